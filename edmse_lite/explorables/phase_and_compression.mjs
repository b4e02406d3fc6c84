// Exponent, diffusion noise and phase of a complex spectrogram, seen and heard.
// Options: title, clip {src, label, transcript, heard} (wav or mp3, 16 kHz mono), exponent, tasks [text].
// Everything is computed here, as the library does it; nothing is fetched before a tap.

const RATE = 16000, N = 512, HOP = 256, BINS = 256;

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- the transform: periodic square-root Hann both ways, centred frames, no Nyquist bin ----
const windowed = Float64Array.from({ length: N }, (_, i) => Math.sin((Math.PI * i) / N));

export function fft(re, im, sign = -1) {
  for (let i = 1, j = 0; i < N; i++) {
    let bit = N >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let size = 2; size <= N; size *= 2) {
    const angle = (sign * 2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k++) {
      const c = Math.cos(angle * k), s = Math.sin(angle * k);
      for (let i = k; i < N; i += size) {
        const j = i + size / 2;
        const a = re[j] * c - im[j] * s, b = re[j] * s + im[j] * c;
        re[j] = re[i] - a; im[j] = im[i] - b; re[i] += a; im[i] += b;
      }
    }
  }
}

export function stft(wave) {
  const frames = Math.ceil(wave.length / HOP) + 1;
  const magnitude = new Float64Array(frames * BINS), phase = new Float64Array(frames * BINS);
  for (let l = 0; l < frames; l++) {
    const re = new Float64Array(N), im = new Float64Array(N);
    for (let i = 0; i < N; i++) re[i] = (wave[l * HOP + i - N / 2] ?? 0) * windowed[i];
    fft(re, im);
    for (let k = 0; k < BINS; k++) {
      magnitude[l * BINS + k] = Math.hypot(re[k], im[k]);
      phase[l * BINS + k] = Math.atan2(im[k], re[k]);
    }
  }
  return { magnitude, phase, frames };
}

export function istft(magnitude, phase, frames, length) {
  const wave = new Float64Array(length);
  for (let l = 0; l < frames; l++) {
    const re = new Float64Array(N), im = new Float64Array(N);
    for (let k = 0; k < BINS; k++) {
      const m = magnitude[l * BINS + k] / N, p = phase[l * BINS + k];
      re[k] = m * Math.cos(p);
      im[k] = k ? m * Math.sin(p) : 0;
      if (k) { re[N - k] = re[k]; im[N - k] = -im[k]; }
    }
    fft(re, im, 1);
    for (let i = 0; i < N; i++) {
      const at = l * HOP + i - N / 2;
      if (at >= 0 && at < length) wave[at] += re[i] * windowed[i];
    }
  }
  return wave;
}

function random(seed) { // mulberry32
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const PHASES = {
  own: (phase) => phase,
  turned: (phase) => phase.map((p) => p + Math.PI / 2),
  zero: (phase) => phase.map(() => 0),
  random: (phase) => { const draw = random(7); return phase.map(() => 2 * Math.PI * draw()); },
};

// c = a |X|^alpha e^{j phase}; sigma = rms(c) 10^(-snr/20); c + sigma eps, expanded again.
export function experiment(spectrum, { exponent, factor = 0.15, snr = 10, phase = "own" }) {
  const { magnitude } = spectrum, n = magnitude.length;
  const phases = PHASES[phase](spectrum.phase);
  const compressed = magnitude.map((m) => factor * m ** exponent);
  const rms = Math.sqrt(compressed.reduce((sum, c) => sum + c * c, 0) / n);
  const sigma = rms * 10 ** (-snr / 20);
  const draw = random(1);
  const noisy = { magnitude: new Float64Array(n), phase: new Float64Array(n) };
  let above = 0, fourth = 0;
  for (let i = 0; i < n; i++) {
    const c = compressed[i], r = sigma * Math.sqrt(-Math.log(1 - draw())), p = 2 * Math.PI * draw();
    const re = c * Math.cos(phases[i]) + r * Math.cos(p), im = c * Math.sin(phases[i]) + r * Math.sin(p);
    noisy.magnitude[i] = (Math.hypot(re, im) / factor) ** (1 / exponent);
    noisy.phase[i] = Math.atan2(im, re);
    above += c > sigma;
    fourth += (c / rms) ** 4;
  }
  return { compressed, rms, sigma, noisy, phases, above: above / n, fourth: fourth / n };
}

export const expand = (compressed, { exponent, factor = 0.15 }) => compressed.map((c) => (c / factor) ** (1 / exponent));

export function siSdr(clean, estimate) {
  let xy = 0, xx = 0, yy = 0;
  for (let i = 0; i < clean.length; i++) { xy += clean[i] * estimate[i]; xx += clean[i] ** 2; yy += estimate[i] ** 2; }
  const cosine2 = (xy * xy) / (xx * yy);
  return 10 * Math.log10(cosine2 / (1 - cosine2));
}

// ---- sound in and out ----
async function samples(src) {
  const data = src.startsWith("data:")
    ? Uint8Array.from(atob(src.slice(src.indexOf(",") + 1)), (c) => c.charCodeAt(0)).buffer
    : await (await fetch(src)).arrayBuffer();
  const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(data);
  return decoded.getChannelData(0);
}

function wavAddress(wave, like) {
  const power = (w) => Math.sqrt(w.reduce((sum, v) => sum + v * v, 0) / w.length) || 1;
  const peak = wave.reduce((top, v) => Math.max(top, Math.abs(v)), 1e-9);
  const gain = Math.min(power(like) / power(wave), 0.95 / peak); // as loud as the clip, no clipping
  const view = new DataView(new ArrayBuffer(44 + 2 * wave.length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * wave.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true); view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * wave.length, true);
  wave.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(32767 * gain * v), true));
  return URL.createObjectURL(new Blob([view], { type: "audio/wav" }));
}

// ---- picture: |c| over time and frequency, linear in |c| ----
const MAP = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]]; // viridis

function colour(value) {
  const at = Math.min(Math.max(value, 0), 0.9999) * (MAP.length - 1), i = Math.floor(at), w = at - i;
  return MAP[i].map((v, k) => v + w * (MAP[i + 1][k] - v));
}

function paint(canvas, compressed, frames) {
  canvas.width = frames; canvas.height = BINS;
  const top = compressed.reduce((a, b) => Math.max(a, b), 1e-12);
  const context = canvas.getContext("2d"), image = context.createImageData(frames, BINS);
  for (let l = 0; l < frames; l++) {
    for (let k = 0; k < BINS; k++) {
      const [r, g, b] = colour(compressed[l * BINS + k] / top);
      image.data.set([r, g, b, 255], 4 * ((BINS - 1 - k) * frames + l));
    }
  }
  context.putImageData(image, 0, 0);
}

let count = 0;
function slider(label, min, max, step, value, onInput) {
  const id = `edmse-slider-${(count += 1)}`;
  const output = element("output"), input = element("input", { type: "range", id, className: "ed-range" });
  output.htmlFor = id;
  output.style.marginInlineStart = ".4em";
  Object.assign(input, { min, max, step, value });
  input.addEventListener("input", onInput);
  const name = element("label", { htmlFor: id, textContent: `${label} ` });
  return { input, output, root: element("div", {}, element("p", {}, name, output), element("div", { className: "ed-row" }, input)) };
}

function render({ model, el }) {
  const clip = model.get("clip");
  if (!clip) { el.textContent = "There is no recording here."; return; }
  const state = {};
  const show = () => { // at most one update a frame, however fast the slider moves
    if (!state.wave) { load(); return; }
    if (state.waiting) return;
    state.waiting = requestAnimationFrame(() => { state.waiting = 0; update(); });
  };
  const readout = element("p", { className: "ed-readout" });
  readout.setAttribute("role", "status");
  const canvas = element("canvas", { className: "ed-canvas" });
  canvas.style.cssText = "width:100%;height:11rem;image-rendering:pixelated;border-radius:.3rem;background:#440154";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Compressed spectrogram, empty until the sound is loaded");
  const exponent = slider("Exponent α =", 0.1, 1, 0.05, model.get("exponent") ?? 1, show);
  const snr = slider("Process SNR (dB):", 0, 30, 1, 10, show);
  const factor = slider("Factor a =", 0.05, 1, 0.05, 0.15, show);
  const audio = element("audio", { className: "ed-audio" });
  const start = element("button", { type: "button", className: "ed-button", textContent: "Load the clip", onclick: () => load() });
  const buttons = [["Play the round trip", "plain"], ["Play with diffusion noise", "noisy"]].map(([text, kind]) =>
    element("button", { type: "button", className: "ed-button", textContent: text, onclick: () => play(kind) }));
  const phases = element("select", { id: `edmse-phase-${(count += 1)}` },
    ...[["own", "its own"], ["turned", "its own, all turned by 90°"], ["zero", "all zero"], ["random", "random"]]
      .map(([value, textContent]) => element("option", { value, textContent })));
  phases.style.cssText = "min-height:44px;font:inherit;max-width:100%";
  phases.addEventListener("change", show);
  const more = element("details", {}, element("summary", { textContent: "More: noise level, factor, phase" }),
    snr.root, factor.root,
    element("p", {}, element("label", { htmlFor: phases.id, textContent: "Phase of every bin: " }), phases));
  more.firstChild.style.minHeight = "44px";
  const words = element("details", {}, element("summary", { textContent: "Transcript" }),
    element("p", { textContent: clip.transcript ?? "" }));
  words.firstChild.style.minHeight = "44px";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const box = element("div", { className: "ed-box ed-spectrum" },
    element("p", { className: "ed-title", textContent: model.get("title") ?? "Compress a spectrogram" }),
    readout, exponent.root, canvas,
    element("p", { className: "ed-note", textContent: "|c| on a linear scale, 0 to 8 kHz upwards, time to the right; the brightest bin is yellow." }),
    element("div", { className: "ed-row" }, start, ...buttons),
    ...(clip.heard ? [element("p", { className: "ed-heard", textContent: clip.heard })] : []), tasks, more, words, audio);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", model.get("title") ?? "Compress a spectrogram");
  el.append(box);

  function update() {
    const chosen = { exponent: +exponent.input.value, snr: +snr.input.value, factor: +factor.input.value, phase: phases.value };
    const { wave, spectrum } = state;
    const found = experiment(spectrum, chosen);
    const noisy = istft(found.noisy.magnitude, found.noisy.phase, spectrum.frames, wave.length);
    state.sounds = {
      noisy: () => noisy,
      plain: () => istft(expand(found.compressed, chosen), found.phases, spectrum.frames, wave.length),
    };
    const score = siSdr(wave, noisy);
    exponent.output.value = chosen.exponent.toFixed(2);
    snr.output.value = chosen.snr;
    factor.output.value = chosen.factor.toFixed(2);
    readout.textContent = `Bins above the diffusion noise: ${Math.round(100 * found.above)} %. `
      + `SI-SDR after adding it and going back: ${score.toFixed(1).replace("-", "−")} dB. `
      + `Fourth moment: ${found.fourth.toFixed(1)} (a complex Gaussian has 2).`;
    canvas.setAttribute("aria-label", `Compressed spectrogram at exponent ${chosen.exponent.toFixed(2)}`);
    paint(canvas, found.compressed, spectrum.frames);
    Object.assign(box.dataset, { above: found.above, fourth: found.fourth, siSdr: score });
  }
  async function load() {
    if (state.loading) return state.loading;
    readout.textContent = "Loading the clip …";
    state.loading = samples(clip.src).then((wave) => {
      state.wave = wave;
      state.spectrum = stft(wave);
      update();
      if (document.activeElement === start) exponent.input.focus({ preventScroll: true });
      start.remove();
      box.dataset.ready = "";
    }).catch(() => { state.loading = null; readout.textContent = "The clip cannot be loaded here."; });
    return state.loading;
  }
  async function play(kind) {
    await load();
    if (!state.sounds) return;
    if (audio.src) URL.revokeObjectURL(audio.src);
    audio.src = wavAddress(state.sounds[kind](), state.wave);
    audio.play().catch(() => { readout.textContent = "Sound cannot be played here."; });
  }
  const pauseOthers = () => document.querySelectorAll("audio, video").forEach((o) => { if (o !== audio) o.pause(); });
  audio.addEventListener("play", pauseOthers);
  document.addEventListener("play", (event) => { if (event.target !== audio) audio.pause(); }, true);
  exponent.output.value = (+exponent.input.value).toFixed(2);
  readout.textContent = "Press “Load the clip”, or move a control.";
  return () => audio.pause();
}

export default { render };
