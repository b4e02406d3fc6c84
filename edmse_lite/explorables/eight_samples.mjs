// Eight samples: several clean answers to one recording, and a map of where they disagree.
// Options: title, map {count, rows, columns, lowest, step, data}, clips [{label, src, heard, db}],
// first (index of sample 1 in clips), transcript, tasks [text]. A tap on the map plays a short
// piece around that time, band-passed around that frequency, from each sample in turn.
// Nothing is fetched before a tap. The numbers are those of edmse_lite/answers.py.

const RATE = 16000, HOP = 256, BIN = RATE / 512, BINS = 8, FRAMES = 2, EDGE = 4, LOW = 2;
const PIECE = 0.2, FADE = 0.02, WIDTH = 250, GAP = 0.25; // s, s, Hz, s

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- the numbers ----
export function unpack({ count, rows, columns, lowest, step, data }) {
  const levels = Float64Array.from(atob(data), (c) => lowest + step * c.charCodeAt(0));
  return { count, rows, columns, levels }; // sample by sample, row by row
}

export const at = (map, row, column, shift = 0) => Array.from({ length: map.count },
  (_, k) => shift + map.levels[(k * map.rows + row) * map.columns + column]);

export function spread(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
}

export function extremes(map, loud = -20) {
  let most, least;
  for (let row = LOW; row < map.rows; row++) {
    for (let column = EDGE; column < map.columns - EDGE; column++) {
      const values = at(map, row, column), found = { row, column, spread: spread(values) };
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      if (!most || found.spread > most.spread) most = found;
      if (mean >= loud && (!least || found.spread < least.spread)) least = found;
    }
  }
  return { most, least: least ?? most };
}

export const seconds = (column) => ((FRAMES * column + (FRAMES - 1) / 2) * HOP) / RATE;
export const hertz = (row) => (BINS * row + (BINS - 1) / 2) * BIN;

export function piece(wave, middle, frequency) {
  const reach = Math.ceil((4 * RATE) / (2 * Math.PI * WIDTH)), kernel = [];
  let gain = 0;
  for (let n = -reach; n <= reach; n++) {
    const bell = Math.exp(-(((2 * Math.PI * WIDTH * n) / RATE) ** 2) / 2);
    const carrier = Math.cos((2 * Math.PI * frequency * n) / RATE);
    kernel.push(bell * carrier);
    gain += bell * carrier * carrier;
  }
  const size = Math.round(PIECE * RATE), start = Math.round(middle * RATE) - size / 2;
  return Float64Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let n = -reach; n <= reach; n++) sum += kernel[n + reach] * (wave[start + i + n] ?? 0);
    const fade = Math.min(1, i / (FADE * RATE), (size - 1 - i) / (FADE * RATE));
    return (sum / gain) * Math.sin((Math.PI / 2) * fade) ** 2;
  });
}

export function inTurn(pieces) { // one after the other, with pauses; one gain, so levels compare
  const size = Math.round((PIECE + GAP) * RATE), wave = new Float64Array(size * pieces.length);
  pieces.forEach((values, k) => wave.set(values, k * size));
  const peak = wave.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
  return wave.map((v) => v * Math.min(0.5 / Math.max(peak, 1e-9), 100));
}

// ---- sound in and out ----
async function decode(src) {
  const bytes = src.startsWith("data:")
    ? Uint8Array.from(atob(src.slice(src.indexOf(",") + 1)), (c) => c.charCodeAt(0)).buffer
    : await (await fetch(src)).arrayBuffer();
  return (await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes)).getChannelData(0);
}

function wavAddress(wave) {
  const view = new DataView(new ArrayBuffer(44 + 2 * wave.length));
  const text = (place, word) => [...word].forEach((c, i) => view.setUint8(place + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * wave.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true); view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * wave.length, true);
  wave.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(32767 * v), true));
  return URL.createObjectURL(new Blob([view], { type: "audio/wav" }));
}

// ---- the picture ----
const MAP = [[0, 32, 76], [49, 68, 107], [102, 105, 112], [148, 142, 119], [201, 185, 106], [255, 234, 70]];

function colour(value) { // cividis, coarsely
  const place = Math.min(Math.max(value, 0), 0.9999) * (MAP.length - 1), i = Math.floor(place);
  return MAP[i].map((v, c) => v + (place - i) * (MAP[i + 1][c] - v));
}

const SCALE = 8; // canvas pixels a cell

function paint(canvas, map, top, chosen) {
  canvas.width = SCALE * map.columns; canvas.height = SCALE * map.rows;
  const context = canvas.getContext("2d");
  for (let row = 0; row < map.rows; row++) {
    for (let column = 0; column < map.columns; column++) {
      context.fillStyle = `rgb(${colour(spread(at(map, row, column)) / top).join(" ")})`;
      context.fillRect(SCALE * column, SCALE * (map.rows - 1 - row), SCALE, SCALE);
    }
  }
  if (!chosen) return;
  const [x, y] = [SCALE * (chosen.column + 0.5), SCALE * (map.rows - 0.5 - chosen.row)];
  for (const [style, width] of [["#000", 7], ["#fff", 3]]) { // seen on any colour
    Object.assign(context, { strokeStyle: style, lineWidth: width });
    context.beginPath(); context.arc(x, y, 2 * SCALE, 0, 2 * Math.PI); context.stroke();
  }
}

const show = (value, digits = 1) => value.toFixed(digits).replace("-", "−");
let count = 0;
function slider(label, properties, onInput) {
  const id = `edmse-eight-${(count += 1)}`, output = element("output");
  const input = element("input", { type: "range", id, className: "ed-range" });
  output.htmlFor = id;
  Object.assign(input, properties);
  input.addEventListener("input", onInput);
  return { input, output, root: element("div", {},
    element("p", {}, element("label", { htmlFor: id, textContent: label }), " ", output),
    element("div", { className: "ed-row" }, input)) };
}

const button = (textContent, onclick) => element("button", { type: "button", className: "ed-button", textContent, onclick });

function summary(text, ...children) {
  const fold = element("details", {}, element("summary", { textContent: text }), ...children);
  fold.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  return fold;
}

function buildView(model, clips, map, act) {
  const title = model.get("title") ?? "Eight samples", view = {};
  view.readout = element("p", { className: "ed-readout" });
  view.readout.setAttribute("role", "status");
  view.canvas = element("canvas", { className: "ed-canvas" });
  view.canvas.style.cssText = "width:100%;height:12rem;image-rendering:pixelated;border-radius:.3rem;cursor:crosshair;touch-action:manipulation";
  view.canvas.setAttribute("role", "img");
  view.caption = element("p", { className: "ed-note" });
  view.bars = element("ol", { className: "ed-bars" });
  view.bars.style.cssText = "list-style:none;padding:0;margin:.4rem 0;display:flex;gap:.25rem;height:5.5rem";
  view.bars.setAttribute("aria-label", "Level in each sample at this place");
  view.hear = button("▶ Hear this place in all", act.hear);
  view.choices = clips.map((clip, i) => button(clip.label, () => act.choose(i)));
  view.heard = element("p", { className: "ed-heard" });
  view.heard.setAttribute("aria-live", "polite");
  view.toggle = button("▶ Play", act.toggle);
  view.toggle.classList.add("ed-toggle");
  view.time = slider("Time, s", { min: 0, max: map.columns - 1, step: 1, value: 0 }, act.slide);
  view.frequency = slider("Frequency, kHz", { min: 0, max: map.rows - 1, step: 1, value: 0 }, act.slide);
  view.shift = slider("Turn all samples down, dB", { min: -20, max: 0, step: 1, value: 0 }, act.turn);
  const whole = element("div", { className: "ed-row" }, ...view.choices, view.toggle);
  whole.setAttribute("role", "group");
  whole.setAttribute("aria-label", "Recording");
  view.audio = element("audio", { preload: "none", className: "ed-audio" });
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  view.root = element("div", { className: "ed-box ed-eight" },
    element("p", { className: "ed-title", textContent: title }), view.readout, view.canvas, view.caption, view.bars,
    element("div", { className: "ed-row" }, view.hear, button("Where they differ most", () => act.go("most")),
      button("Where they agree", () => act.go("least"))),
    tasks, element("p", { textContent: "Whole recordings, loudness matched:" }), whole, view.heard,
    summary("Transcript", element("p", { textContent: model.get("transcript") ?? "" })),
    summary("More: place by sliders, level", view.time.root, view.frequency.root, view.shift.root), view.audio);
  view.root.setAttribute("role", "group");
  view.root.setAttribute("aria-label", title);
  return view;
}

function drawBars(list, values, playing) {
  list.replaceChildren(...values.map((value, k) => {
    const bar = element("span"), height = Math.max(4, 100 * (1 + value / 50));
    bar.style.cssText = `display:block;width:100%;height:${height}%;background:var(--ed-accent);`
      + `border-radius:.2rem .2rem 0 0;opacity:${playing < 0 || playing === k ? 1 : 0.35}`;
    const box = element("span", {}, bar), label = element("span", { textContent: playing === k ? `♪${k + 1}` : `${k + 1}` });
    box.style.cssText = "flex:1;display:flex;align-items:flex-end;min-height:0";
    label.style.cssText = "font-size:.8rem;text-align:center";
    const item = element("li", { title: `sample ${k + 1}: ${show(value)} dB` }, box, label);
    item.setAttribute("aria-label", `sample ${k + 1}: ${show(value)} dB`);
    item.style.cssText = "flex:1;display:flex;flex-direction:column;margin:0;min-width:0";
    return item;
  }));
}

function render({ model, el }) {
  const clips = model.get("clips") ?? [];
  if (!clips.length || !model.get("map")) { el.textContent = "There is no recording here."; return; }
  const map = unpack(model.get("map")), ends = extremes(map), first = model.get("first") ?? 1;
  const top = Math.max(spread(at(map, ends.most.row, ends.most.column)), 1e-9);
  let chosen = null, current = 0, loaded = "", playing = -1, pieces = false, waves = null;
  const view = buildView(model, clips, map, {
    hear: () => hear(), choose: (i) => choose(i), toggle: () => toggle(), turn: () => update(),
    go: (kind) => { select(ends[kind].row, ends[kind].column); hear(); },
    slide: () => select(+view.frequency.input.value, +view.time.input.value),
  });
  const { audio } = view;
  el.append(view.root);
  view.caption.textContent = `Time to the right, 0 to ${show(seconds(map.columns - 1))} s; frequency upwards, 0 to 8 kHz. `
    + `Dark: the ${map.count} agree. Bright: they differ, up to ${show(top)} dB. Bars: level in each sample, 50 dB high.`;

  function update() {
    const shift = +view.shift.input.value;
    audio.volume = 10 ** (shift / 20);
    view.shift.output.value = shift.toString().replace("-", "−");
    view.hear.disabled = !chosen;
    view.toggle.textContent = audio.paused || pieces ? "▶ Play" : "⏸ Pause";
    view.choices.forEach((each, i) => each.setAttribute("aria-pressed", String(i === current && !pieces)));
    const { label, heard = "", db } = clips[current];
    view.heard.textContent = `${label}. ${heard}${db === undefined ? "" : ` SI-SDR ${show(db)} dB.`}`;
    if (!chosen) { view.readout.textContent = `Tap the map to hear a place in all ${map.count} samples.`; return; }
    const { row, column } = chosen, values = at(map, row, column, shift), low = Math.min(...values), high = Math.max(...values);
    view.readout.textContent = `${show(seconds(column), 2)} s, ${show(hertz(row) / 1000)} kHz: standard deviation ${show(spread(values))} dB, `
      + `from ${show(low)} dB (sample ${values.indexOf(low) + 1}) to ${show(high)} dB (sample ${values.indexOf(high) + 1}).`;
    view.time.output.value = show(seconds(column), 2);
    view.frequency.output.value = show(hertz(row) / 1000);
    drawBars(view.bars, values, playing);
    Object.assign(view.root.dataset, { row, column, spread: spread(values), low, high, playing });
  }
  function select(row, column) {
    chosen = { row, column };
    Object.assign(view.time.input, { value: column });
    Object.assign(view.frequency.input, { value: row });
    paint(view.canvas, map, top, chosen);
    view.canvas.setAttribute("aria-label", `Map of disagreement; chosen: ${show(seconds(column), 2)} s, ${show(hertz(row) / 1000)} kHz`);
    update();
  }
  function start() {
    document.querySelectorAll("audio, video").forEach((other) => { if (other !== audio) other.pause(); });
    audio.play().catch((error) => { if (error.name !== "AbortError") view.heard.textContent = "Sound cannot be played here."; });
  }
  async function hear() {
    const { row, column } = chosen;
    try {
      waves ??= Promise.all(clips.slice(first, first + map.count).map((clip) => decode(clip.src)));
      const found = (await waves).map((wave) => piece(wave, seconds(column), hertz(row)));
      if (loaded.startsWith("blob:")) URL.revokeObjectURL(loaded);
      pieces = true;
      audio.src = loaded = wavAddress(inTurn(found));
      start();
    } catch { waves = null; view.readout.textContent = "The samples cannot be loaded here."; }
  }
  function choose(index) { // keeps the position, so that the same instant is compared
    if (index === current && !pieces && !audio.paused) return audio.pause();
    const place = pieces || audio.ended || !loaded ? 0 : audio.currentTime;
    current = index; pieces = false; playing = -1;
    if (loaded !== clips[index].src) {
      audio.src = loaded = clips[index].src;
      audio.addEventListener("loadedmetadata", () => { audio.currentTime = place; }, { once: true });
    }
    update();
    return start();
  }
  function toggle() {
    if (!audio.paused && !pieces) return audio.pause();
    return choose(current);
  }
  view.canvas.addEventListener("click", (event) => {
    const box = view.canvas.getBoundingClientRect(), inside = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
    select(inside(1 - (event.clientY - box.top) / box.height, map.rows), inside((event.clientX - box.left) / box.width, map.columns));
    hear();
  });
  audio.addEventListener("timeupdate", () => {
    const now = pieces && !audio.paused ? Math.min(map.count - 1, Math.floor(audio.currentTime / (PIECE + GAP))) : -1;
    if (now !== playing) { playing = now; update(); }
  });
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, () => { if (event !== "play") playing = -1; update(); });
  const others = (event) => { if (event.target !== audio) audio.pause(); };
  document.addEventListener("play", others, true);
  view.canvas.setAttribute("aria-label", "Map of disagreement over time and frequency; sliders for a place are under More");
  paint(view.canvas, map, top, null);
  update();
  return () => { document.removeEventListener("play", others, true); audio.pause(); };
}

export default { render };
