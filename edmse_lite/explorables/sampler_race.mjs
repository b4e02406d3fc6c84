// Sampler race: EDM, PC and DPM-Solver++(2M) on an exact mixture in the plane, at equal cost.
// Options: title, calls (at the start), paths (at least 256), tasks [text].
// The denoiser is exact, so every error is the sampler's; the numbers equal edmse_lite's.

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
export const TOY = { weights: [0.5, 0.3, 0.2], means: [[0.16, 0.05], [-0.14, 0.1], [-0.02, -0.17]], std: 0.03 };
export const SDE = { stiffness: 1.5, sigmaMin: 0.05, sigmaMax: 1.75 }; // OUVE: σ(t) does not know γ
export const T_EPS = 0.03, BUDGETS = [4, 8, 16, 32, 64, 128], REFERENCE = 200;

export function schedule({ stiffness, sigmaMin, sigmaMax }) {
  const logP = Math.log(sigmaMax / sigmaMin);
  return {
    s: (t) => Math.exp(-stiffness * t), f: () => -stiffness,
    sigma: (t) => sigmaMin * Math.sqrt(Math.expm1(2 * logP * t)),
    g: (t) => sigmaMin * Math.sqrt(2 * logP) * Math.exp((logP - stiffness) * t),
  };
}

// D(x̃; y, σ) of the mixture, the same for every y: [a, b] → [a, b].
export function denoise([a, b], sigma, { weights, means, std } = TOY) {
  const total = std ** 2 + sigma ** 2, keep = std ** 2 / total, parts = new Array(weights.length);
  let near = Infinity, mass = 0, u = 0, v = 0;
  for (let k = 0; k < parts.length; k++) near = Math.min(near, (parts[k] = (a - means[k][0]) ** 2 + (b - means[k][1]) ** 2));
  for (let k = 0; k < parts.length; k++) {
    const part = weights[k] * Math.exp((near - parts[k]) / (2 * total));
    mass += part; u += part * means[k][0]; v += part * means[k][1];
  }
  return [(u / mass) * (1 - keep) + keep * a, (v / mass) * (1 - keep) + keep * b];
}

const mix = (p, x, q, z) => [p * x[0] + q * z[0], p * x[1] + q * z[1]]; // p x + q z

export function levels(low, high, steps) { // Karras et al., ρ = 7
  const top = high ** (1 / 7), bottom = low ** (1 / 7);
  return Array.from({ length: steps }, (_, i) => (top + (steps > 1 ? i / (steps - 1) : 0) * (bottom - top)) ** 7);
}

// Heun's method in σ without churn: 2N − 1 calls.
export function edm(x, sigmas, D = denoise) {
  for (let i = 0; ; i++) {
    const sigma = sigmas[i], d = D(x, sigma);
    if (i === sigmas.length - 1) return d;
    const low = sigmas[i + 1], slope = mix(1 / sigma, x, -1 / sigma, d), guess = mix(1, x, low - sigma, slope);
    const other = mix(1 / low, guess, -1 / low, D(guess, low));
    x = mix(1, x, (low - sigma) / 2, mix(1, slope, 1, other));
  }
}

// DPM-Solver++(2M) in λ = −ln σ: N calls.
export function dpm(x, sigmas, D = denoise) {
  for (let i = 0, before; ; i++) {
    const sigma = sigmas[i], d = D(x, sigma);
    if (i === sigmas.length - 1) return d;
    const q = i && Math.log(sigmas[i - 1] / sigma) / Math.log(sigma / sigmas[i + 1]);
    const ahead = i ? mix(1 + 1 / (2 * q), d, -1 / (2 * q), before) : d;
    x = mix(sigmas[i + 1] / sigma, x, 1 - sigmas[i + 1] / sigma, ahead);
    before = d;
  }
}

// Predictor-corrector in x_t (y = 0), corrector first, y + D at the end: 2N calls.
// noise: 1 start, then corrector and predictor of each step.
export function pc(noise, steps, snr, sde, D = denoise) {
  const times = Array.from({ length: steps }, (_, i) => (steps > 1 ? 1 + (i * (T_EPS - 1)) / (steps - 1) : 1));
  let x = mix(0, [0, 0], sde.s(1) * sde.sigma(1), noise[0]);
  for (let i = 0; i < steps; i++) {
    const t = times[i], s = sde.s(t), sigma = sde.sigma(t);
    const ask = () => D(mix(1 / s, x, 0, x), sigma);
    const score = (d) => mix(1 / (s * sigma ** 2), d, -1 / (s * s * sigma ** 2), x);
    const size = 2 * (snr * s * sigma) ** 2;
    x = mix(1, mix(1, x, size, score(ask())), Math.sqrt(2 * size), noise[2 * i + 1]);
    const d = ask();
    if (i === steps - 1) return d;
    const delta = t - times[i + 1], g = sde.g(t);
    x = mix(1, mix(1 - sde.f(t) * delta, x, g * g * delta, score(d)), g * Math.sqrt(delta), noise[2 * i + 2]);
  }
}

// Steps of each sampler that a budget of calls pays for, and the calls it then makes.
export const bought = (calls) => ({
  EDM: { steps: Math.floor((calls + 1) / 2), calls: 2 * Math.floor((calls + 1) / 2) - 1 },
  PC: { steps: Math.floor(calls / 2), calls: 2 * Math.floor(calls / 2) },
  DPM: { steps: calls, calls },
});

export function normals(seed) { // mulberry32, then Box and Muller
  const draw = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  return { draw, point: () => [normal(), normal()] };
}

export const rms = (ends, others) => Math.sqrt(ends.reduce((sum, a, i) => sum + (a[0] - others[i][0]) ** 2 + (a[1] - others[i][1]) ** 2, 0) / ends.length);

// Draws of the exact posterior, as many of each answer as its weight says.
export function exact(count, seed, { weights, means, std } = TOY) {
  const { point } = normals(seed);
  return weights.flatMap((w, k) => Array.from({ length: Math.round(w * count) }, () => mix(1, means[k], std, point())));
}

// Independent draws of the exact posterior: the number of each answer is up to chance.
export function independent(count, seed, { weights, means, std } = TOY) {
  const { draw, point } = normals(seed);
  return Array.from({ length: count }, () => {
    let u = draw(), k = 0;
    while (k < weights.length - 1 && u > weights[k]) u -= weights[k++];
    return mix(1, means[k], std, point());
  });
}

// Sliced Wasserstein distance: in 12 directions, rms gap of sorted shadows, against many exact draws.
export function cloudDistance(ends, truth) {
  let sum = 0;
  for (let j = 0; j < 12; j++) {
    const c = Math.cos((Math.PI * j) / 12), s = Math.sin((Math.PI * j) / 12);
    const shadow = (points) => Float64Array.from(points, ([a, b]) => c * a + s * b).sort();
    const mine = shadow(ends), theirs = shadow(truth), step = theirs.length / mine.length;
    mine.forEach((v, i) => { sum += (v - theirs[Math.floor((i + 0.5) * step)]) ** 2 / (12 * mine.length); });
  }
  return Math.sqrt(sum);
}

// All budgets: ends, distance of the cloud, error of the path against the exact flow (not for PC).
export function race({ paths, seed, snr, stiffness }) {
  const sde = schedule({ ...SDE, stiffness }), high = sde.sigma(1), low = sde.sigma(T_EPS);
  const { point } = normals(seed), truth = exact(16 * paths, 1);
  const noise = Array.from({ length: paths }, () => Array.from({ length: BUDGETS.at(-1) + 1 }, point));
  const from = (solve, steps) => noise.map((z) => solve(mix(high, z[0], 0, z[0]), levels(low, high, steps)));
  const flow = from(edm, REFERENCE);
  const rounds = BUDGETS.map((budget) => {
    const plan = bought(budget);
    const ends = { EDM: from(edm, plan.EDM.steps), DPM: from(dpm, plan.DPM.steps), PC: noise.map((z) => pc(z, plan.PC.steps, snr, sde)) };
    const each = (name) => ({ ...plan[name], ends: ends[name], cloud: cloudDistance(ends[name], truth), path: name === "PC" ? null : rms(ends[name], flow) });
    return { budget, EDM: each("EDM"), DPM: each("DPM"), PC: each("PC") };
  });
  const chance = [2, 3, 4, 5].map((other) => cloudDistance(independent(paths, other), truth));
  return { rounds, floor: Math.sqrt(chance.reduce((sum, v) => sum + v * v, 0) / chance.length) };
}

// Order between two budgets: log ratio of the path errors over log ratio of the calls.
export const order = (a, b) => Math.log(a.path / b.path) / Math.log(b.calls / a.calls);

// ---- the pictures ----
const NAMES = { EDM: "EDM", DPM: "DPM++(2M)", PC: "PC" };
const LOOK = { EDM: { dash: "", mark: "o" }, DPM: { dash: "7 3", mark: "s" }, PC: { dash: "2 3", mark: "D" } };
const ACCENT = "var(--ed-accent,currentColor)";
const small = (v) => (v < 0.001 ? v.toExponential(0).replace("-", "−").replace("e", "·10^") : v.toPrecision(2));

function clouds(root, round) {
  const nodes = [];
  Object.keys(NAMES).forEach((name, j) => {
    const left = 120 * j, px = (v) => left + 60 + v * 210, py = (v) => 62 - v * 210;
    TOY.means.forEach(([a, b]) => nodes.push(shape("circle", { cx: px(a), cy: py(b), r: 210 * 2 * TOY.std, fill: "currentColor", opacity: 0.12 })));
    round[name].ends.slice(0, 256).forEach(([a, b]) => {
      if (Math.abs(a) < 0.28 && Math.abs(b) < 0.28) nodes.push(shape("circle", { cx: px(a).toFixed(1), cy: py(b).toFixed(1), r: 1.3, fill: ACCENT }));
    });
    nodes.push(shape("text", { x: left + 60, y: 134, fill: "currentColor", "text-anchor": "middle" }, NAMES[name]));
  });
  root.replaceChildren(...nodes);
  root.setAttribute("aria-label", `Where 256 of the walks end at ${round.budget} calls, one panel a sampler; grey discs hold the exact answers`);
}

const W = 360, H = 190, LEFT = 52, BASE = 158, TOP = 12, RIGHT = 16;
function mark(kind, x, y, fill) {
  if (kind === "o") return shape("circle", { cx: x, cy: y, r: 4, fill });
  const side = kind === "s" ? {} : { transform: `rotate(45 ${x} ${y})` };
  return shape("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7, fill, ...side });
}

// Lines over calls, both axes logarithmic; the marked column is the chosen budget.
function chart(root, rounds, key, names, chosen, extra, title) {
  const values = rounds.flatMap((round) => names.map((name) => round[name][key]));
  const high = Math.ceil(Math.log10(Math.max(...values))), low = Math.floor(Math.log10(Math.max(Math.min(...values), 1e-7)));
  const px = (calls) => LEFT + ((W - LEFT - RIGHT) * Math.log2(calls / 3)) / Math.log2(140 / 3);
  const py = (v) => BASE - ((BASE - TOP) * (Math.log10(Math.max(v, 1e-7)) - low)) / (high - low);
  const text = (x, y, words, anchor = "middle") => shape("text", { x, y, fill: "currentColor", "text-anchor": anchor }, words);
  const nodes = [shape("path", { d: `M${LEFT} ${TOP}V${BASE}H${W - RIGHT}`, fill: "none", stroke: "currentColor" }),
    shape("line", { x1: px(chosen), x2: px(chosen), y1: TOP, y2: BASE, stroke: "currentColor", opacity: 0.35, "stroke-width": 6 }),
    ...BUDGETS.map((calls) => text(px(calls), BASE + 16, String(calls))),
    text((LEFT + W - RIGHT) / 2, H - 1, "calls of the denoiser")];
  for (let e = low; e <= high; e++) if (high - low < 4 || (high - e) % 2 === 0) nodes.push(text(LEFT - 5, py(10 ** e) + 5, ["1", "0.1", "0.01", "0.001"][-e] ?? `1e${String(e).replace("-", "−")}`, "end"));
  for (const name of names) {
    const points = rounds.map((round) => [px(round[name].calls), py(round[name][key])]);
    nodes.push(shape("path", { d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(""), fill: "none", stroke: ACCENT, "stroke-width": 2, "stroke-dasharray": LOOK[name].dash }),
      ...points.map(([x, y]) => mark(LOOK[name].mark, x, y, ACCENT)));
  }
  nodes.push(...extra(px, py, text));
  root.replaceChildren(...nodes);
  root.setAttribute("aria-label", title);
}

// A triangle that falls by 4 while the calls double: order 2.
const triangle = (rounds) => (px, py, text) => {
  const a = rounds[2].EDM.calls, top = 2.5 * rounds[2].EDM.path, b = 4 * a, low = top / 16;
  return [shape("path", { d: `M${px(a)} ${py(top)}H${px(b)}V${py(low)}Z`, fill: "none", stroke: "currentColor", "stroke-width": 1.4 }),
    text(px(2 * a), py(top) - 5, "× 4"), text(px(b) + 5, py(Math.sqrt(top * low)) + 5, "÷ 16", "start")];
};

// ---- controls ----
let count = 0;
function slider(label, min, max, step, value, onInput) {
  const id = `edmse-race-${(count += 1)}`, output = element("output");
  const input = Object.assign(element("input", { type: "range", id, className: "ed-range" }), { min, max, step, value });
  output.htmlFor = id;
  input.addEventListener("input", onInput);
  const name = element("label", { htmlFor: id, textContent: `${label}\u00a0` });
  return { input, output, root: element("div", {}, element("p", {}, name, output), element("div", { className: "ed-row" }, input)) };
}

function plot(note, box) {
  const root = shape("svg", { viewBox: box, role: "img" });
  root.style.cssText = "display:block;width:100%;max-width:34rem;height:auto;font-size:14px";
  return { root, box: element("div", {}, element("p", { className: "ed-note", textContent: note }), root) };
}

function render({ model, el }) {
  const paths = Math.max(256, model.get("paths") ?? 256);
  let seed = 12, waiting = 0, known = "", found;
  const show = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; update(); }); };
  const start = Math.max(0, BUDGETS.indexOf(model.get("calls") ?? 8));
  const calls = slider("Calls of the denoiser:", 0, BUDGETS.length - 1, 1, start, show);
  const gamma = slider("Stiffness γ of the schedule, s = exp(−γt):", 0, 2, 0.1, SDE.stiffness, show);
  const snr = slider("Corrector of PC, r_corr =", 0, 1, 0.05, 0.5, show);
  const again = element("button", { type: "button", className: "ed-button", textContent: "New diffusion noise", onclick: () => { seed += 1; show(); } });
  const more = element("details", {}, element("summary", { textContent: "More: stiffness, corrector, noise" }),
    gamma.root, snr.root, element("div", { className: "ed-row" }, again));
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const rows = Object.fromEntries(Object.keys(NAMES).map((name) => [name, element("p", { className: "ed-readout" })]));
  const status = element("p", { className: "ed-readout" });
  status.setAttribute("role", "status");
  const ends = plot("Where the walks end. Grey: the exact answers, two standard deviations.", "0 0 360 142");
  const path = plot("Each walk against the exact flow from the same start, rms. Dots and solid: EDM. Squares and dashes: DPM++(2M). PC follows no flow. The triangle has order 2.", `0 0 ${W} ${H}`);
  const cloud = plot("The cloud against the exact posterior. Diamonds and dots: PC. Thin line: as many exact draws.", `0 0 ${W} ${H}`);
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const title = model.get("title") ?? "Sampler race";
  const box = element("div", { className: "ed-box ed-race" }, element("p", { className: "ed-title", textContent: title }),
    tasks, ...Object.values(rows), status, calls.root, ends.box, path.box, cloud.box, more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function update() {
    const settings = { paths, seed, snr: +snr.input.value, stiffness: +gamma.input.value };
    if (known !== JSON.stringify(settings)) [found, known] = [race(settings), JSON.stringify(settings)];
    const { rounds, floor } = found, round = rounds[+calls.input.value];
    calls.output.value = `up to ${round.budget}`;
    calls.input.setAttribute("aria-valuetext", `${round.budget} calls`);
    gamma.output.value = settings.stiffness.toFixed(1);
    snr.output.value = settings.snr.toFixed(2);
    for (const name of Object.keys(NAMES)) {
      const { steps, calls: made, cloud: far, path: off } = round[name];
      rows[name].textContent = `${NAMES[name]}: ${steps} steps, ${made} calls; cloud ${small(far)}${off === null ? "" : `, path ${small(off)}`}`;
      box.dataset[`${name.toLowerCase()}Cloud`] = far;
      if (off !== null) box.dataset[`${name.toLowerCase()}Path`] = off;
    }
    const slopes = ["EDM", "DPM"].map((name) => order(rounds[3][name], rounds[5][name]));
    status.textContent = `${paths} walks each. Order of the path, ${BUDGETS[3]} to ${BUDGETS[5]} calls: EDM ${slopes[0].toFixed(1)}, DPM++ ${slopes[1].toFixed(1)}. Exact draws: cloud ${small(floor)}.`;
    clouds(ends.root, round);
    chart(path.root, rounds, "path", ["EDM", "DPM"], round.budget, triangle(rounds), "Error of the path over calls, both axes logarithmic, with a triangle of order 2");
    chart(cloud.root, rounds, "cloud", Object.keys(NAMES), round.budget,
      (px, py) => [shape("line", { x1: LEFT, x2: W - RIGHT, y1: py(floor), y2: py(floor), stroke: "currentColor" })], "Distance of the cloud over calls for three samplers, both axes logarithmic");
    Object.assign(box.dataset, { budget: round.budget, edmOrder: slopes[0], dpmOrder: slopes[1], floor });
  }
  update();
  return () => cancelAnimationFrame(waiting);
}

export default { render };
