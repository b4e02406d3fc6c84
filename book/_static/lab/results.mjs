// What came out: players, pictures, facts, the walk step by step.

import player from "../explorables/player.mjs";
import { matchLoudness, siSdr, wavFile } from "./mixing.mjs";
import { draw } from "./pictures.mjs";
import { SAMPLE_RATE } from "./stft.mjs";
import { h } from "./view.mjs";

export const dB = (value) => `${value.toFixed(1)} dB`.replace("-", "−");
export const duration = (ms) => (ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

// The book's player, in a place of the lab.
export function showPlayer(place, title, clips) {
  const model = { get: (key) => ({ title, clips })[key], set() {}, save_changes() {} };
  place.replaceChildren();
  return player.render({ model, el: place });
}

export class Results {
  constructor(view) {
    Object.assign(this, { view, result: null, undo: [] });
    view.stepIndex.addEventListener("input", () => this.showStep());
    view.hearStep.addEventListener("click", () => (view.stepAudio.paused ? view.stepAudio.play() : view.stepAudio.pause()));
    for (const event of ["play", "pause", "ended"]) {
      view.stepAudio.addEventListener(event, () => { view.hearStep.textContent = view.stepAudio.paused ? "▶ Hear this step" : "⏸ Pause"; });
    }
  }

  // `result` holds noisy, wave, steps, times, ms, settings, text, and clean where it is known.
  show(result) {
    const { view } = this, { noisy, wave, clean, text = "" } = result;
    this.undo.splice(0).forEach((undo) => undo());
    this.result = result;
    const matched = matchLoudness([noisy, wave, ...(clean ? [clean] : [])]);
    const labels = ["Noisy", "Enhanced", "Clean"], heard = ["Before.", "After.", "What was said, before noise was added."];
    const clips = matched.map((each, i) => ({ label: labels[i], src: this.#address(each), transcript: text, heard: `${heard[i]} All are equally loud.` }));
    this.undo.push(showPlayer(view.players, "Before and after, at the same moment", clips));
    view.original.hidden = true;
    this.#pictures();
    view.facts.replaceChildren(...this.#facts().map((fact) => h("li", {}, fact)));
    view.save.href = this.#address(matched[1]);
    view.stepIndex.max = result.steps.length;
    view.stepIndex.value = result.steps.length;
    view.stepIndex.disabled = result.steps.length === 1;
    view.results.hidden = false;
    this.showStep();
  }

  #address(wave) {
    const address = URL.createObjectURL(wavFile(wave));
    this.undo.push(() => URL.revokeObjectURL(address));
    return address;
  }

  #pictures() {
    const { view, result } = this, seconds = (result.noisy.length / SAMPLE_RATE).toFixed(1);
    result.top = draw(view.before, result.noisy);
    draw(view.after, result.wave, result.top);
    view.before.setAttribute("aria-label", `Spectrogram of the noisy sound, ${seconds} s`);
    view.after.setAttribute("aria-label", "Spectrogram of the enhanced sound, on the same scale");
    view.scale.textContent = `Time runs to the right, 0 to ${seconds} s; frequency runs up, 0 to 8 kHz; brighter is louder, over 70 dB.`;
  }

  #facts() {
    const { noisy, wave, clean, times, ms, settings } = this.result, each = median(times), more = settings.spins * (settings.sampler === "pc" ? 1 + settings.correctorSteps : 2);
    const facts = [
      `${times.length === 1 ? "One evaluation" : `${times.length} evaluations`} of the network, ${duration(each)} each; ${duration(ms)} in all for ${(noisy.length / SAMPLE_RATE).toFixed(1)} s of sound.`,
      `One more step would take ${more} more evaluations: ${duration(each * more)}.`,
    ];
    if (!clean) return [...facts, "SI-SDR is not known: it needs the clean sound."];
    const [before, after] = [siSdr(clean, noisy), siSdr(clean, wave)];
    Object.assign(this.result, { before, after });
    return [`SI-SDR: ${dB(before)} before, ${dB(after)} after.`, ...facts];
  }

  showStep() {
    const { view, result } = this, step = result?.steps[view.stepIndex.value - 1];
    if (!step) return;
    const score = result.clean ? `, SI-SDR ${dB(siSdr(result.clean, step.wave))}` : "";
    view.stepOut.value = `${step.index + 1} of ${result.steps.length}: σ = ${step.sigma.toPrecision(2)}, ${step.nfe === 1 ? "one evaluation" : `${step.nfe} evaluations`} so far${score}`;
    view.step.setAttribute("aria-label", `Spectrogram of the estimate at step ${step.index + 1}`);
    draw(view.step, step.wave, result.top);
    view.stepAudio.pause();
    view.stepAudio.src = this.#address(matchLoudness([step.wave])[0]);
  }
}
