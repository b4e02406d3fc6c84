// Unshift it: the shifted process above, the same process unshifted and unscaled below.
// Options: title, stiffness (at the start and of the reference), tasks [text], steps, paths.
// The state x_t is walked by its own exact transition from f and g; x̃ is computed from it afterwards.

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- the mathematics, as in the library ----
export const START = { kind: "OUVE", stiffness: 1.5, sigmaMin: 0.05, sigmaMax: 0.5, y: 0.5, r: -0.4 };

// s(t) and sigma(t) of OUVE (the paper's) and RichterOUVE (SGMSE+).
export function schedule({ kind, stiffness, sigmaMin, sigmaMax }) {
  const logP = Math.log(sigmaMax / sigmaMin), rate = logP + stiffness;
  const sigma = kind === "RichterOUVE"
    ? (t) => sigmaMin * Math.sqrt((logP / rate) * Math.expm1(2 * rate * t))
    : (t) => sigmaMin * Math.sqrt(Math.expm1(2 * logP * t));
  return { s: (t) => Math.exp(-stiffness * t), sigma };
}

// One path of x_t for the unit normals z, and x̃ = (x_t − y)/s.  From t to u the shifted SDE makes
// x_u = y + (s_u/s_t)(x_t − y) + s_u √(σ_u² − σ_t²) z, whatever the step.
export function walk(settings, z) {
  const { s, sigma } = schedule(settings), { y, r } = settings;
  const x = [y + r], unshifted = [r];
  for (let i = 0; i < z.length; i++) {
    const t = i / z.length, u = (i + 1) / z.length;
    const spread = s(u) * Math.sqrt(Math.max(0, sigma(u) ** 2 - sigma(t) ** 2));
    x.push(y + (s(u) / s(t)) * (x[i] - y) + spread * z[i]);
    unshifted.push((x[i + 1] - y) / s(u));
  }
  return { x, unshifted };
}

export function normals(seed, count) { // mulberry32, then Box and Muller
  const draw = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw()));
}

// Largest distance between two sets of paths, one number for x_t and one for x̃.
export function moved(paths, others) {
  const gap = (a, b) => a.reduce((top, v, i) => Math.max(top, Math.abs(v - b[i])), 0);
  const most = (key) => Math.max(...paths.map((path, k) => gap(path[key], others[k][key])));
  return { x: most("x"), unshifted: most("unshifted") };
}

// ---- the picture ----
const W = 360, H = 180, LEFT = 38, RIGHT = 20, BOTTOM = 22, TOP = 10;
const DASHES = ["", "7 3", "2 3"];

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  node.append(...children);
  return node;
}

function panel(name) {
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", fill: "none", stroke: "currentColor" });
  root.style.cssText = "display:block;width:100%;max-width:34rem;height:auto;font-size:14px";
  const box = element("div", {}, element("p", { className: "ed-note", innerHTML: name }), root);
  return { root, box };
}

function draw({ root }, paths, ghosts, { centre, half, line, label }) {
  const n = paths[0].length - 1, height = H - TOP - BOTTOM;
  const px = (i) => LEFT + ((W - LEFT - RIGHT) * i) / n;
  const py = (v) => TOP + (height * (centre + half - v)) / (2 * half);
  const d = (path) => path.map((v, i) => `${i ? "L" : "M"}${px(i).toFixed(1)} ${py(v).toFixed(1)}`).join("");
  const text = (x, y, words, anchor) =>
    svg("text", { x, y, fill: "currentColor", stroke: "none", "text-anchor": anchor }, words);
  const number = (v) => v.toFixed(1).replace("-", "−");
  root.replaceChildren(
    svg("path", { d: `M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}`, opacity: 0.6 }),
    ...[centre - half, centre, centre + half].map((v) => text(LEFT - 4, py(v) + 4, number(v), "end")),
    ...[0, 0.5, 1].map((t) => text(px(t * n), H - 5, t === 0.5 ? "t = 0.5" : String(t), t ? (t < 1 ? "middle" : "end") : "start")),
    svg("path", { d: `M${LEFT} ${py(line.at)}H${W - RIGHT}`, "stroke-dasharray": "1 3", opacity: 0.9 }),
    text(W - RIGHT + 6, py(line.at) + 5, line.name, "start"),
    ...ghosts.map((path) => svg("path", { d: d(path), "stroke-width": 4, opacity: 0.22 })),
    ...paths.map((path, k) => svg("path", { d: d(path), "stroke-width": 1.6, "stroke-dasharray": DASHES[k % 3], style: "stroke:var(--ed-accent,currentColor)" })),
  );
  root.setAttribute("aria-label", label);
}

// ---- controls ----
let count = 0;
function slider(label, min, max, step, onInput) {
  const id = `edmse-unshift-${(count += 1)}`;
  const input = Object.assign(element("input", { type: "range", id, className: "ed-range" }), { min, max, step });
  const output = element("output");
  output.htmlFor = id;
  input.addEventListener("input", onInput);
  const name = element("label", { htmlFor: id, textContent: `${label}\u00a0` });
  return { input, output, root: element("div", {}, element("p", {}, name, output), element("div", { className: "ed-row" }, input)) };
}

const KINDS = [["OUVE", "OUVE of the paper: σ(t) without γ"], ["RichterOUVE", "Richter's OUVE: g(t) without γ"]];

function render({ model, el }) {
  const steps = model.get("steps") ?? 200, paths = model.get("paths") ?? 3;
  const start = { ...START, stiffness: model.get("stiffness") ?? START.stiffness };
  let seed = 148, waiting = 0;
  const show = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; update(); }); };

  const readout = element("p", { className: "ed-readout" });
  readout.setAttribute("role", "status");
  const level = element("strong");
  const reason = element("span");
  const scales = element("span");
  const levels = element("p", { className: "ed-readout" }, level, reason, scales);
  const gamma = slider("Stiffness γ =", 0, 2, 0.1, show);
  const upper = panel("<em>x<sub>t</sub></em>, the shifted state");
  const lower = panel("<em>x̃ = (x<sub>t</sub> − y) / s</em>, unshifted and unscaled");
  const kinds = element("select", { id: `edmse-unshift-${(count += 1)}` },
    ...KINDS.map(([value, textContent]) => element("option", { value, textContent })));
  kinds.style.cssText = "min-height:44px;font:inherit;max-width:100%";
  kinds.addEventListener("change", show);
  const y = slider("Noisy value y, with r kept: y =", 0, 1, 0.1, show);
  const r = slider("r = x₀ − y =", -0.6, 0.6, 0.1, show);
  const again = element("button", { type: "button", className: "ed-button", textContent: "New diffusion noise", onclick: () => { seed += 1; show(); } });
  const more = element("details", {}, element("summary", { textContent: "More: schedule, y, r, noise" }),
    element("p", {}, element("label", { htmlFor: kinds.id, textContent: "Schedule: " }), kinds),
    y.root, r.root, element("div", { className: "ed-row" }, again));
  more.firstChild.style.minHeight = "44px";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const title = model.get("title") ?? "Unshift it";
  const box = element("div", { className: "ed-box ed-unshift" },
    element("p", { className: "ed-title", textContent: title }), tasks, readout, levels, gamma.root, upper.box, lower.box,
    element("p", { className: "ed-note", textContent: `Three paths. The broad grey ones show where they were at γ = ${start.stiffness}, with the same diffusion noise.` }),
    more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);
  gamma.input.value = start.stiffness;
  y.input.value = start.y;
  r.input.value = start.r;

  function update() {
    const now = { ...start, kind: kinds.value, stiffness: +gamma.input.value, y: +y.input.value, r: +r.input.value };
    const before = { ...start, kind: now.kind };
    const noise = Array.from({ length: paths }, (_, k) => normals(1000 * seed + k, steps));
    const walks = noise.map((z) => walk(now, z)), ghosts = noise.map((z) => walk(before, z));
    const far = moved(walks, ghosts), s1 = schedule(now).s(1);
    const sigma1 = schedule(now).sigma(1), other = schedule(before).sigma(1);
    const lit = Math.abs(sigma1 - other) > 1e-9;
    gamma.output.value = now.stiffness.toFixed(1);
    y.output.value = now.y.toFixed(1).replace("-", "−");
    r.output.value = now.r.toFixed(1).replace("-", "−");
    readout.textContent = `Against γ = ${start.stiffness}: xₜ has moved by up to ${far.x.toFixed(2)}, x̃ by up to ${far.unshifted.toFixed(2)}.`;
    level.textContent = `σ(1) = ${sigma1.toFixed(3)}`;
    level.style.cssText = lit ? "border:2px solid var(--ed-bad);border-radius:.3rem;padding:0 .3rem;color:var(--ed-bad)" : "";
    reason.textContent = lit ? ` ◂ this moved x̃: it was ${other.toFixed(3)}.` : ".";
    scales.textContent = ` s(1) = ${s1.toFixed(3)}, spread of x₁: s(1) σ(1) = ${(s1 * sigma1).toFixed(3)}.`;
    const half = now.kind === "RichterOUVE" ? 4 : 1.2;
    draw(upper, walks.map((w) => w.x), ghosts.map((w) => w.x), { centre: 0.5, half: 1.2, line: { at: now.y, name: "y" },
      label: `Three paths of xₜ over t at γ = ${now.stiffness.toFixed(1)}` });
    draw(lower, walks.map((w) => w.unshifted), ghosts.map((w) => w.unshifted), { centre: 0, half, line: { at: now.r, name: "r" },
      label: `The same paths, unshifted and unscaled; the largest level is ${sigma1.toFixed(3)}` });
    Object.assign(box.dataset, { x: far.x, unshifted: far.unshifted, sigma1, lit });
  }
  update();
  return () => cancelAnimationFrame(waiting);
}

export default { render };
