// Where sound comes from: a file, the microphone. All becomes mono at 16 kHz.

import { SAMPLE_RATE, SILENCE_RMS } from "./stft.mjs";
import { LONGEST } from "./enhance.mjs";

export const LARGEST_FILE = 20e6; // bytes
const SHORTEST = 0.25 * SAMPLE_RATE; // samples

// A fault that the reader can mend; its message says how.
export class SourceError extends Error {}

const seconds = (samples) => `${(samples / SAMPLE_RATE).toFixed(1)} s`;

// Samples of an encoded sound: the browser decodes, resamples; channels are averaged.
export async function decode(bytes) {
  const buffer = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(bytes);
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

// Check a sound of the reader's; return {wave, note}.
export function usable(wave, what) {
  if (wave.length < SHORTEST) throw new SourceError(`${what} is only ${seconds(wave.length)} long. Take one of at least ${seconds(SHORTEST)}.`);
  if (!wave.some((v) => Math.abs(v) > SILENCE_RMS)) throw new SourceError(`${what} is silent. Take one that holds sound.`);
  if (wave.length <= LONGEST) return { wave, note: `${what}: ${seconds(wave.length)}.` };
  return { wave: wave.slice(0, LONGEST), note: `${what} is ${seconds(wave.length)} long; the first ${seconds(LONGEST)} are used.` };
}

export async function openFile(file) {
  const name = `“${file.name}”`;
  if (file.size > LARGEST_FILE) {
    throw new SourceError(`${name} has ${(file.size / 1e6).toFixed(0)} MB; at most ${LARGEST_FILE / 1e6} MB can be opened here. Cut out the 15 seconds that matter, or save it as mp3.`);
  }
  let wave;
  try {
    wave = await decode(await file.arrayBuffer());
  } catch {
    throw new SourceError(`${name} cannot be read as sound: it is damaged, or of a kind that this browser does not know. Try a wav, mp3, flac or m4a file.`);
  }
  return usable(wave, name);
}

// Runs beside the page and hands it the microphone's samples. It is text, so that it needs no
// request when the connection is gone.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

export const microphoneMissing = () => {
  if (!globalThis.isSecureContext) return "The microphone needs a page that came by https.";
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.AudioWorkletNode) return "This browser gives pages no microphone.";
  return "";
};

const REFUSED = {
  NotAllowedError: "The microphone was refused. Allow it in the browser's settings for this site and press Record again, or open a file instead.",
  NotFoundError: "No microphone was found. Plug one in and press Record again, or open a file instead.",
  NotReadableError: "The microphone is in use by another program. Close that and press Record again, or open a file instead.",
};

// Records until stop() is called or 15 s are full: `await start(onFull)`, then `await stop()`.
export class Recorder {
  async start(onSeconds, onFull) {
    const lacking = microphoneMissing();
    if (lacking) throw new SourceError(`${lacking} Open a file instead.`);
    this.context = new AudioContext(); // before the question: some browsers want it within the tap
    try {
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      this.context.close();
      throw new SourceError(REFUSED[error.name] ?? `The microphone cannot be used (${error.message}). Open a file instead.`);
    }
    const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await this.context.audioWorklet.addModule(address);
    URL.revokeObjectURL(address);
    const tap = new AudioWorkletNode(this.context, "tap");
    this.parts = [];
    let count = 0;
    const most = (LONGEST / SAMPLE_RATE) * this.context.sampleRate;
    tap.port.onmessage = ({ data }) => {
      if (count >= most) return;
      this.parts.push(data);
      count += data.length;
      onSeconds(count / this.context.sampleRate);
      if (count >= most) onFull();
    };
    this.context.createMediaStreamSource(this.stream).connect(tap);
    await this.context.resume();
  }

  async stop() {
    this.stream.getTracks().forEach((track) => track.stop());
    const rate = this.context.sampleRate;
    await this.context.close();
    const length = this.parts.reduce((sum, part) => sum + part.length, 0);
    if (length === 0) throw new SourceError("The microphone gave no sound. Press Record again, or open a file instead.");
    const offline = new OfflineAudioContext(1, Math.ceil((length * SAMPLE_RATE) / rate), SAMPLE_RATE);
    const buffer = offline.createBuffer(1, length, rate);
    let at = 0;
    for (const part of this.parts) { buffer.copyToChannel(part, 0, at); at += part.length; }
    const source = offline.createBufferSource();
    source.buffer = buffer;
    source.connect(offline.destination);
    source.start();
    return usable((await offline.startRendering()).getChannelData(0).slice(), "Your recording");
  }
}
