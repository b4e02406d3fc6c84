// "Enhance it in your browser": the trained score model, where the reader is.

import player from "../explorables/player.mjs";
import { Cancelled, Engine, LostWorker } from "./engine.mjs";
import { loadAll, missing, totalBytes } from "./loading.mjs";
import { looped, matchLoudness, mix, siSdr, wavFile } from "./mixing.mjs";
import { draw } from "./pictures.mjs";
import { evaluations } from "./samplers.mjs";
import { SAMPLE_RATE } from "./stft.mjs";
import { decode, microphoneMissing, openFile, Recorder, SourceError } from "./sources.mjs";
import { buildView, h } from "./view.mjs";

const ASSETS = new URL("./assets/", import.meta.url);
const VENDOR = new URL("../vendor/onnxruntime/", import.meta.url);
const FULL = { sigmaMin: 0.01, sigmaMax: 1.5, rho: 7 }; // chapter 1 walks these levels
const FULL_T_EPS = 0.03;

const dB = (value) => `${value.toFixed(1)} dB`.replace("-", "−");
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const time = (ms) => (ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export class Lab {
  constructor(el, manifest) {
    Object.assign(this, { el, manifest, engine: null, loaded: null, result: null, file: null, recording: null, clips: new Map(), undo: [] });
    this.view = buildView(manifest);
    this.#wire();
    this.#describe();
    el.replaceChildren(this.view.root);
    const lacking = missing();
    if (lacking.length) this.#without(`This browser has no ${lacking.join(", no ")}. The model cannot run here; these results were made when the book was built.`);
  }

  // What the controls say

  get kind() { return this.view.useFile.checked ? "file" : this.view.useMicrophone.checked ? "microphone" : "clip"; }

  get settings() {
    const { view, manifest } = this, near = view.walk.value === "near", steps = Number(view.steps.value);
    const levels = near ? manifest.score.near : FULL;
    const shared = { sampler: view.sampler.value, steps };
    if (shared.sampler === "edm") return { ...shared, ...levels, sChurn: Number(view.churn.value) };
    return { ...shared, correctorSteps: 1, snr: Number(view.rCorr.value), tEps: near ? manifest.score.tEps : FULL_T_EPS };
  }

  #describe() {
    const { view, manifest, settings } = this, clip = manifest.speech[view.speech.value], noise = manifest.noises[view.noise.value];
    const calls = evaluations(settings), cost = this.perEvaluation ? `, about ${time(calls * this.perEvaluation)}` : "";
    view.snrOut.value = dB(Number(view.snr.value));
    view.stepsOut.value = `${settings.steps}, which ${calls === 1 ? "is one evaluation" : `are ${calls} evaluations`} of the network${cost}`;
    view.rCorrOut.value = Number(view.rCorr.value).toFixed(2);
    view.churnField.hidden = settings.sampler !== "edm";
    view.rCorrField.hidden = settings.sampler !== "pc";
    [view.clipPanel.hidden, view.filePanel.hidden, view.microphonePanel.hidden] = ["clip", "file", "microphone"].map((kind) => kind !== this.kind);
    view.intro.textContent = {
      clip: `${clip.label}: “${clip.text}” With environmental noise: ${noise.label}, mixture SNR ${dB(Number(view.snr.value))}.`,
      file: `Your file. ${this.file ? this.file.note : "Choose one under More."}`,
      microphone: `Your microphone. ${this.recording ? this.recording.note : "Record something under More."}`,
    }[this.kind];
    view.go.textContent = this.loaded ? "Enhance" : `Load ${megabytes(totalBytes(manifest))} and enhance`;
    view.again.textContent = this.loaded ? "Enhance with these settings" : `Load ${megabytes(totalBytes(manifest))} and enhance with these settings`;
    const absent = microphoneMissing();
    view.record.disabled = Boolean(absent);
    if (absent) view.recordNote.textContent = absent;
  }

  #wire() {
    const { view } = this;
    this.#open();
    for (const control of [view.useClip, view.useFile, view.useMicrophone, view.speech, view.noise, view.snr, view.sampler, view.steps, view.walk, view.churn, view.rCorr, view.seed]) {
      control.addEventListener("input", () => this.#describe());
    }
    view.go.addEventListener("click", () => this.run());
    view.again.addEventListener("click", () => this.run());
    view.cancel.addEventListener("click", () => this.engine?.cancel());
    view.file.addEventListener("change", () => this.#attempt(() => this.#readFile()));
    view.record.addEventListener("click", () => this.#attempt(() => this.#record()));
    view.stepIndex.addEventListener("input", () => this.#showStep());
    view.hearStep.addEventListener("click", () => (view.stepAudio.paused ? view.stepAudio.play() : view.stepAudio.pause()));
    for (const event of ["play", "pause", "ended"]) {
      view.stepAudio.addEventListener(event, () => { view.hearStep.textContent = view.stepAudio.paused ? "▶ Hear this step" : "⏸ Pause"; });
    }
  }

  // The clip that the page opens with: it can be heard before anything is loaded.
  #open() {
    const [first] = this.manifest.prepared, { view } = this;
    view.speech.value = first.speech;
    view.noise.value = first.noise;
    view.snr.value = first.snr;
    const text = this.manifest.speech[first.speech].text;
    this.#player(view.original, "Listen first", [{ label: "Noisy", src: new URL(first.noisy, ASSETS).href, transcript: text, heard: "The clip, as the model gets it." }]);
  }

  #player(place, title, clips) {
    const model = { get: (key) => ({ title, clips })[key], set() {}, save_changes() {} };
    place.replaceChildren();
    return player.render({ model, el: place });
  }

  // Sound

  async #clip(entry) {
    if (!this.clips.has(entry.file)) this.clips.set(entry.file, await decode(this.loaded.sounds.get(entry.file).slice().buffer));
    return this.clips.get(entry.file);
  }

  async #sound() {
    const { view, manifest } = this;
    if (this.kind === "file") {
      if (!this.file) throw new SourceError("No file is open. Choose one under More, or go back to a clip.");
      return { noisy: this.file.wave };
    }
    if (this.kind === "microphone") {
      if (!this.recording) throw new SourceError("Nothing is recorded. Press Record under More, or go back to a clip.");
      return { noisy: this.recording.wave };
    }
    const entry = manifest.speech[view.speech.value], clean = await this.#clip(entry);
    const noise = looped(await this.#clip(manifest.noises[view.noise.value]), clean.length);
    return { clean, noisy: mix(clean, noise, Number(view.snr.value)), text: entry.text };
  }

  async #readFile() {
    const { view } = this, [file] = view.file.files;
    this.file = null;
    view.fileNote.textContent = "";
    if (file) this.file = await openFile(file);
    view.fileNote.textContent = this.file?.note ?? "";
    this.#describe();
  }

  async #record() {
    const { view } = this;
    if (this.recorder) {
      const { recorder } = this;
      this.recorder = null;
      view.record.textContent = "Record";
      this.recording = await recorder.stop();
      view.recordNote.textContent = this.recording.note;
      return this.#describe();
    }
    const recorder = new Recorder(), full = () => this.recorder && view.record.click();
    view.recordNote.textContent = "The browser may ask for the microphone.";
    try {
      await recorder.start((seconds) => { view.record.textContent = `Stop (${Math.floor(seconds)} s)`; }, full);
    } catch (error) {
      view.recordNote.textContent = "";
      throw error;
    }
    this.recorder = recorder;
    view.record.textContent = "Stop";
    view.recordNote.textContent = "Recording.";
  }

  // One enhancement

  async run() {
    if (this.busy) return;
    await this.#attempt(async () => {
      await this.#load();
      const { view, settings } = this, { noisy, clean, text } = await this.#sound();
      const steps = [], begun = performance.now();
      this.#say("Enhancing.");
      const hear = (message) => {
        if (message.type === "step") return steps.push(message);
        view.progress.value = message.done / message.total;
        return this.#say(`Evaluation ${message.done} of ${message.total}, ${time(message.ms)}.`);
      };
      const request = { wave: noisy, score: this.manifest.score, settings, seed: Math.abs(Math.trunc(Number(view.seed.value))) || 0 };
      const { wave, times } = await this.engine.enhance(request, hear);
      this.result = { noisy, clean, text, wave, times, steps, settings, ms: performance.now() - begun };
      this.perEvaluation = median(times.slice(times.length > 1 ? 1 : 0));
      this.#show();
    });
  }

  async #load() {
    const { view } = this;
    if (!this.loaded) {
      this.#say("Loading.");
      this.loaded = await loadAll(this.manifest, ASSETS, VENDOR, (part) => { view.progress.value = part; }).catch((error) => {
        throw new Error(`The model could not be loaded (${error.message}). Check the connection and press the button again.`);
      });
      this.engine = new Engine(this.loaded);
    }
    if (!this.engine.worker) {
      this.#say("Starting the network.");
      await this.engine.start();
    }
  }

  // Do something that may fail; say how it went on.
  async #attempt(work) {
    const { view } = this;
    this.busy = true;
    view.fault.replaceChildren();
    view.progress.value = 0;
    view.running.hidden = false;
    view.go.disabled = view.again.disabled = true;
    try {
      await work();
      this.#say(this.result ? "Done." : "");
    } catch (error) {
      this.#say("");
      this.#fault(error);
    } finally {
      this.busy = false;
      view.running.hidden = true;
      view.go.disabled = view.again.disabled = false;
      this.#describe();
    }
  }

  #say(text) { this.view.status.textContent = text; }

  #fault(error) {
    const { view } = this;
    if (error instanceof Cancelled) return this.#say("Cancelled. Press Enhance to begin again.");
    if (error instanceof SourceError) return view.fault.replaceChildren(h("p", {}, error.message));
    const lost = error instanceof LostWorker;
    const what = lost ? `The program that runs the network has stopped (${error.message}). Press Enhance to start a new one; a shorter sound needs less memory.` : error.message;
    view.fault.replaceChildren(h("p", {}, what));
    if (!this.loaded || lost || !this.engine?.worker) this.#offerPrepared();
    if (!(lost || /could not be loaded/.test(error.message))) console.warn(error);
    return undefined;
  }

  // Without the network

  #offerPrepared() {
    const show = h("button", { type: "button", className: "ed-button", textContent: "Play prepared results" });
    show.addEventListener("click", () => this.#prepared());
    this.view.fault.append(h("p", {}, show));
  }

  #without(why) {
    this.view.fault.replaceChildren(h("p", {}, why));
    for (const part of ["go", "promise", "more", "original", "intro"]) this.view[part].hidden = true;
    this.#prepared();
  }

  #prepared() {
    const { manifest, view } = this;
    view.prepared.replaceChildren(...manifest.prepared.map((each) => {
      const voice = manifest.speech[each.speech], place = h("div");
      const title = `Prepared: ${voice.label}, ${manifest.noises[each.noise].label}. SI-SDR ${dB(each.before)} before, ${dB(each.after)} after.`;
      const clips = ["noisy", "enhanced", "clean"].map((kind) => ({ label: kind[0].toUpperCase() + kind.slice(1), src: new URL(each[kind], ASSETS).href, transcript: voice.text, heard: "" }));
      this.#player(place, title, clips);
      return place;
    }));
  }

  // With a result

  #address(wave) {
    const address = URL.createObjectURL(wavFile(wave));
    this.undo.push(() => URL.revokeObjectURL(address));
    return address;
  }

  #show() {
    const { view, result } = this, { noisy, wave, clean, text = "" } = result;
    this.undo.splice(0).forEach((undo) => undo());
    result.matched = matchLoudness([noisy, wave, ...(clean ? [clean] : [])]);
    const labels = ["Noisy", "Enhanced", "Clean"], heard = ["Before.", "After.", "What was said, before noise was added."];
    const clips = result.matched.map((each, i) => ({ label: labels[i], src: this.#address(each), transcript: text, heard: `${heard[i]} All are equally loud.` }));
    const stop = this.#player(view.players, "Before and after, at the same moment", clips);
    this.undo.push(stop);
    view.original.hidden = true;
    const top = draw(view.before, noisy);
    draw(view.after, wave, top);
    result.top = top;
    const seconds = noisy.length / SAMPLE_RATE;
    view.before.setAttribute("aria-label", `Spectrogram of the noisy sound, ${seconds.toFixed(1)} s`);
    view.after.setAttribute("aria-label", "Spectrogram of the enhanced sound, on the same scale");
    view.scale.textContent = `Time runs to the right, 0 to ${seconds.toFixed(1)} s; frequency runs up, 0 to 8 kHz; brighter is louder, over 70 dB.`;
    view.facts.replaceChildren(...this.#facts().map((fact) => h("li", {}, fact)));
    view.save.href = this.#address(result.matched[1]);
    view.stepIndex.max = view.stepIndex.value = result.steps.length;
    view.stepIndex.disabled = result.steps.length === 1;
    view.results.hidden = false;
    this.#showStep();
  }

  #facts() {
    const { noisy, wave, clean, times, ms, settings } = this.result, each = median(times), seconds = noisy.length / SAMPLE_RATE;
    const facts = [
      `${times.length} evaluations of the network, ${time(each)} each; ${time(ms)} in all for ${seconds.toFixed(1)} s of sound.`,
      `One more step would take ${settings.sampler === "pc" ? 1 + settings.correctorSteps : 2} more evaluations: ${time(each * 2)}.`,
    ];
    if (!clean) return [...facts, "SI-SDR is not known: it needs the clean sound."];
    const [before, after] = [siSdr(clean, noisy), siSdr(clean, wave)];
    Object.assign(this.result, { before, after });
    return [`SI-SDR: ${dB(before)} before, ${dB(after)} after.`, ...facts];
  }

  #showStep() {
    const { view, result } = this, step = result?.steps[view.stepIndex.value - 1];
    if (!step) return;
    const score = result.clean ? `, SI-SDR ${dB(siSdr(result.clean, step.wave))}` : "";
    view.stepOut.value = `${step.index + 1} of ${result.steps.length}: σ = ${step.sigma.toPrecision(2)}, ${step.nfe} evaluations so far${score}`;
    view.step.setAttribute("aria-label", `Spectrogram of the estimate at step ${step.index + 1}`);
    draw(view.step, step.wave, result.top);
    view.stepAudio.pause();
    view.stepAudio.src = this.#address(matchLoudness([step.wave])[0]);
  }
}

async function mount(el) {
  try {
    const response = await fetch(new URL("manifest.json", ASSETS));
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    el.lab = new Lab(el, await response.json());
    el.dataset.ready = "";
  } catch (error) {
    el.prepend(h("p", { role: "alert" }, `The lab did not load (${error.message}). Reload the page; below are prepared results.`));
  }
}

document.querySelectorAll("[data-edmse-lab]").forEach(mount);
