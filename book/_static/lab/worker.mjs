// The network, off the page's thread: onnxruntime's WebAssembly build on one thread.
// In: {type: load | enhance | cancel}. Out: {type: alive | ready | evaluation | step | done | cancelled | error}.

import * as ort from "../vendor/onnxruntime/ort.wasm.bundle.min.mjs";
import { enhance } from "./enhance.mjs";
import { complexNoise } from "./mixing.mjs";
import { evaluations } from "./samplers.mjs";

class Cancelled extends Error {}
let session = null, cancelled = new Set();

export async function createSession(wasm, model) {
  ort.env.wasm.numThreads = 1; // pages on static hosts are not isolated, so there are no threads
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

export const networkOf = (session) => async (inputs, frames, label) => {
  const feeds = {
    inputs: new ort.Tensor("float32", inputs, [1, 4, inputs.length / 4 / frames, frames]),
    noise_label: new ort.Tensor("float32", Float32Array.of(label), [1]),
  };
  return (await session.run(feeds)).output.data;
};

async function load({ wasm, model }) {
  session = await createSession(wasm, new Uint8Array(model));
  postMessage({ type: "ready" });
}

async function run({ id, wave, score, settings, seed }) {
  const total = evaluations(settings), times = [], begun = performance.now();
  const bare = networkOf(session);
  const network = async (...inputs) => {
    await new Promise((go) => setTimeout(go)); // lets a "cancel" in
    if (cancelled.has(id)) throw new Cancelled();
    const start = performance.now(), output = await bare(...inputs);
    times.push(performance.now() - start);
    postMessage({ type: "evaluation", id, done: times.length, total, ms: times.at(-1) });
    return output;
  };
  const onStep = (step) => postMessage({ type: "step", id, ...step }, [step.wave.buffer]);
  const out = await enhance(wave, network, { score, settings, draw: (size, spin) => complexNoise(seed, size, spin), onStep });
  postMessage({ type: "done", id, wave: Float32Array.from(out), times, ms: performance.now() - begun });
}

const work = { load, enhance: run, cancel: ({ id }) => cancelled.add(id) };

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = async ({ data }) => {
    try {
      await work[data.type](data);
    } catch (error) {
      if (error instanceof Cancelled) postMessage({ type: "cancelled", id: data.id });
      else postMessage({ type: "error", id: data.id, message: String(error?.message ?? error) });
    }
  };
  postMessage({ type: "alive" });
}
