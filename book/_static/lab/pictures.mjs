// Spectrograms on a canvas: the level of each bin, in dB, in colours of even steps.

import { Spectrogram } from "./stft.mjs";

const RANGE = 70; // dB
const COLOURS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
const transform = new Spectrogram();

function colour(place) {
  const at = Math.max(0, Math.min(1, place)) * (COLOURS.length - 1), low = Math.min(Math.floor(at), COLOURS.length - 2);
  return COLOURS[low].map((c, i) => c + (at - low) * (COLOURS[low + 1][i] - c));
}

const TABLE = Array.from({ length: 256 }, (_, i) => colour(i / 255));

// Levels of a wave in dB, bin by bin, and their largest.
export function levels(wave) {
  const spectrum = transform.stft(wave), count = spectrum.length / 2;
  const found = Float32Array.from({ length: count }, (_, i) => 10 * Math.log10(spectrum[i] ** 2 + spectrum[count + i] ** 2 + 1e-12));
  return { found, frames: count / transform.bins, top: found.reduce((a, b) => Math.max(a, b), -120) };
}

// Draw a wave; `top` dB is the brightest, so that pictures can share a scale. Low bins are at the bottom.
export function draw(canvas, wave, top) {
  const { found, frames, top: own } = levels(wave), { bins } = transform, brightest = top ?? own;
  canvas.width = frames;
  canvas.height = bins;
  const context = canvas.getContext("2d"), image = context.createImageData(frames, bins);
  for (let f = 0; f < bins; f++) {
    for (let l = 0; l < frames; l++) {
      const place = Math.round(255 * Math.max(0, Math.min(1, 1 + (found[f * frames + l] - brightest) / RANGE)));
      const at = 4 * ((bins - 1 - f) * frames + l), [r, g, b] = TABLE[place];
      image.data.set([r, g, b, 255], at);
    }
  }
  context.putImageData(image, 0, 0);
  return brightest;
}
