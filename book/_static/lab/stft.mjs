// The compressed spectrogram of the library (edmse_lite/spectrograms.py), in JavaScript.
//
// A spectrogram is one Float64Array: the real parts of all (bin, frame) pairs, bin by bin, then the
// imaginary parts. The network wants this order, and samplers need not know about complex numbers.

export const SAMPLE_RATE = 16000;
export const SILENCE_RMS = 1e-5; // -100 dB re full scale
export const REFERENCE_RMS = 0.1;

// In-place complex FFT of a power-of-two length; sign = -1 is forward, +1 is backward, unscaled.
export function fft(re, im, sign = -1) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  const [cos, sin] = twiddles(n);
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2, stride = n / size;
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k++) {
        const wr = cos[k * stride], wi = sign * sin[k * stride];
        const a = start + k, b = a + half;
        const xr = re[b] * wr - im[b] * wi, xi = re[b] * wi + im[b] * wr;
        re[b] = re[a] - xr; im[b] = im[a] - xi;
        re[a] += xr; im[a] += xi;
      }
    }
  }
}

const kept = new Map();
function twiddles(n) {
  if (!kept.has(n)) {
    const angle = (k) => (2 * Math.PI * k) / n;
    kept.set(n, [Float64Array.from({ length: n / 2 }, (_, k) => Math.cos(angle(k))),
      Float64Array.from({ length: n / 2 }, (_, k) => Math.sin(angle(k)))]);
  }
  return kept.get(n);
}

// sqrt(Hann), periodic: used on the way there and on the way back.
const squareRootHann = (n) => Float64Array.from({ length: n }, (_, i) => Math.sin((Math.PI * i) / n));

export class Spectrogram {
  constructor({ n_fft = 512, hop = 256, factor = 0.15, exponent = 0.5 } = {}) {
    Object.assign(this, { size: n_fft, hop, factor, exponent, bins: n_fft / 2, window: squareRootHann(n_fft) });
  }

  frames(samples) { return Math.ceil(samples / this.hop) + 1; }

  // Linear STFT of a waveform; centred frames, zeros beyond the ends, the Nyquist bin left out.
  stft(wave) {
    const { size, hop, bins, window } = this, frames = this.frames(wave.length), count = bins * frames;
    const out = new Float64Array(2 * count), re = new Float64Array(size), im = new Float64Array(size);
    for (let l = 0; l < frames; l++) {
      const start = l * hop - size / 2;
      im.fill(0);
      for (let i = 0; i < size; i++) re[i] = (wave[start + i] ?? 0) * window[i];
      fft(re, im);
      for (let f = 0; f < bins; f++) {
        out[f * frames + l] = re[f];
        out[count + f * frames + l] = im[f];
      }
    }
    return out;
  }

  // Inverse of stft: a waveform of `length` samples; the Nyquist bin returns as zero.
  istft(spectrum, length) {
    const { size, hop, bins, window } = this, count = spectrum.length / 2, frames = count / bins;
    const padded = (frames - 1) * hop + size, sum = new Float64Array(padded), weight = new Float64Array(padded);
    const re = new Float64Array(size), im = new Float64Array(size);
    for (let l = 0; l < frames; l++) {
      re.fill(0); im.fill(0);
      re[0] = spectrum[l];
      for (let f = 1; f < bins; f++) {
        re[f] = re[size - f] = spectrum[f * frames + l];
        im[f] = spectrum[count + f * frames + l];
        im[size - f] = -im[f];
      }
      fft(re, im, 1);
      for (let i = 0; i < size; i++) {
        sum[l * hop + i] += (re[i] / size) * window[i];
        weight[l * hop + i] += window[i] ** 2;
      }
    }
    return Float64Array.from({ length }, (_, i) => sum[size / 2 + i] / weight[size / 2 + i]);
  }

  // a |X|^alpha with the phase of X, and its inverse.
  compress(spectrum) { return this.#bend(spectrum, (m) => this.factor * m ** this.exponent); }
  expand(compressed) { return this.#bend(compressed, (m) => (m / this.factor) ** (1 / this.exponent)); }

  #bend(spectrum, curve) {
    const count = spectrum.length / 2, out = new Float64Array(spectrum.length);
    for (let i = 0; i < count; i++) {
      const magnitude = Math.hypot(spectrum[i], spectrum[count + i]);
      const gain = magnitude > 0 ? curve(magnitude) / magnitude : 0;
      out[i] = gain * spectrum[i];
      out[count + i] = gain * spectrum[count + i];
    }
    return out;
  }

  forward(wave) { return this.compress(this.stft(wave)); }
  inverse(compressed, length) { return this.istft(this.expand(compressed), length); }
}

// Level of a waveform: divided by it, a sound has the root mean square 0.1.
export function level(wave) {
  const power = wave.reduce((sum, v) => sum + v * v, 0) / wave.length;
  return Math.max(Math.sqrt(power), SILENCE_RMS) / REFERENCE_RMS;
}

// Append so many samples: the end, mirrored, then zeros.
export function extended(wave, samples) {
  const out = new Float64Array(wave.length + samples);
  out.set(wave);
  for (let i = 0; i < Math.min(samples, wave.length - 1); i++) out[wave.length + i] = wave[wave.length - 2 - i];
  return out;
}

// Put so many samples before: the beginning, mirrored.
export const delayed = (wave, samples) => extended(Float64Array.from(wave).reverse(), samples).reverse();

// Gain that is 0 where all is silent for 40 ms or more, elsewhere 1; it moves within one block.
export function awake(wave, block = 256) {
  const blocks = Math.ceil(wave.length / block), loud = new Float64Array(blocks);
  wave.forEach((v, i) => { if (Math.abs(v) > SILENCE_RMS) loud[Math.floor(i / block)] = 1; });
  const near = loud.map((_, b) => Math.max(...loud.subarray(Math.max(0, b - 2), b + 3)));
  return Float64Array.from({ length: wave.length }, (_, i) => {
    const at = Math.max(0, (i + 0.5) / block - 0.5), b = Math.floor(at);
    const next = near[Math.min(b + 1, blocks - 1)];
    return near[b] + (at - b) * (next - near[b]);
  });
}
