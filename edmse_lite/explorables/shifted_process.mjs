// The shifted process in 1-D: many paths between the clean values and y, forwards and backwards.
// Options: title, preset, paths, drawn, steps, tasks [text].
// Beside the paths: their histogram at time t on the exact density, a mixture of kernels.

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- the mathematics, as in the library ----
export const PRESETS = {
  OUVE: { label: "OUVE of the paper", stiffness: 1.5, sigmaMin: 0.05, sigmaMax: 0.5 },
  RichterOUVE: { label: "Richter's OUVE", stiffness: 1.5, sigmaMin: 0.05, sigmaMax: 0.5 },
  VE: { label: "VE: no drift", stiffness: 0, sigmaMin: 0.05, sigmaMax: 0.5 },
  VP: { label: "VP", betaMin: 0.01, betaMax: 1 },
  Cosine: { label: "cosine, shifted", shift: 3, lambdaMin: -12 },
  BBED: { label: "BBED: a bridge", c: 0.1, k: 10 },
};
export const R = [-1.2, 0.4], WEIGHTS = [0.7, 0.3]; // x0 − y of two clean values that fit y

export function simpson(call, low, high, pieces = 400) {
  const h = (high - low) / pieces;
  let sum = call(low) + call(high);
  for (let i = 1; i < pieces; i++) sum += (i % 2 ? 4 : 2) * call(low + i * h);
  return (sum * h) / 3;
}

function ou({ stiffness, sigmaMin, sigmaMax }, richter) {
  const logP = Math.log(sigmaMax / sigmaMin), rate = richter ? logP + stiffness : logP;
  const scale = sigmaMin * Math.sqrt(logP / rate);
  return {
    s: (t) => Math.exp(-stiffness * t), f: () => -stiffness,
    sigma: (t) => scale * Math.sqrt(Math.expm1(2 * rate * t)),
    g: (t) => sigmaMin * Math.sqrt(2 * logP) * Math.exp((rate - stiffness) * t),
  };
}

function vp({ betaMin, betaMax }) {
  const beta = (t) => betaMin + (betaMax - betaMin) * t;
  const integral = (t) => (betaMin + 0.5 * (betaMax - betaMin) * t) * t;
  return {
    s: (t) => Math.exp(-0.5 * integral(t)), f: (t) => -0.5 * beta(t),
    sigma: (t) => Math.sqrt(Math.expm1(integral(t))), g: (t) => Math.sqrt(beta(t)),
  };
}

function cosine({ shift, lambdaMin }) {
  const rate = Math.atan(Math.exp(-0.5 * lambdaMin)), scale = Math.exp(-0.5 * shift);
  const sigma = (t) => scale * Math.tan(rate * t);
  const slope = (t) => rate * (scale + sigma(t) ** 2 / scale);
  const s = (t) => 1 / Math.sqrt(1 + sigma(t) ** 2);
  return {
    s, sigma, f: (t) => (-sigma(t) * slope(t)) / (1 + sigma(t) ** 2),
    g: (t) => s(t) * Math.sqrt(2 * sigma(t) * slope(t)),
  };
}

function bbed({ c, k }) { // runs in 0.999 t; with 1 − τ = e^(−v) the integrand of σ² is smooth
  const end = 0.999, s = (t) => 1 - end * t, integrand = (v) => Math.exp(v - 2 * Math.log(k) * Math.expm1(-v));
  return {
    s, f: (t) => -end / s(t), g: (t) => c * Math.sqrt(end) * k ** (end * t),
    sigma: (t) => c * Math.sqrt(simpson(integrand, 0, -Math.log1p(-end * t))),
  };
}

// s, sigma, f and g of a preset, functions of t.
export function schedule(name) {
  const values = PRESETS[name];
  if (name === "Cosine") return cosine(values);
  if (name === "VP") return vp(values);
  return name === "BBED" ? bbed(values) : ou(values, name === "RichterOUVE");
}

// The schedule on a grid of t, with a number of steps: computed once, read often.
export function table(name, steps) {
  const { s, sigma } = schedule(name), t = Array.from({ length: steps + 1 }, (_, i) => i / steps);
  return { t, s: t.map(s), sigma: t.map(sigma) };
}

// D(x̃; σ) and the probability of each clean value, for values r with weights, without spread.
export function denoise(x, sigma, r, weights) {
  const logs = r.map((v, k) => Math.log(weights[k]) - (x - v) ** 2 / (2 * sigma ** 2));
  const top = Math.max(...logs), raw = logs.map((v) => Math.exp(v - top));
  const sum = raw.reduce((a, b) => a + b, 0), shares = raw.map((v) => v / sum);
  return { d: shares.reduce((found, share, k) => found + share * r[k], 0), shares };
}

// Mean and spread of x_t, and its density at x: kernels N(y + s r, s²σ²) with weights.
export function exact({ s, sigma, y, r, weights }) {
  const centres = r.map((v) => y + s * v), std = s * sigma;
  const mean = centres.reduce((sum, v, k) => sum + weights[k] * v, 0);
  const between = centres.reduce((sum, v, k) => sum + weights[k] * (v - mean) ** 2, 0);
  const density = (x) => centres.reduce((sum, v, k) =>
    sum + (weights[k] * Math.exp(-((x - v) ** 2) / (2 * std ** 2))) / (std * Math.sqrt(2 * Math.PI)), 0);
  return { mean, std: Math.sqrt(std ** 2 + between), density, centres, width: std };
}

// One step of x_t from level a to level b, each {s, sigma}, with a unit normal z.
// Forwards it is the exact transition; backwards the reverse SDE, exact where D is r itself.
export function step(x, a, b, z, { y, r, weights }) {
  const unshifted = (x - y) / a.s;
  if (b.sigma >= a.sigma) return y + b.s * (unshifted + Math.sqrt(b.sigma ** 2 - a.sigma ** 2) * z);
  const kept = (b.sigma / a.sigma) ** 2, { d } = denoise(unshifted, a.sigma, r, weights);
  return y + b.s * (unshifted + (1 - kept) * (d - unshifted) + b.sigma * Math.sqrt(1 - kept) * z);
}

// One path on the grid, index 0 at t = 0 in both directions.  z: unit normals, steps + 1 of them;
// u in [0, 1) picks the clean value; `sampler` starts from y + s(1) σ(1) z, as a sampler must.
export function walk(grid, settings, { z, u, backward = false, sampler = false }) {
  const { y, r, weights } = settings, n = grid.t.length - 1, path = new Array(n + 1);
  const at = (i) => ({ s: grid.s[i], sigma: grid.sigma[i] });
  const clean = r.length > 1 && u >= weights[0] ? r[1] : r[0];
  if (!backward) {
    path[0] = y + clean;
    for (let i = 0; i < n; i++) path[i + 1] = step(path[i], at(i), at(i + 1), z[i + 1], settings);
    return path;
  }
  path[n] = y + grid.s[n] * ((sampler ? 0 : clean) + grid.sigma[n] * z[0]);
  for (let i = n; i > 0; i--) path[i - 1] = step(path[i], at(i), at(i - 1), z[i], settings);
  return path;
}

// Share of backward paths that end at r[0] when they start from N(0, σ(1)²) in x̃: an integral.
export function shareOfFirst(sigma1, r, weights) {
  return simpson((z) => denoise(sigma1 * z, sigma1, r, weights).shares[0] * Math.exp(-z * z / 2), -9, 9, 1200) / Math.sqrt(2 * Math.PI);
}

export function draws(seed) { // mulberry32, then Box and Muller
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

export function moments(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return { mean, std: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length) };
}

// ---- the picture: paths on the left, density at t on the right, one vertical axis ----
const H = 240, LEFT = 38, RIGHT = 8, TOP = 12, BOTTOM = 26, PART = 0.3, BARS = 48;
const show = (v, digits = 3) => (Math.abs(v) < 0.5 * 10 ** -digits ? 0 : v).toFixed(digits).replace("-", "−");

function frame(width, range) {
  const wide = width - LEFT - RIGHT, paths = wide * (1 - PART), side = LEFT + paths + 10;
  return {
    x: (t) => LEFT + paths * t, side, room: width - RIGHT - side,
    y: (v) => TOP + ((H - TOP - BOTTOM) * (range[1] - v)) / (range[1] - range[0]),
  };
}

// Values that the vertical axis must reach: three spreads around each kernel, at every t.
export function reach(grid, { y, r }) {
  let low = Math.min(y, ...r.map((v) => y + v)), high = Math.max(y, ...r.map((v) => y + v));
  grid.t.forEach((_, i) => r.forEach((v) => {
    low = Math.min(low, y + grid.s[i] * (v - 3 * grid.sigma[i]));
    high = Math.max(high, y + grid.s[i] * (v + 3 * grid.sigma[i]));
  }));
  const pad = 0.04 * (high - low);
  return [low - pad, high + pad];
}

function inks(box) {
  const style = getComputedStyle(box);
  return { ink: style.color, accent: style.getPropertyValue("--ed-accent").trim() || style.color };
}

function ticks([low, high]) {
  const size = [0.2, 0.5, 1, 2].find((v) => (high - low) / v <= 7) ?? 5;
  const first = Math.ceil(low / size);
  return Array.from({ length: Math.floor(high / size) - first + 1 }, (_, i) => (first + i) * size);
}

// What does not depend on t: axes, the line of y, the clean values, the drawn paths.
function background(context, at, { range, ys, paths, drawn, colours, width, backward }) {
  context.clearRect(0, 0, width, H);
  context.strokeStyle = context.fillStyle = colours.ink;
  context.font = "13px sans-serif";
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const v of ticks(range)) context.fillText(show(v, 1), LEFT - 5, at.y(v));
  context.textAlign = "center";
  context.fillText("t = 0", at.x(0) + 12, H - 11);
  context.fillText("1", at.x(1), H - 11);
  context.fillText(backward ? "◂ backward" : "forward ▸", at.x(0.5), H - 11);
  context.fillText("density", at.side + at.room / 2, H - 11);
  context.beginPath();
  context.moveTo(LEFT, TOP);
  context.lineTo(LEFT, H - BOTTOM);
  context.lineTo(at.x(1), H - BOTTOM);
  context.moveTo(at.side, TOP);
  context.lineTo(at.side, H - BOTTOM);
  context.stroke();
  context.setLineDash([2, 4]);
  context.beginPath();
  context.moveTo(LEFT, at.y(ys));
  context.lineTo(width - RIGHT, at.y(ys));
  context.stroke();
  context.setLineDash([]);
  context.textAlign = "right";
  context.fillText("y", width - RIGHT, at.y(ys) - 9);
  context.globalAlpha = 0.13;
  trace(context, at, paths.slice(0, drawn));
  context.globalAlpha = 1;
}

function trace(context, at, paths) {
  context.beginPath();
  for (const path of paths) {
    const n = path.length - 1;
    for (let i = 0; i <= n; i++) context[i ? "lineTo" : "moveTo"](at.x(i / n), at.y(path[i]));
  }
  context.stroke();
}

// What moves: the part of the paths that was walked, the cloud at t, histogram and exact density.
function foreground(context, at, { range, here, found, t, colours, width, lit, backward }) {
  const edge = at.x(t), scale = context.canvas.width / width;
  context.clearRect(0, 0, width, H);
  const from = backward ? edge : LEFT, wide = (backward ? at.x(1) : edge) - from;
  if (wide > 0) context.drawImage(lit, from * scale, 0, wide * scale, H * scale, from, 0, wide, H);
  context.fillStyle = colours.accent;
  for (const v of here.slice(0, 150)) context.fillRect(edge - 2, at.y(v) - 1.5, 4, 3);
  const narrow = Math.max(found.width, 0.004 * (range[1] - range[0])), { weights, centres } = found;
  const density = (x) => centres.reduce((sum, v, k) => sum + (weights[k] / narrow) * Math.exp(-((x - v) ** 2) / (2 * narrow ** 2)), 0) / Math.sqrt(2 * Math.PI);
  // bars as fine as the narrowest kernel deserves
  const step = Math.max((range[1] - range[0]) / (BARS * 4), Math.min((range[1] - range[0]) / BARS, narrow / 2)), counts = new Map();
  for (const v of here) { const k = Math.floor((v - range[0]) / step); counts.set(k, (counts.get(k) ?? 0) + 1); }
  const top = 1.25 * Math.max(...centres.map(density)), long = (p) => Math.min(1, p / top) * at.room;
  context.globalAlpha = 0.35;
  for (const [k, count] of counts) {
    const high = at.y(range[0] + (k + 1) * step), low = at.y(range[0] + k * step);
    context.fillRect(at.side, high, long(count / (here.length * step)), Math.max(1, low - high));
  }
  context.globalAlpha = 1;
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.beginPath();
  for (let k = 0; k <= 240; k++) {
    const v = range[0] + ((range[1] - range[0]) * k) / 240;
    context[k ? "lineTo" : "moveTo"](at.side + long(density(v)), at.y(v));
  }
  context.stroke();
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(edge, TOP);
  context.lineTo(edge, H - BOTTOM);
  context.stroke();
}

// ---- controls ----
let count = 0;
const identifier = () => `edmse-shifted-${(count += 1)}`;

function slider(label, min, max, step, value, onInput) {
  const input = Object.assign(element("input", { type: "range", id: identifier(), className: "ed-range" }), { min, max, step, value });
  const output = element("output");
  output.htmlFor = input.id;
  input.addEventListener("input", onInput);
  return { input, output, root: element("div", {},
    element("p", {}, element("label", { htmlFor: input.id, textContent: `${label}\u00a0` }), output),
    element("div", { className: "ed-row" }, input)) };
}

function choice(label, options, value, onChange) {
  const select = element("select", { id: identifier() },
    ...options.map(([key, textContent]) => element("option", { value: key, textContent })));
  select.value = value;
  select.style.cssText = "min-height:44px;font:inherit;max-width:100%";
  select.addEventListener("change", onChange);
  return { select, root: element("p", {}, element("label", { htmlFor: select.id, textContent: `${label}: ` }), select) };
}

function controls(model, on) {
  const button = (textContent, onclick) => element("button", { type: "button", className: "ed-button", textContent, onclick });
  const time = slider("Diffusion time t =", 0, 1, 0.005, 0, on.time);
  const forward = button("Forward", () => on.play(false)), back = button("Backward", () => on.play(true));
  const kind = choice("Schedule", Object.entries(PRESETS).map(([key, { label }]) => [key, label]), model.get("preset") ?? "OUVE", on.settings);
  const values = choice("Clean values that fit y", [["one", "one"], ["two", "two, 7 : 3"]], "one", on.settings);
  const start = choice("Backward paths start from", [["exact", "the exact density at t = 1"], ["sampler", "y + s(1) σ(1) ε, as a sampler must"]], "exact", on.settings);
  const y = slider("Noisy value y, with r = x₀ − y kept: y =", -1, 1, 0.1, 0.6, on.settings);
  const again = button("New diffusion noise", on.again);
  const more = element("details", {}, element("summary", { textContent: "More: schedule, clean values, start, y, noise" }),
    kind.root, values.root, start.root, y.root, element("div", { className: "ed-row" }, again));
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  return { time, forward, back, kind: kind.select, values: values.select, start: start.select, y, more };
}

function render({ model, el }) {
  const steps = model.get("steps") ?? 200, many = model.get("paths") ?? 600, drawn = model.get("drawn") ?? 60;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let seed = 7, backward = false, walks = [], grid, settings, range, at, waiting = 0, playing = 0, colours;
  let costs = [], begun = 0, told = 0, share = 0, asked = 0, place = 0; // place: where t is, 0 to 1

  const ui = controls(model, { time: () => { halt(); place = +ui.time.input.value; later(); }, play, settings: () => { halt(); simulate(); }, again: () => { seed += 1; halt(); simulate(); } });
  const line = () => element("p", { className: "ed-readout" });
  const where = line(), truth = line(), sample = line(), ends = line();
  sample.setAttribute("role", "status");
  const canvas = element("canvas"), context = canvas.getContext("2d");
  const image = element("canvas"), lit = element("canvas"), layers = [image, canvas];
  const stack = element("div", {}, ...layers);
  stack.style.cssText = `position:relative;width:100%;max-width:40rem;height:${H}px;contain:strict;will-change:transform`;
  layers.forEach((each) => { each.style.cssText = "position:absolute;inset:0;width:100%;height:100%;touch-action:pan-y"; });
  image.setAttribute("aria-hidden", "true");
  canvas.setAttribute("role", "img");
  const title = model.get("title") ?? "The shifted process in 1-D";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const box = element("div", { className: "ed-box ed-shifted" },
    element("p", { className: "ed-title", textContent: title }), tasks, where, truth, sample, ends, ui.time.root,
    element("div", { className: "ed-row" }, ui.forward, ui.back), stack,
    element("p", { className: "ed-note", textContent: `${drawn} of ${many} paths on the left. On the right, all paths at time t: bars are counted, the line is the exact density. Dotted: y.` }), ui.more);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function simulate() { // all paths, then everything that does not depend on t
    const two = ui.values.value === "two", name = ui.kind.value;
    grid = table(name, steps);
    settings = { y: +ui.y.input.value, r: two ? R : R.slice(0, 1), weights: two ? WEIGHTS : [1] };
    const { normal, uniform } = draws(1000 * seed);
    walks = Array.from({ length: many }, () => {
      const u = uniform(), z = Array.from({ length: steps + 1 }, normal);
      return walk(grid, settings, { z, u, backward, sampler: ui.start.value === "sampler" });
    });
    range = reach(grid, settings);
    const near = (path, k) => Math.abs(path[0] - settings.y - R[k]);
    share = walks.filter((path) => near(path, 0) < near(path, 1)).length / many;
    asked = backward && ui.start.value === "sampler" ? shareOfFirst(grid.sigma[steps], settings.r, settings.weights) : settings.weights[0];
    paint();
  }

  function paint() {
    const width = Math.max(260, Math.min(640, stack.clientWidth || 320)), scale = Math.min(2, globalThis.devicePixelRatio || 1);
    for (const each of [...layers, lit]) {
      Object.assign(each, { width: Math.round(width * scale), height: Math.round(H * scale) });
      each.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
    }
    colours = inks(box);
    at = frame(width, range);
    background(image.getContext("2d"), at, { range, ys: settings.y, paths: walks, drawn, colours, width, backward });
    const bright = lit.getContext("2d");
    Object.assign(bright, { strokeStyle: colours.accent, globalAlpha: 0.4, lineWidth: 1 });
    trace(bright, at, walks.slice(0, drawn));
    box.dataset.width = width;
    update();
  }

  function update() {
    const begin = performance.now(), i = Math.round(place * steps), t = i / steps;
    const found = { ...exact({ s: grid.s[i], sigma: grid.sigma[i], ...settings }), weights: settings.weights };
    const here = walks.map((path) => path[i]), width = +box.dataset.width;
    foreground(context, at, { range, here, found, t, colours, width, lit, backward });
    if (!playing || begin - told > 150) { tell(i, t, found, moments(here)); told = begin; } // the page around it need not run at 60 Hz
    costs.push(performance.now() - begin);
  }

  function tell(i, t, found, counted) {
    ui.time.input.value = place;
    ui.time.output.value = show(t, 2);
    ui.y.output.value = show(settings.y, 1);
    where.textContent = `s(t) = ${show(grid.s[i])}, σ(t) = ${show(grid.sigma[i])}; the largest level is σ(1) = ${show(grid.sigma[steps])}.`;
    truth.textContent = `Exact density of xₜ: mean ${show(found.mean)}, spread ${show(found.std)}.`;
    sample.textContent = `${many} ${backward ? "backward" : "forward"} paths: mean ${show(counted.mean)}, spread ${show(counted.std)}.`;
    ends.hidden = settings.r.length < 2;
    ends.textContent = `At the likelier clean value, ${show(settings.y + R[0], 1)}, at t = 0: ${Math.round(100 * share)} % of the paths (exact: ${show(100 * asked, 1)} %).`;
    ui.forward.setAttribute("aria-pressed", String(!backward));
    ui.back.setAttribute("aria-pressed", String(backward));
    canvas.setAttribute("aria-label", `Paths of xₜ at t = ${show(t, 2)}: mean ${show(counted.mean, 2)}, spread ${show(counted.std, 2)}; exact ${show(found.mean, 2)} and ${show(found.std, 2)}`);
    Object.assign(box.dataset, { t, mean: found.mean, std: found.std, found: counted.mean, spread: counted.std, share, asked, backward });
  }

  function later() { waiting ||= requestAnimationFrame(() => { waiting = 0; update(); }); }
  function halt() { cancelAnimationFrame(playing); playing = 0; }
  function play(reverse) {
    halt();
    if (reverse !== backward) { backward = reverse; simulate(); }
    if (still.matches) { place = reverse ? 0 : 1; return update(); }
    begun = performance.now();
    costs = [];
    let frames = 0;
    const tick = (now) => {
      const part = Math.min(1, Math.max(0, (now - begun) / 4000));
      frames += 1;
      place = reverse ? 1 - part : part;
      playing = part < 1 ? requestAnimationFrame(tick) : 0;
      update();
      if (!playing) { Object.assign(box.dataset, { fps: (1000 * frames) / (now - begun), cost: moments(costs).mean }); }
    };
    playing = requestAnimationFrame(tick);
  }

  const theme = new MutationObserver(() => paint());
  theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", paint);
  let seen = 0;
  const size = new ResizeObserver(() => { if (stack.clientWidth !== seen) { seen = stack.clientWidth; paint(); } });
  simulate();
  size.observe(stack);
  return () => { halt(); cancelAnimationFrame(waiting); theme.disconnect(); size.disconnect(); dark.removeEventListener("change", paint); };
}

export default { render };
