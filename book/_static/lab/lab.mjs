// "Enhance it in your browser": the trained score model, where the reader is.

import { Cancelled, Engine, LostWorker } from "./engine.mjs";
import { loadAll, missing, totalBytes } from "./loading.mjs";
import { looped, mix } from "./mixing.mjs";
import { dB, duration, median, Results, showPlayer } from "./results.mjs";
import { evaluations } from "./samplers.mjs";
import { decode, microphoneMissing, openFile, Recorder, SourceError } from "./sources.mjs";
import { buildView, h } from "./view.mjs";

const ASSETS = new URL("./assets/", import.meta.url);
const VENDOR = new URL("../vendor/onnxruntime/", import.meta.url);
const FULL = { sigmaMin: 0.01, sigmaMax: 1.5, rho: 7 }; // chapter 1 walks these levels
const FULL_T_EPS = 0.03;

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

export class Lab {
  constructor(el, manifest) {
    Object.assign(this, { el, manifest, engine: null, loaded: null, file: null, recording: null, clips: new Map() });
    this.view = buildView(manifest);
    this.results = new Results(this.view);
    this.#wire();
    this.#describe();
    el.replaceChildren(this.view.root);
    const lacking = missing();
    if (lacking.length) this.#without(`This browser has no ${lacking.join(", no ")}. The model cannot run here; these results were made when the book was built.`);
  }

  // What the controls say

  get result() { return this.results.result; }

  get kind() { return this.view.useFile.checked ? "file" : this.view.useMicrophone.checked ? "microphone" : "clip"; }

  get settings() {
    const { view, manifest } = this, near = view.walk.value === "near", steps = Number(view.steps.value);
    const levels = near ? manifest.score.near : FULL;
    const shared = { sampler: view.sampler.value, steps, spins: Number(view.spins.value), limit: Number(view.limit.value) };
    if (shared.sampler === "edm") return { ...shared, ...levels, sChurn: Number(view.churn.value) };
    return { ...shared, correctorSteps: 1, snr: Number(view.rCorr.value), tEps: near ? manifest.score.tEps : FULL_T_EPS };
  }

  #describe() {
    const { view, manifest, settings } = this, clip = manifest.speech[view.speech.value], noise = manifest.noises[view.noise.value];
    const calls = evaluations(settings), cost = this.perEvaluation ? `, about ${duration(calls * this.perEvaluation)}` : "";
    view.volumeOut.value = `${view.volume.value > 0 ? "+" : ""}${dB(Number(view.volume.value))}`;
    view.snrOut.value = dB(Number(view.snr.value));
    view.stepsOut.value = `${settings.steps}${settings.spins > 1 ? ` in each of ${settings.spins} walks` : ""}, which ${calls === 1 ? "is one evaluation" : `are ${calls} evaluations`} of the network${cost}`;
    view.rCorrOut.value = Number(view.rCorr.value).toFixed(2);
    view.churnField.hidden = settings.sampler !== "edm";
    view.rCorrField.hidden = settings.sampler !== "pc";
    view.hint.hidden = !(settings.sampler === "pc" && view.walk.value === "full" && settings.steps < 8);
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
    for (const control of [view.useClip, view.useFile, view.useMicrophone, view.speech, view.noise, view.snr, view.volume, view.sampler, view.steps, view.spins, view.limit, view.walk, view.churn, view.rCorr, view.seed]) {
      control.addEventListener("input", () => this.#describe());
    }
    view.go.addEventListener("click", () => this.run());
    view.again.addEventListener("click", async () => {
      view.go.scrollIntoView({ block: "start" }); // progress and result are there
      await this.run();
    });
    view.cancel.addEventListener("click", () => (this.engine ? this.engine.cancel() : this.loading?.abort()));
    view.file.addEventListener("change", () => this.#attempt(() => this.#readFile()));
    view.record.addEventListener("click", () => this.#attempt(() => this.#record()));
  }

  // The clip that the page opens with: it can be heard before anything is loaded.
  #open() {
    const [first] = this.manifest.prepared, { view } = this;
    view.speech.value = first.speech;
    view.noise.value = first.noise;
    view.snr.value = first.snr;
    const text = this.manifest.speech[first.speech].text;
    showPlayer(view.original, "Listen first", [{ label: "Noisy", src: new URL(first.noisy, ASSETS).href, transcript: text, heard: "The clip, as the model gets it." }]);
  }

  // Sound

  async #clip(entry) {
    if (!this.clips.has(entry.file)) this.clips.set(entry.file, await decode(this.loaded.sounds.get(entry.file).slice().buffer));
    return this.clips.get(entry.file);
  }

  // The reader's own sound; undefined where the clip is wanted.
  #own() {
    if (this.kind === "file" && !this.file) throw new SourceError("No file is open. Choose one under More, or go back to a clip.");
    if (this.kind === "microphone" && !this.recording) throw new SourceError("Nothing is recorded. Press Record under More, or go back to a clip.");
    return { file: this.file, microphone: this.recording }[this.kind]?.wave;
  }

  async #sound() {
    const { view, manifest } = this, gain = 10 ** (Number(view.volume.value) / 20), own = this.#own();
    if (own) return { noisy: own.map((v) => gain * v) };
    const entry = manifest.speech[view.speech.value], clean = await this.#clip(entry);
    const noise = looped(await this.#clip(manifest.noises[view.noise.value]), clean.length);
    return { clean, noisy: mix(clean, noise, Number(view.snr.value)).map((v) => gain * v), text: entry.text };
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
    const { view } = this;
    view.running.hidden = false;
    view.progress.value = 0;
    await this.#attempt(async () => {
      this.#own();
      await this.#load();
      const { settings } = this, { noisy, clean, text } = await this.#sound();
      const steps = [], begun = performance.now();
      this.#say("Enhancing.");
      const hear = (message) => {
        if (message.type === "step") return steps.push(message);
        view.progress.value = message.done / message.total;
        return this.#say(`Evaluation ${message.done} of ${message.total}, ${duration(message.ms)}.`);
      };
      const request = { wave: noisy, score: this.manifest.score, settings, seed: Math.abs(Math.trunc(Number(view.seed.value))) || 0 };
      const { wave, times } = await this.engine.enhance(request, hear);
      this.perEvaluation = median(times.slice(times.length > 1 ? 1 : 0));
      this.results.show({ noisy, clean, text, wave, times, steps, settings, ms: performance.now() - begun });
      this.#say("Done.");
    });
    view.running.hidden = true;
  }

  async #load() {
    const { view } = this;
    if (!this.loaded) {
      this.#say("Loading.");
      this.loading = new AbortController();
      const count = (part) => { view.progress.value = part; };
      this.loaded = await loadAll(this.manifest, ASSETS, VENDOR, count, this.loading.signal).catch((error) => {
        if (error.name === "AbortError") throw new Cancelled();
        throw new Error(`The model could not be loaded (${error.message}). Check the connection and press the button again.`);
      });
      this.engine = new Engine(this.loaded);
    }
    if (!this.engine.worker) {
      this.#say("Starting the network.");
      await this.engine.start();
    }
  }

  // Do something that may fail; say what went wrong and how to go on.
  async #attempt(work) {
    const { view } = this;
    this.busy = true;
    view.fault.replaceChildren();
    for (const button of [view.go, view.again]) button.setAttribute("aria-disabled", "true");
    try {
      await work();
    } catch (error) {
      this.#say("");
      this.#fault(error);
    }
    this.busy = false;
    for (const button of [view.go, view.again]) button.removeAttribute("aria-disabled");
    this.#describe();
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
      const clips = ["noisy", "enhanced", "clean"].map((kind) => ({ label: kind[0].toUpperCase() + kind.slice(1), src: new URL(each[kind], ASSETS).href, transcript: voice.text, heard: "Made with the default sampler of the library." }));
      showPlayer(place, title, clips);
      return place;
    }));
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
