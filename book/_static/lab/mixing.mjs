// Mixing, scoring and loudness, as edmse_lite's mixing.py, metrics.py and pages.py do them.

const power = (wave) => wave.reduce((sum, v) => sum + v * v, 0) / wave.length;
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

// Clean speech plus environmental noise at a mixture SNR, in dB.
export function mix(clean, noise, snr) {
  const gain = Math.sqrt(Math.max(power(clean), 1e-10) / Math.max(power(noise), 1e-10) / 10 ** (snr / 10));
  return clean.map((v, i) => v + gain * noise[i]);
}

// Noise of the length asked for: repeated where it is too short.
export const looped = (noise, length) => Float32Array.from({ length }, (_, i) => noise[i % noise.length]);

// Scale-invariant signal-to-distortion ratio, in dB.
export function siSdr(clean, estimate) {
  const alpha = dot(estimate, clean) / dot(clean, clean);
  const target = alpha ** 2 * dot(clean, clean);
  const error = clean.reduce((sum, v, i) => sum + (alpha * v - estimate[i]) ** 2, 0);
  return 10 * Math.log10(target / error);
}

// Level of the active parts of a waveform at 16 kHz, in dB: pauses do not count.
export function activeLevel(wave) {
  const size = 6400, hop = 1600, powers = [];
  const padded = wave.length < size ? Object.assign(new Float64Array(size), wave) : wave;
  for (let start = 0; start + size <= padded.length; start += hop) powers.push(power(padded.subarray(start, start + size)));
  const mean = powers.reduce((a, b) => a + b, 0) / powers.length;
  const active = powers.filter((p) => p >= 0.1 * mean);
  return 10 * Math.log10(active.reduce((a, b) => a + b, 0) / active.length);
}

// Bring waveforms to one active level, -23 dB, or less where a peak would pass 0.95.
export function matchLoudness(waves) {
  const levels = waves.map(activeLevel);
  const scaled = waves.map((wave, i) => {
    const gain = levels[i] > -100 ? 10 ** ((-23 - levels[i]) / 20) : 1;
    return wave.map((v) => gain * v);
  });
  const peak = Math.max(...scaled.map((wave) => wave.reduce((most, v) => Math.max(most, Math.abs(v)), 0)));
  const gain = Math.min(1, 0.95 / Math.max(peak, 1e-9));
  return scaled.map((wave) => wave.map((v) => gain * v));
}

// Unit complex noise from a seed, `size / 2` numbers: real parts, then imaginary parts. Each walk of
// an average has a stream of its own.
export function complexNoise(seed, size, stream = 0) {
  const next = generator(seed, stream);
  const draw = () => { // Box and Muller: one complex number with E|z|^2 = 1
    const radius = Math.sqrt(-Math.log(1 - next())), angle = 2 * Math.PI * next();
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  };
  return () => {
    const out = new Float64Array(size);
    for (let i = 0; i < size / 2; i++) [out[i], out[size / 2 + i]] = draw();
    return out;
  };
}

// sfc32 (Chris Doty-Humphrey's small fast counter), uniform in [0, 1) with 53 bits.
function generator(seed, stream = 0) {
  let [a, b, c, count] = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, (0x9e3779b9 + stream) | 0, 1];
  const word = () => {
    const out = (((a + b) | 0) + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + out | 0;
    return out >>> 0;
  };
  for (let i = 0; i < 20; i++) word();
  return () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53;
}

// A mono WAV file of 16-bit samples; what lies outside -1 ... 1 is cut off.
export function wavFile(wave, rate = 16000) {
  const bytes = new ArrayBuffer(44 + 2 * wave.length), view = new DataView(bytes);
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); text(8, "WAVEfmt "); text(36, "data");
  [[4, 36 + 2 * wave.length], [16, 16], [24, rate], [28, 2 * rate], [40, 2 * wave.length]].forEach(([at, v]) => view.setUint32(at, v, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([at, v]) => view.setUint16(at, v, true));
  wave.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, v))), true));
  return new Blob([bytes], { type: "audio/wav" });
}
