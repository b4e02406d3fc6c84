// A whole enhancement, as the library's Enhancer does it for a sound of one segment.

import { awake, extended, level, Spectrogram } from "./stft.mjs";
import { denoiserOf, edm, ouve, pc } from "./samplers.mjs";

export const GRAIN = 4096; // samples; a network that halves time four times then needs no padding
export const LONGEST = 15 * 16000; // samples of one segment

// `wave` is at 16 kHz. `network(inputs, frames, label)` is a promise of the raw output; `draw(size)`
// makes the source of diffusion noise; `score` is what export.py says of the score model; `onStep`
// gets {index, sigma, nfe, wave}. Returns the enhanced wave.
export async function enhance(wave, network, { score, settings, draw, onStep = () => {} }) {
  const spectrogram = new Spectrogram(score.spectrogram), gate = awake(wave);
  if (!gate.some((g) => g > 0)) return new Float64Array(wave.length);
  const scale = level(wave), missing = (GRAIN - ((wave.length + spectrogram.hop) % GRAIN)) % GRAIN;
  const levelled = extended(Float64Array.from(wave, (v) => v / scale), missing);
  const y = spectrogram.forward(levelled), frames = spectrogram.frames(levelled.length);
  const denoise = denoiserOf((inputs, label) => network(inputs, frames, label), y, { sigmaData: score.sigma_data });
  const walk = settings.sampler === "pc" ? pc : edm;
  const options = { ...settings, sde: ouve(score.sde), highest: score.sigma_range[1] };
  let out;
  for await (const step of walk(denoise, y, draw(y.length), options)) {
    const sound = spectrogram.inverse(step.x0Hat, levelled.length);
    out = Float64Array.from(wave, (_, i) => sound[i] * scale * gate[i]);
    onStep({ index: step.index, sigma: step.sigma, nfe: step.nfe, wave: Float32Array.from(out) });
  }
  return out;
}
