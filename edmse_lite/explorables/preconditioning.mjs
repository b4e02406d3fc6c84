// What the network sees and makes at one noise level, for any mix of preconditioning coefficients.
// Options: title, density { low, step, values }, rms, y { rms, correlation }, sigma_data, sigma,
// stiffness, tasks [text]. `density` is a histogram of the real part of r; `y.correlation` is
// Re E[r conj(y)] over both root mean squares. The numbers equal edmse_lite.scales.predict_scales.

const SVG = "http://www.w3.org/2000/svg", NAMES = ["c_skip", "c_out", "c_in", "weight"];
const SHIFTS = { edm: "0 (EDM)", richter: "y (original)", "edm-scaled-shift": "c_in y/s (EDM, shown x_t)" };
const LOWEST = 0.05, RATIO = 10; // sigma_min and sigma_max / sigma_min of Richter's OUVE

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

// Richter's OUVE at level sigma: t and s(t).
export function schedule(sigma, stiffness) {
  const log = Math.log(RATIO);
  const t = Math.log(1 + (1 + stiffness / log) * (sigma / LOWEST) ** 2) / (2 * (stiffness + log));
  return { t, s: Math.exp(-stiffness * t) };
}

export function coefficients(sigma, choice, sigmaData, stiffness) {
  const { t, s } = schedule(sigma, stiffness), total = sigma ** 2 + sigmaData ** 2;
  const edm = (name) => choice[name] === "edm";
  const c_in = edm("c_in") ? 1 / Math.sqrt(total) : s;
  return {
    c_skip: edm("c_skip") ? sigmaData ** 2 / total : 1,
    c_out: edm("c_out") ? (sigma * sigmaData) / Math.sqrt(total) : (-s * sigma ** 2) / t,
    c_in,
    c_shift: { richter: 1, "edm-scaled-shift": c_in / s }[choice.c_shift] ?? 0,
    weight: edm("weight") ? total / (sigma * sigmaData) ** 2 : sigma ** -2,
  };
}

// Root mean squares of the input u and of the target, and the weight of the raw network's error.
export function scales(sigma, choice, sigmaData, stiffness, rms, y = { rms: 0, correlation: 0 }) {
  const c = coefficients(sigma, choice, sigmaData, stiffness);
  const made = Math.hypot((1 - c.c_skip) * rms, c.c_skip * sigma) / Math.abs(c.c_out);
  const cross = 2 * c.c_in * c.c_shift * y.correlation * rms * y.rms;
  const seen = Math.sqrt(Math.max((c.c_in * Math.hypot(rms, sigma)) ** 2 + cross + (c.c_shift * y.rms) ** 2, 0));
  return { seen, made, weight: c.weight * c.c_out ** 2 };
}

// Density of a r + b eps (real parts) on a grid, from the histogram of the real part of r.
export function spread(grid, a, b, { low, step, values }) {
  const mass = values.reduce((sum, v) => sum + v, 0), width = Math.max(Math.abs(b) / Math.SQRT2, Math.abs(a) * step * 0.6);
  return grid.map((at) => values.reduce((sum, v, i) => {
    const z = (at - a * (low + (i + 0.5) * step)) / width;
    return sum + (v / mass) * Math.exp(-z * z / 2);
  }, 0) / (width * Math.sqrt(2 * Math.PI)));
}

const show = (value) => (value >= 99.5 ? value.toFixed(0) : value.toPrecision(value < 0.1 ? 1 : 2)).replace("-", "−");

let count = 0;
function slider(label, min, max, step, value, onInput) {
  const id = `edmse-scales-${(count += 1)}`, output = element("output");
  const input = element("input", { type: "range", id, className: "ed-range" });
  output.htmlFor = id;
  Object.assign(input, { min, max, step, value });
  input.addEventListener("input", onInput);
  return { input, output, root: element("div", {},
    element("p", {}, element("label", { htmlFor: id, textContent: label }), " ", output),
    element("div", { className: "ed-row" }, input)) };
}

const GRID = Array.from({ length: 161 }, (_, i) => -4 + i / 20);
const X = (v, left) => left + 75 + v * 18, BAR = (v) => 100 + Math.log10(Math.min(Math.max(v, 0.04), 25)) * 75 + 75;

function panel(left, title, density) {
  const top = 0.75, y = (v) => 118 - Math.min(v / top, 1.25) * 76;
  const path = (values, extra) => shape("path", { d: GRID.map((g, i) => `${i ? "L" : "M"}${X(g, left).toFixed(1)} ${y(values[i]).toFixed(1)}`).join(""), fill: "none", stroke: "currentColor", ...extra });
  const unit = GRID.map((g) => Math.exp(-g * g) / Math.sqrt(Math.PI)); // of a unit complex normal's real part
  return [
    shape("text", { x: left + 75, y: 12, "font-size": 11, fill: "currentColor", "text-anchor": "middle" }, title),
    path(unit, { "stroke-dasharray": "2 3", "stroke-width": 1.5 }),
    path(density, { stroke: "var(--ed-accent)", "stroke-width": 2.5 }),
    shape("line", { x1: left + 3, x2: left + 147, y1: 118, y2: 118, stroke: "currentColor" }),
    ...[-3, 0, 3].map((v) => shape("text", { x: X(v, left), y: 131, "font-size": 10, fill: "currentColor", "text-anchor": "middle" }, String(v).replace("-", "−"))),
  ];
}

function bars(found) {
  const rows = [["input", found.seen], ["target", found.made], ["weight", found.weight]];
  return [
    ...[0.1, 1, 10].flatMap((v) => [
      shape("line", { x1: BAR(v), x2: BAR(v), y1: 146, y2: 222, stroke: "currentColor", "stroke-dasharray": v === 1 ? "none" : "2 3" }),
      shape("text", { x: BAR(v), y: 236, "font-size": 10, fill: "currentColor", "text-anchor": "middle" }, String(v))]),
    ...rows.flatMap(([name, value], i) => [
      shape("text", { x: 62, y: 162 + 25 * i, "font-size": 11, fill: "currentColor", "text-anchor": "end" }, name),
      shape("circle", { cx: BAR(value), cy: 158 + 25 * i, r: 6, fill: "var(--ed-accent)" }),
      shape("line", { x1: BAR(1), x2: BAR(value), y1: 158 + 25 * i, y2: 158 + 25 * i, stroke: "var(--ed-accent)", "stroke-width": 4 })]),
  ];
}

function render({ model, el }) {
  const rms = model.get("rms"), y = model.get("y") ?? { rms: 0, correlation: 0 }, density = model.get("density"), first = model.get("sigma_data") ?? rms;
  const choice = Object.fromEntries([...NAMES, "c_shift"].map((name) => [name, "edm"]));
  const readout = element("p", { className: "ed-readout" });
  readout.setAttribute("role", "status");
  const svg = shape("svg", { viewBox: "0 0 320 240", role: "img" });
  svg.style.cssText = "width:100%;max-width:34rem;display:block;margin:auto";
  const level = slider("Level σ =", -2, 0.24, 0.01, Math.log10(model.get("sigma") ?? 0.2), update);
  const stiff = slider("Stiffness γ =", 0, 3, 0.1, model.get("stiffness") ?? 1.5, update);
  const data = slider("σ_d =", -1, 1, 0.05, Math.log10(first / rms), update);
  const buttons = NAMES.map((name) => {
    const button = element("button", { type: "button", className: "ed-button" });
    button.addEventListener("click", () => { choice[name] = choice[name] === "edm" ? "richter" : "edm"; update(); });
    return button;
  });
  const preset = (text, column) => {
    const button = element("button", { type: "button", className: "ed-button", textContent: text });
    button.addEventListener("click", () => { for (const name in choice) choice[name] = column; update(); });
    return button;
  };
  const shift = element("select", { id: `edmse-scales-shift-${(count += 1)}` },
    ...Object.entries(SHIFTS).map(([value, textContent]) => element("option", { value, textContent })));
  shift.style.cssText = "min-height:44px;font:inherit;max-width:100%";
  shift.addEventListener("change", () => { choice.c_shift = shift.value; update(); });
  const more = element("details", {}, element("summary", { textContent: "More: other coefficients" }),
    element("p", { textContent: "A whole column:" }), element("div", { className: "ed-row" }, preset("EDM's column", "edm"), preset("The original's column", "richter")),
    element("p", { textContent: "Or one at a time; a tap changes it:" }), element("div", { className: "ed-row" }, ...buttons),
    element("p", {}, element("label", { htmlFor: shift.id, textContent: "Shift of the input by: " }), shift),
    stiff.root, data.root);
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const title = model.get("title") ?? "What the network sees and makes";
  const box = element("div", { className: "ed-box ed-scales" },
    element("p", { className: "ed-title", textContent: title }), readout, level.root, svg,
    element("p", { className: "ed-note", textContent: "Above: how the real parts of c_in x̃ and of the target are spread, from the corpus; dotted is a unit normal. Below: root mean squares of the input u (c_in x̃ and its shift) and of the target, and the weight of the raw network's error; all three should be 1." }),
    tasks, more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function update() {
    const sigma = 10 ** +level.input.value, stiffness = +stiff.input.value, sigmaData = rms * 10 ** +data.input.value;
    const c = coefficients(sigma, choice, sigmaData, stiffness), found = scales(sigma, choice, sigmaData, stiffness, rms, y);
    shift.value = choice.c_shift;
    level.output.value = show(sigma);
    level.input.setAttribute("aria-valuetext", show(sigma));
    stiff.output.value = stiffness.toFixed(1);
    data.output.value = `${show(sigmaData)} (${show(sigmaData / rms)} times the rms of r)`;
    data.input.setAttribute("aria-valuetext", data.output.value);
    buttons.forEach((button, i) => {
      button.textContent = `${NAMES[i] === "weight" ? "λ" : NAMES[i]}: ${choice[NAMES[i]] === "edm" ? "EDM" : "original"}`;
      button.setAttribute("aria-pressed", choice[NAMES[i]] === "edm");
    });
    svg.replaceChildren(
      ...panel(5, "c_in x̃", spread(GRID, c.c_in, c.c_in * sigma, density)),
      ...panel(165, "target F", spread(GRID, (1 - c.c_skip) / c.c_out, (c.c_skip * sigma) / c.c_out, density)),
      ...bars(found));
    readout.textContent = `Input ${show(found.seen)}, target ${show(found.made)}, weight ${show(found.weight)}.`;
    svg.setAttribute("aria-label", `At σ = ${show(sigma)}: ${readout.textContent}`);
    Object.assign(box.dataset, { sigma, seen: found.seen, made: found.made, weight: found.weight });
  }
  update();
}

export default { render };
