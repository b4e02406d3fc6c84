// What an enhancement is averaged over (edmse_lite/spins.py): frame grids, playing
// speeds and signs.

import { delayed } from "./stft.mjs";

const SPEEDS = [[1, 1], [4, 5]]; // in turn
const CROSSINGS = 64, ROLLOFF = 0.985; // of the filter, as in edmse_lite/streams.py

// Resample from a rate to another, or from any two numbers of their ratio; no delay. The filter is
// a sinc under a squared cosine.
export function resampled(wave, source, target) {
  if (source === target) return Float64Array.from(wave);
  const cut = (Math.min(source, target) * ROLLOFF) / source, reach = Math.ceil(CROSSINGS / cut);
  const tap = (u) => (Math.abs(u) >= CROSSINGS ? 0 : (u ? Math.sin(Math.PI * u) / (Math.PI * u) : 1) * Math.cos((Math.PI * u) / (2 * CROSSINGS)) ** 2 * cut);
  const filters = Array.from({ length: target }, (_, phase) => {
    const part = ((phase * source) % target) / target; // of an input sample
    return Float64Array.from({ length: 2 * reach + 2 }, (_, k) => tap((k - reach - part) * cut));
  });
  return Float64Array.from({ length: Math.ceil((wave.length * target) / source) }, (_, n) => {
    const filter = filters[n % target], first = Math.floor((n * source) / target) - reach;
    let sum = 0;
    for (let k = Math.max(0, -first); k < Math.min(filter.length, wave.length - first); k++) sum += filter[k] * wave[first + k];
    return sum;
  });
}

// So many ways to play a sound to the network: {apply, undo}. Every second one is slow; the delays
// of each speed divide the hop evenly, and every second delay has its sign turned.
export function spinsOf(count, hop) {
  return Array.from({ length: count }, (_, k) => {
    const which = k % SPEEDS.length, share = Math.ceil((count - which) / SPEEDS.length), [speed, of] = SPEEDS[which];
    const turn = Math.floor(k / SPEEDS.length), delay = Math.floor((turn * hop) / share);
    const signed = (wave) => (turn % 2 ? wave.map((value) => -value) : wave);
    return {
      apply: (wave) => signed(delayed(resampled(wave, speed, of), delay)),
      undo: (wave, samples) => signed(resampled(wave.subarray(delay), of, speed).subarray(0, samples)),
    };
  });
}
