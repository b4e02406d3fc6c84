// One noisy value of a two-mode mixture: its denoiser, its posterior and its score.
// Options: title, weights [w1, w2], means [m1, m2], std, sigma, x, tasks [text].
// Everything is real and exact; the numbers equal edmse_lite's MixtureOracle.

const LIMIT = 2.5, SVG = "http://www.w3.org/2000/svg";

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

const normal = (x, mean, variance) => Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

// At x = r + sigma eps: D = E[r | x], the score (D - x) / sigma^2, ln p(x), and p(mode 1 | x).
export function denoise(x, { weights, means, std, sigma }) {
  const sum = weights.reduce((a, b) => a + b, 0), total = std ** 2 + sigma ** 2;
  const logs = weights.map((w, k) => Math.log(w / sum) - (x - means[k]) ** 2 / (2 * total));
  const top = Math.max(...logs), raw = logs.map((v) => Math.exp(v - top));
  const mass = raw.reduce((a, b) => a + b, 0), shares = raw.map((v) => v / mass);
  const each = means.map((m) => m + (std ** 2 / total) * (x - m));
  const d = shares.reduce((found, share, k) => found + share * each[k], 0);
  const logDensity = top + Math.log(mass) - 0.5 * Math.log(2 * Math.PI * total);
  return { d, score: (d - x) / sigma ** 2, logDensity, share: shares[0] };
}

// Density of r given x: each mode shrinks towards x and gets a new weight.
export function posterior(r, x, mixture) {
  const { means, std, sigma } = mixture, { share } = denoise(x, mixture);
  const total = std ** 2 + sigma ** 2, variance = (std * sigma) ** 2 / total;
  return [share, 1 - share].reduce((found, w, k) => found + w * normal(r, means[k] + (std ** 2 / total) * (x - means[k]), variance), 0);
}

const show = (value, digits = 2) => value.toFixed(digits).replace("-", "−").replace(/^−(0\.0*)$/, "$1");

let count = 0;
function slider(label, min, max, step, value, onInput) {
  const id = `edmse-denoise-${(count += 1)}`;
  const output = element("output"), input = element("input", { type: "range", id, className: "ed-range" });
  output.htmlFor = id;
  Object.assign(input, { min, max, step, value });
  input.addEventListener("input", onInput);
  return { input, output, root: element("div", {},
    element("p", {}, element("label", { htmlFor: id, textContent: label }), " ", output),
    element("div", { className: "ed-row" }, input)) };
}

// Two panels of 320 x 110 units, the same horizontal axis; strokes differ in dash as well as in place.
const X = (v) => 160 + (v / LIMIT) * 150;
const UPPER = (v, top) => 108 - (v / top) * 92, LOWER = (v) => 192 - (v / 1.6) * 62;
const line = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
const ACCENT = "var(--ed-accent)";

function draw(svg, x, mixture) {
  const { means, std } = mixture, found = denoise(x, mixture);
  const grid = Array.from({ length: 301 }, (_, i) => -LIMIT + (2 * LIMIT * i) / 300);
  const after = grid.map((r) => posterior(r, x, mixture));
  const before = grid.map((r) => mixture.weights.reduce((v, w, k) => v + w * normal(r, means[k], std ** 2), 0));
  const top = Math.max(...after, ...before);
  const path = (values, y, extra) => shape("path", { d: line(grid.map((g, i) => [X(g), y(values[i])])), fill: "none", stroke: "currentColor", "stroke-width": 1.5, ...extra });
  const text = (at, y, words, anchor = "middle") => shape("text", { x: at, y, "font-size": 11, fill: "currentColor", "text-anchor": anchor }, words);
  const bands = means.map((m) => shape("rect", { x: 10, width: 300, y: LOWER(m + 2 * std), height: LOWER(m - 2 * std) - LOWER(m + 2 * std), fill: "currentColor", opacity: 0.12 }));
  svg.replaceChildren(
    text(8, 12, "density of r", "start"), text(8, 140, "D(x̃)", "start"),
    path(before, (v) => UPPER(v, top), { "stroke-dasharray": "2 3" }),
    path(after, (v) => UPPER(v, top), { stroke: ACCENT, "stroke-width": 2.5 }),
    shape("line", { x1: 10, x2: 310, y1: 108, y2: 108, stroke: "currentColor" }),
    ...bands,
    shape("path", { d: line([[X(-1.6), LOWER(-1.6)], [X(1.6), LOWER(1.6)]]), stroke: "currentColor", "stroke-dasharray": "6 4", opacity: 0.6 }),
    path(grid.map((g) => denoise(g, mixture).d), LOWER, { stroke: ACCENT, "stroke-width": 2.5 }),
    ...[-2, -1, 0, 1, 2].map((v) => text(X(v), 272, show(v, 0))),
    shape("line", { x1: X(x), x2: X(x), y1: 20, y2: 258, stroke: "currentColor", "stroke-dasharray": "1 3" }),
    shape("circle", { cx: X(found.d), cy: 108, r: 5, fill: ACCENT }),
    shape("circle", { cx: X(x), cy: LOWER(found.d), r: 5, fill: ACCENT }));
  svg.setAttribute("aria-label", `At x̃ = ${show(x)} and σ = ${show(mixture.sigma)}: D = ${show(found.d)}`);
  return found;
}

function render({ model, el }) {
  const mixture = { weights: model.get("weights") ?? [0.7, 0.3], means: model.get("means") ?? [1, -1], std: model.get("std") ?? 0.15 };
  const readout = element("p", { className: "ed-readout" });
  readout.setAttribute("role", "status");
  const svg = shape("svg", { viewBox: "0 0 320 278", role: "img" });
  svg.style.cssText = "width:100%;max-width:34rem;display:block;margin:auto;touch-action:pan-y";
  const level = slider("Level σ =", -1.3, 0.7, 0.01, Math.log10(model.get("sigma") ?? 1), update); // log10
  const place = slider("Noisy value x̃ =", -2, 2, 0.01, model.get("x") ?? 0, update);
  const scale = slider("Multiply the density of x̃ by", 0, 6, 1, 0, update); // log10
  const density = element("p", { className: "ed-density" });
  const more = element("details", {}, element("summary", { textContent: "More: move x̃, scale the density" }), place.root, scale.root, density);
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const title = model.get("title") ?? "Denoise one value";
  const box = element("div", { className: "ed-box ed-denoise" },
    element("p", { className: "ed-title", textContent: title }), tasks, readout, level.root, svg,
    element("p", { className: "ed-note", textContent: "Above: the density of r before (dotted) and after (solid) seeing x̃; the dot is D. Below: D for every x̃; dashed is x̃ itself, the bands are where r can be. A tap in the picture moves x̃." }),
    more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function update() {
    const x = +place.input.value, sigma = 10 ** +level.input.value, factor = +scale.input.value;
    const found = draw(svg, x, { ...mixture, sigma });
    place.output.value = show(x);
    level.output.value = show(sigma);
    scale.output.value = (10 ** factor).toLocaleString("en");
    level.input.setAttribute("aria-valuetext", show(sigma));
    readout.textContent = `x̃ = ${show(x)}: D = ${show(found.d)}. Score: ${show(found.score)}. r lies near ${show(mixture.means[0], 0)} with probability ${show(found.share)}.`;
    density.textContent = `ln of the scaled density: ${show(found.logDensity + factor * Math.LN10)}.`;
    Object.assign(box.dataset, { d: found.d, score: found.score, share: found.share, sigma });
  }
  svg.addEventListener("pointerdown", (event) => {
    const at = svg.getBoundingClientRect();
    place.input.value = (((event.clientX - at.left) / at.width) * 320 - 160) / 150 * LIMIT;
    update();
  });
  update();
}

export default { render };
