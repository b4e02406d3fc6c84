// Prior mismatch: what a sampler starts from, what it should start from, and what it then makes.
// Options: title, sigma (σ(1) at the start), paths, steps, tasks [text].
// One real value with two possible answers; exact denoiser; the numbers equal edmse_lite's.

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function shape(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

// ---- the mathematics, as in the library ----
export const TOY = { y: 0.5, weights: [0.7, 0.3], means: [0.15, -0.15], std: 0.03 };
export const CHURN = Math.SQRT2 - 1, SIGMA_MIN = 0.005;
const normal = (x, mean, std) => Math.exp(-(((x - mean) / std) ** 2) / 2) / (std * Math.sqrt(2 * Math.PI));

// D(x̃; y, σ) = E[r | x̃] of the mixture, r real.
export function denoise(x, sigma, { weights, means, std } = TOY) {
  const total = std ** 2 + sigma ** 2, keep = std ** 2 / total;
  const left = (x - means[0]) ** 2, right = (x - means[1]) ** 2, near = Math.min(left, right);
  const a = weights[0] * Math.exp((near - left) / (2 * total)), b = weights[1] * Math.exp((near - right) / (2 * total));
  return ((a * means[0] + b * means[1]) / (a + b)) * (1 - keep) + keep * x;
}

// Density of x_1 = y + s (r + σ ε); at σ = 0 and s = 1 that of y + r.
export function marginal(x, s, sigma, { y, weights, means, std } = TOY) {
  return weights.reduce((p, w, k) => p + w * normal(x, y + s * means[k], s * Math.hypot(std, sigma)), 0);
}
export const prior = (x, s, sigma, { y } = TOY) => normal(x, y, s * sigma);

// KL of the true marginal of x_1 to what the sampler draws from: quadrature in x_1, with s in it.
export function klMarginal(s, sigma, toy = TOY, points = 4001) {
  const half = s * (Math.max(...toy.means.map(Math.abs)) + 10 * Math.hypot(toy.std, sigma));
  const step = (2 * half) / (points - 1);
  let sum = 0;
  for (let i = 0; i < points; i++) {
    const x = toy.y - half + i * step, p = marginal(x, s, sigma, toy);
    const z = (x - toy.y) / (s * sigma); // ln of the prior, as its density may underflow
    if (p > 1e-300) sum += p * (Math.log(p) + z * z / 2 + Math.log(s * sigma * Math.sqrt(2 * Math.PI))) * step;
  }
  return sum;
}

// Mean over the answers r of KL(kernel given r, prior) = (s r)² / (2 (s σ)²).
export function klKernel(s, sigma, { weights, means, std } = TOY) {
  const power = weights.reduce((sum, w, k) => sum + w * (means[k] ** 2 + std ** 2), 0);
  return (s ** 2 * power) / (2 * (s * sigma) ** 2);
}

// Levels of Karras et al. with ρ = 7, from sigmaMax down to sigmaMin.
export function levels(sigmaMin, sigmaMax, steps) {
  const top = sigmaMax ** (1 / 7), bottom = sigmaMin ** (1 / 7);
  return Array.from({ length: steps }, (_, i) => (top + (steps > 1 ? i / (steps - 1) : 0) * (bottom - top)) ** 7);
}

// One path from x̃: Heun's method, each level first raised by the factor 1 + churn; y + D ends it.
export function walk(x, sigmas, churn, noise, D = denoise) {
  for (let i = 0; i < sigmas.length; i++) {
    const sigma = sigmas[i], high = sigma * (1 + churn);
    x += Math.sqrt(high ** 2 - sigma ** 2) * noise[i];
    const d = D(x, high);
    if (i === sigmas.length - 1) return d;
    const low = sigmas[i + 1], slope = (x - d) / high, guess = x + (low - high) * slope;
    x += ((low - high) * (slope + (guess - D(guess, low)) / low)) / 2;
  }
}

export function uniforms(seed) { // mulberry32
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Results of many walks, and the share of them above 0.
export function run({ s, sigma, told, churn, steps, paths, seed }, toy = TOY) {
  const draw = uniforms(seed), sigmas = levels(SIGMA_MIN, sigma, steps);
  const unit = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  const ends = new Float64Array(paths), noise = new Float64Array(steps), D = (x, level) => denoise(x, level, toy);
  let above = 0;
  for (let k = 0; k < paths; k++) {
    const r = toy.means[draw() < toy.weights[0] ? 0 : 1] + toy.std * unit();
    const x1 = toy.y + s * ((told ? r : 0) + sigma * unit()); // the start, in x_t
    if (churn) for (let i = 0; i < steps; i++) noise[i] = unit();
    ends[k] = walk((x1 - toy.y) / s, sigmas, churn, noise, D);
    above += ends[k] > 0;
  }
  const share = above / paths;
  return { ends, share, half: 1.96 * Math.sqrt((share * (1 - share)) / paths) };
}

// ---- the picture: two panels of 360 x 150 ----
const W = 360, H = 150, LEFT = 12, RIGHT = 12, BASE = 124, TOP = 12;
const ACCENT = "var(--ed-accent,currentColor)";
const minus = (text) => text.replace("-", "−");
const short = (v) => minus(Math.abs(v) >= 10 ? v.toFixed(0) : Math.abs(v) >= 0.995 ? v.toFixed(1) : v.toPrecision(2));

function panel(note) {
  const root = shape("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  root.style.cssText = "display:block;width:100%;max-width:34rem;height:auto;font-size:14px";
  return { root, box: element("div", {}, element("p", { className: "ed-note", innerHTML: note }), root) };
}

const px = (u) => LEFT + (W - LEFT - RIGHT) * u; // u in 0 … 1
const line = (values, top) => values.map((v, i) => `${i ? "L" : "M"}${px(i / (values.length - 1)).toFixed(1)} ${(BASE - (BASE - TOP) * Math.min(1, v / top)).toFixed(1)}`).join("");
const axis = (ticks) => [
  shape("line", { x1: LEFT, x2: W - RIGHT, y1: BASE, y2: BASE, stroke: "currentColor" }),
  ...ticks.map(([u, words]) => shape("text", { x: px(u), y: H - 6, fill: "currentColor", "text-anchor": u < 0.1 ? "start" : u > 0.9 ? "end" : "middle" }, words)),
];

function drawStart(root, s, sigma) {
  const half = s * 3.2 * Math.hypot(sigma, 0.12), at = (i) => TOY.y - half + (2 * half * i) / 160;
  const grid = Array.from({ length: 161 }, (_, i) => at(i));
  const should = grid.map((x) => marginal(x, s, sigma)), does = grid.map((x) => prior(x, s, sigma));
  const top = Math.max(...should, ...does);
  root.replaceChildren(
    shape("path", { d: line(does, top), fill: "none", stroke: ACCENT, "stroke-width": 2.5 }),
    shape("path", { d: line(should, top), fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-dasharray": "6 4" }),
    ...axis([[0, short(TOY.y - half)], [0.5, `y = ${TOY.y}`], [1, short(TOY.y + half)]]));
  root.setAttribute("aria-label", `Two densities of x₁ between ${short(TOY.y - half)} and ${short(TOY.y + half)}: what is drawn, and what should be`);
}

function drawEnd(root, ends, share) {
  const half = 0.3, bins = 60, width = (2 * half) / bins, counts = new Array(bins).fill(0);
  for (const r of ends) counts[Math.min(bins - 1, Math.max(0, Math.floor((r + half) / width)))] += 1 / (ends.length * width);
  const exact = Array.from({ length: 241 }, (_, i) => marginal(TOY.y - half + (2 * half * i) / 240, 1, 0));
  const top = Math.max(...exact, ...counts) * 1.05;
  root.replaceChildren(
    ...counts.map((c, i) => shape("rect", { x: px(i / bins), width: (W - LEFT - RIGHT) / bins, y: BASE - ((BASE - TOP) * c) / top, height: ((BASE - TOP) * c) / top, fill: ACCENT, opacity: 0.55 })),
    shape("path", { d: line(exact, top), fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-dasharray": "6 4" }),
    ...axis([[0, "−0.3"], [0.25, "−0.15"], [0.5, "r = 0"], [0.75, "0.15"], [1, "0.3"]]));
  root.setAttribute("aria-label", `Histogram of the results over the exact posterior of r: ${(100 * share).toFixed(1)} % lie above 0, exact 70 %`);
}

// ---- controls ----
let count = 0;
function slider(label, min, max, step, value, onInput) {
  const id = `edmse-mismatch-${(count += 1)}`, output = element("output");
  const input = Object.assign(element("input", { type: "range", id, className: "ed-range" }), { min, max, step, value });
  output.htmlFor = id;
  input.addEventListener("input", onInput);
  const name = element("label", { htmlFor: id, textContent: `${label}\u00a0` });
  return { input, output, root: element("div", {}, element("p", {}, name, output), element("div", { className: "ed-row" }, input)) };
}

function choice(label, options, onInput) {
  const id = `edmse-mismatch-${(count += 1)}`;
  const select = element("select", { id }, ...options.map(([value, textContent]) => element("option", { value, textContent })));
  select.style.cssText = "min-height:44px;font:inherit;max-width:100%";
  select.addEventListener("change", onInput);
  return { select, root: element("p", {}, element("label", { htmlFor: id, textContent: `${label} ` }), select) };
}

function render({ model, el }) {
  const paths = model.get("paths") ?? 4000, steps = model.get("steps") ?? 24;
  let seed = 13, waiting = 0;
  const show = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; update(); }); };
  const mismatch = element("p", { className: "ed-readout" }), result = element("p", { className: "ed-readout" });
  result.setAttribute("role", "status");
  const sigma = slider("Largest level σ(1) =", -1.5, 0.3, 0.01, Math.log10(model.get("sigma") ?? 2), show); // log10
  const scale = slider("Scaling s(1) =", -1.3, 0, 0.01, 0, show); // log10
  const start = choice("Start:", [["y", "at y, as samplers do"], ["told", "where it should: told r (oracle)"]], show);
  const churn = choice("Churn:", [["0", "none: the flow"], [String(CHURN), "the most: √2 in σ, each step"]], show);
  const upper = panel("The start, <em>x₁</em>. Solid: what the sampler draws. Dashed: what the process has there.");
  const lower = panel(`The results <em>r</em> of ${paths.toLocaleString("en")} walks of ${steps} steps. Dashed: the exact posterior, 70 % above 0.`);
  const again = element("button", { type: "button", className: "ed-button", textContent: "New diffusion noise", onclick: () => { seed += 1; show(); } });
  const more = element("details", {}, element("summary", { textContent: "More: s(1), start, churn" }),
    scale.root, start.root, churn.root, element("div", { className: "ed-row" }, again));
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const title = model.get("title") ?? "Prior mismatch";
  const box = element("div", { className: "ed-box ed-mismatch" }, element("p", { className: "ed-title", textContent: title }),
    tasks, mismatch, result, sigma.root, upper.box, lower.box, more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function update() {
    const now = { s: 10 ** +scale.input.value, sigma: 10 ** +sigma.input.value, told: start.select.value === "told", churn: +churn.select.value, steps, paths, seed };
    const found = run(now), kernel = klKernel(now.s, now.sigma), kl = klMarginal(now.s, now.sigma);
    for (const [control, value] of [[sigma, now.sigma], [scale, now.s]]) {
      control.output.value = short(value);
      control.input.setAttribute("aria-valuetext", short(value));
    }
    mismatch.textContent = `Mismatch: ${short(kl)} nats; told r, on average ${short(kernel)}. Spread of x₁: s(1) σ(1) = ${short(now.s * now.sigma)}.`;
    result.textContent = `Above 0: ${(100 * found.share).toFixed(1)} ± ${(100 * found.half).toFixed(1)} %. Exact: 70.0 %.`;
    drawStart(upper.root, now.s, now.sigma);
    drawEnd(lower.root, found.ends, found.share);
    Object.assign(box.dataset, { kl, kernel, share: found.share, half: found.half, s: now.s, sigma: now.sigma });
  }
  update();
  return () => cancelAnimationFrame(waiting);
}

export default { render };
