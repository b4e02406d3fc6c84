// Hear sigma: the state x_t beside the estimate y + D of every step of a sampler, for eye and ear.
// Options: title, transcript, tasks [text], rms (of r, in units of the compressed spectrogram), steps
// [{sigma, state, estimate, state_db, estimate_db, state_image, estimate_image}]; state and estimate
// are addresses of sound, the images (optional) of spectrograms. Nothing is fetched before a tap.

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const show = (value, digits) => value.toFixed(digits).replace("-", "−");
export const pick = (steps, index, kind) => ({
  src: steps[index][kind], sigma: steps[index].sigma, db: steps[index][`${kind}_db`],
});

// Process SNR in dB: the power of r over that of the diffusion noise, in x̃ and in x_t alike.
export const processSnr = (rms, sigma) => 20 * Math.log10(rms / sigma);

// What is heard, by the process SNR below which it is so: words for a voice, whatever the recording.
const HEARD = {
  state: [[-12, "A steady roar; no voice can be made out."],
    [-3, "A roar, with the loudest syllables in it."],
    [7, "The voice, in a hiss that fills its pauses."],
    [Infinity, "The voice, with a faint hiss in its pauses."]],
  estimate: [[-9, "The voice in quiet pauses, its consonants dull: a mean of many answers."],
    [3, "The voice; its consonants become sharper."],
    [Infinity, "The voice with sharper consonants, and a faint residue in its pauses: one answer."]],
};
export const heardAt = (kind, snr) => HEARD[kind].find(([below]) => snr < below)[1];

const KINDS = [["xₜ: the state", "state", "xₜ"], ["y + D: the estimate", "estimate", "y + D"]];

let count = 0;
function slider(label, properties, onInput) {
  const id = `edmse-hear-${(count += 1)}`, output = element("output");
  const input = element("input", { type: "range", id, className: "ed-range" });
  output.htmlFor = id;
  Object.assign(input, properties);
  input.addEventListener("input", onInput);
  return { input, output, root: element("div", {},
    element("p", {}, element("label", { htmlFor: id, textContent: label }), " ", output),
    element("div", { className: "ed-row" }, input)) };
}

function render({ model, el }) {
  const steps = model.get("steps") ?? [];
  if (!steps.length) { el.textContent = "There is no recording here."; return; }
  const title = model.get("title") ?? "Hear σ";
  let kind = "state", loaded = "";
  const audio = element("audio", { preload: "none", className: "ed-audio" });
  const readout = element("p", { className: "ed-readout" });
  readout.setAttribute("role", "status");
  const heard = element("p", { className: "ed-heard" });
  const place = slider("Step", { min: 1, max: steps.length, step: 1, value: 1 }, () => choose());
  const volume = slider("Volume, %", { min: 10, max: 100, step: 10, value: 100 }, () => {
    audio.volume = volume.input.value / 100;
    volume.output.value = volume.input.value;
  });
  volume.output.value = 100;
  const pictures = KINDS.map(([, name, symbol]) => {
    const image = element("img"); // the dark theme would frame it
    image.style.cssText = "display:block;width:100%;height:auto;aspect-ratio:3/2;image-rendering:pixelated;padding:0;background:none;filter:none";
    const figure = element("div", {}, element("p", { className: "ed-note", textContent: symbol }), image);
    figure.style.cssText = "flex:1 1 0;min-width:0;margin:0;border:3px solid transparent;border-radius:.3rem;padding:2px";
    return { name, symbol, image, figure };
  });
  const beside = element("div", { className: "ed-row ed-beside" }, ...pictures.map(({ figure }) => figure));
  beside.style.flexWrap = "nowrap";
  beside.hidden = !steps[0].state_image;
  const kinds = KINDS.map(([textContent, name]) => {
    const button = element("button", { type: "button", className: "ed-button", textContent });
    button.addEventListener("click", () => { kind = name; choose(true); });
    return [name, button];
  });
  const toggle = element("button", { type: "button", className: "ed-button ed-toggle", textContent: "▶ Play" });
  toggle.addEventListener("click", () => (audio.paused ? play() : audio.pause()));
  const more = element("details", {}, element("summary", { textContent: "More: volume" }), volume.root);
  const words = element("details", {}, element("summary", { textContent: "Transcript" }),
    element("p", { textContent: model.get("transcript") ?? "" }));
  for (const fold of [more, words]) fold.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const row = element("div", { className: "ed-row" }, ...kinds.map(([, button]) => button), toggle);
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const box = element("div", { className: "ed-box ed-hear" },
    element("p", { className: "ed-title", textContent: title }), tasks, readout, place.root, beside, row, heard, words, more, audio);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);

  function update() {
    const chosen = pick(steps, place.input.value - 1, kind);
    place.output.value = `${place.input.value} of ${steps.length}`;
    place.input.setAttribute("aria-valuetext", `${place.output.value}, σ = ${show(chosen.sigma, 3)}`);
    const snr = processSnr(model.get("rms") ?? 0.1, chosen.sigma), now = steps[place.input.value - 1];
    readout.textContent = `σ = ${show(chosen.sigma, 3)}, process SNR ${show(snr, 1)} dB. SI-SDR of ${KINDS.find(([, name]) => name === kind)[2]}: ${show(chosen.db, 1)} dB.`;
    heard.textContent = `What is heard: ${heardAt(kind, snr)}`;
    kinds.forEach(([name, button]) => button.setAttribute("aria-pressed", String(name === kind)));
    for (const { name, symbol, image, figure } of pictures) {
      figure.style.borderColor = name === kind ? "var(--ed-accent)" : "transparent";
      if (!beside.hidden) Object.assign(image, { src: now[`${name}_image`], alt: `Spectrogram of ${symbol}, step ${place.output.value}` });
    }
    Object.assign(box.dataset, { sigma: chosen.sigma, db: chosen.db, kind, snr });
    return chosen;
  }
  function play() {
    const { src } = update();
    if (src !== loaded) audio.src = loaded = src;
    document.querySelectorAll("audio, video").forEach((other) => { if (other !== audio) other.pause(); });
    audio.play().catch((error) => { if (error.name !== "AbortError") readout.textContent = "Sound cannot be played here."; });
  }
  function choose(start = false) { // keeps the position, so that the same instant is compared
    const { src } = update(), at = audio.ended ? 0 : audio.currentTime, playing = start || !audio.paused;
    if (!loaded || src === loaded) return playing && play();
    audio.src = loaded = src;
    audio.addEventListener("loadedmetadata", () => { audio.currentTime = Math.min(at, audio.duration || at); }, { once: true });
    return playing && play();
  }
  for (const event of ["play", "pause", "ended"]) {
    audio.addEventListener(event, () => { toggle.textContent = audio.paused ? "▶ Play" : "⏸ Pause"; });
  }
  const others = (event) => { if (event.target !== audio) audio.pause(); };
  document.addEventListener("play", others, true);
  update();
  return () => { document.removeEventListener("play", others, true); audio.pause(); };
}

export default { render };
