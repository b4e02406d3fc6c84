// The page's elements, without any behaviour. Names in `view` are what lab.mjs speaks of.

export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const button = (text, extra = {}) => h("button", { type: "button", className: "ed-button", textContent: text, ...extra });
const option = ([value, text]) => h("option", { value, textContent: text });

let named = 0;
const name = () => `lab-${(named += 1)}`;

// A label above its control; a range has its read-out in the label.
function field(text, control, output) {
  control.id = name();
  const label = h("label", { htmlFor: control.id, className: "lab-label" }, text);
  if (output) label.append(" ", output);
  return h("div", { className: "lab-field" }, label, control);
}

function select(text, options) {
  const control = h("select", { className: "lab-select" }, ...options.map(option));
  return [control, field(text, control)];
}

function range(text, min, max, step, value) {
  const control = h("input", { type: "range", className: "ed-range", min, max, step, value });
  const output = h("output", { className: "ed-time" });
  return [control, output, field(text, control, output)];
}

function choice(group, value, text, checked) {
  const input = h("input", { type: "radio", name: group, value, checked });
  return [input, h("label", { className: "ed-choice" }, input, text)];
}

function picture(text) {
  const canvas = h("canvas", { className: "lab-canvas", width: 200, height: 256, role: "img", "aria-label": text });
  return [canvas, h("figure", { className: "lab-figure" }, h("figcaption", {}, text), canvas)];
}

function sourcePanel(view, { speech, noises }) {
  const group = name(), mark = (clip) => (clip.seen ? "" : ", never heard in training");
  let kinds = [];
  [view.useClip, kinds[0]] = choice(group, "clip", "A clip, with environmental noise added", true);
  [view.useFile, kinds[1]] = choice(group, "file", "Your own file", false);
  [view.useMicrophone, kinds[2]] = choice(group, "microphone", "Your microphone", false);
  let voice, sound, mixture;
  [view.speech, voice] = select("Voice", speech.map((clip, i) => [i, `${clip.label}: ${clip.text}${mark(clip)}`]));
  [view.noise, sound] = select("Environmental noise", noises.map((clip, i) => [i, clip.label + mark(clip)]));
  [view.snr, view.snrOut, mixture] = range("Mixture SNR:", -5, 20, 1, 5);
  let volume;
  [view.volume, view.volumeOut, volume] = range("Volume before the model:", -30, 10, 5, 0);
  view.clipPanel = h("div", {}, voice, sound, mixture);
  view.file = h("input", { type: "file", accept: "audio/*,.wav,.mp3,.flac,.m4a,.ogg,.opus", className: "lab-file" });
  view.fileNote = h("p", { className: "ed-note" });
  view.filePanel = h("div", { hidden: true }, field("Sound file, up to 20 MB; the first 15 seconds are used", view.file), view.fileNote);
  view.record = button("Record");
  view.recordNote = h("p", { className: "ed-note", role: "status" });
  view.microphonePanel = h("div", { hidden: true }, h("p", {}, "Speak for a few seconds where it is noisy, or with a fan or a tap running. Recording stops after 15 seconds."), view.record, view.recordNote);
  return h("fieldset", { className: "lab-set" }, h("legend", {}, "Sound"), ...kinds, view.clipPanel, view.filePanel, view.microphonePanel, volume);
}

function samplerPanel(view) {
  let fields = [];
  [view.sampler, fields[0]] = select("Sampler", [["edm", "EDM: Heun's method with churn"], ["pc", "PC: predictor and corrector"]]);
  [view.steps, view.stepsOut, fields[1]] = range("Steps:", 1, 30, 1, 4);
  [view.spins, fields[5]] = select("Walks, averaged", [1, 2, 4, 8].map((n) => [n, n === 1 ? "1" : `${n}: on other frame grids, at two speeds${n > 2 ? ", with both signs" : ""}`]));
  [view.limit, fields[6]] = select("Environmental noise is turned down", [["Infinity", "without a limit"], ["60", "by 60 dB at most"], ["40", "by 40 dB at most"], ["20", "by 20 dB at most"]]);
  [view.walk, fields[2]] = select("Noise levels", [["near", "high ones only: near the mean of all answers"], ["full", "all the way down: one answer, drawn at random"]]);
  [view.churn, fields[3]] = select("Churn, S_churn", [["Infinity", "as much as there can be"], ["2", "2"], ["0.5", "0.5"], ["0", "0: none"]]);
  [view.rCorr, view.rCorrOut, fields[4]] = range("Corrector's step, r_corr:", 0.05, 1, 0.05, 0.5);
  view.seed = h("input", { type: "number", className: "lab-select", min: 0, max: 2 ** 32, step: 1, value: 0, inputMode: "numeric" });
  view.hint = h("p", { className: "ed-note", hidden: true, textContent: "So few steps of PC over so many levels go astray: expect a bang, and see why in the steps. From 8 on it holds." });
  [view.churnField, view.rCorrField] = [fields[3], fields[4]];
  return h("fieldset", { className: "lab-set" }, h("legend", {}, "Sampler"), ...fields, view.hint, field("Seed of the diffusion noise", view.seed));
}

function resultPanel(view) {
  let before, after, step, slider;
  [view.before, before] = picture("Before");
  [view.after, after] = picture("After");
  view.players = h("div");
  view.facts = h("ul", { className: "lab-facts" });
  view.save = h("a", { className: "ed-button lab-save", download: "enhanced.wav", href: "#", textContent: "Save the result (wav)" });
  [view.step, step] = picture("Estimate at this step");
  [view.stepIndex, view.stepOut, slider] = range("Step", 1, 1, 1, 1);
  view.hearStep = button("▶ Hear this step");
  view.stepAudio = h("audio", { className: "ed-audio" });
  view.trajectory = h("details", { className: "lab-more" }, h("summary", {}, "Step by step"), slider, step, view.hearStep, view.stepAudio);
  view.scale = h("p", { className: "ed-note" });
  view.results = h("section", { hidden: true, "aria-label": "Result" }, view.players, view.facts, h("div", { className: "lab-pair" }, before, after), view.scale, view.trajectory, h("p", {}, view.save));
  return view.results;
}

export function buildView(manifest) {
  const view = {};
  view.intro = h("p");
  view.original = h("div");
  view.go = button("Enhance", { className: "ed-button lab-go" });
  view.promise = h("p", { className: "ed-note" }, "The model runs on this device, in this page. Nothing that you open or record leaves it.");
  view.status = h("p", { className: "lab-status", role: "status" });
  view.progress = h("progress", { max: 1, value: 0, "aria-label": "Progress", className: "lab-progress" });
  view.cancel = button("Cancel");
  view.running = h("div", { className: "ed-row", hidden: true }, view.progress, view.cancel);
  view.fault = h("div", { className: "lab-fault", role: "alert" });
  view.again = button("Enhance with these settings");
  view.more = h("details", { className: "lab-more" }, h("summary", {}, "More: your own sound, the sampler"), sourcePanel(view, manifest), samplerPanel(view), view.again);
  view.prepared = h("div");
  view.root = h("div", { className: "ed-box lab", role: "group", "aria-label": "Enhance it in your browser" }, view.intro, view.original, h("p", {}, view.go), view.promise, view.running, view.status, view.fault, resultPanel(view), view.more, view.prepared);
  return view;
}
