// A whole enhancement, as the library's Enhancer does it for a sound of one segment.

import { denoiserOf, edm, evaluations, ouve, pc } from "./samplers.mjs";
import { spinsOf } from "./spins.mjs";
import { awake, extended, level, Spectrogram } from "./stft.mjs";

export const GRAIN = 4096; // samples; a network that halves time four times then needs no padding
export const LONGEST = 15 * 16000; // samples of one segment

// `wave` is at 16 kHz. `network(inputs, frames, label)` is a promise of the raw output;
// `draw(size, spin)` makes the source of diffusion noise of a walk; `score` is what export.py says of
// the score model; `onStep` gets {index, sigma, nfe, wave}, the estimate of the walk under way.
// Returns the mean of `settings.spins` walks, each on another frame grid, at two speeds and with both signs;
// noise is turned down by `settings.limit` dB at most.
export async function enhance(wave, network, { score, settings, draw, onStep = () => {} }) {
  const spectrogram = new Spectrogram(score.spectrogram), gate = awake(wave), total = new Float64Array(wave.length);
  if (!gate.some((g) => g > 0)) return total;
  const { spins = 1, limit = Infinity } = settings, each = evaluations({ ...settings, spins: 1 });
  const scale = level(wave), levelled = Float64Array.from(wave, (v) => v / scale), { hop } = spectrogram;
  const walk = settings.sampler === "pc" ? pc : edm;
  const options = { ...settings, sde: ouve(score.sde), highest: score.sigma_range[1] };
  const left = 10 ** ((-limit * spectrogram.exponent) / 20); // of r
  for (const [spin, turn] of spinsOf(spins, hop).entries()) {
    const turned = turn.apply(levelled);
    const whole = extended(turned, (GRAIN - ((turned.length + hop) % GRAIN)) % GRAIN);
    const y = spectrogram.forward(whole), frames = spectrogram.frames(whole.length);
    const denoise = denoiserOf((inputs, label) => network(inputs, frames, label), y, { sigmaData: score.sigma_data });
    let out;
    for await (const step of walk(denoise, y, draw(y.length, spin), options)) {
      const x0 = step.x0Hat.map((v, i) => v + left * (y[i] - v));
      const sound = turn.undo(spectrogram.inverse(x0, whole.length).subarray(0, turned.length), wave.length);
      out = sound.map((v, i) => v * scale * gate[i]);
      const index = spin * settings.steps + step.index;
      onStep({ index, sigma: step.sigma, nfe: spin * each + step.nfe, wave: Float32Array.from(out) });
    }
    out.forEach((v, i) => { total[i] += v / spins; });
  }
  return total;
}
