// What comes over the network: counted as it arrives, unpacked, checked.

// Bytes of a file. `count(n)` is called with the bytes that came since its last call.
export async function fetchBytes(address, count = () => {}, signal = undefined) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(`${nameOf(address)}: the server answered ${response.status}`);
  const reader = response.body.getReader(), parts = [];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    count(part.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// Unpack gzip; a host that has unpacked it already is fine, too.
export async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const nameOf = (address) => String(address).split("/").at(-1);

// What this browser lacks to run the network; an empty list is what one hopes for.
export function missing(scope = globalThis) {
  const wanted = {
    WebAssembly: "runs the network", Worker: "keeps the page alive meanwhile",
    DecompressionStream: "unpacks the weights", OfflineAudioContext: "reads sound",
  };
  return Object.entries(wanted).filter(([name]) => typeof scope[name] === "undefined").map(([name, why]) => `${name} (${why})`);
}

export const totalBytes = ({ model, runtime, speech, noises }) =>
  [model, ...runtime, ...speech, ...noises].reduce((sum, each) => sum + each.bytes, 0);

// Everything that an enhancement needs, so that it works with the connection gone afterwards.
export async function loadAll(manifest, assets, vendor, onProgress, signal) {
  const total = totalBytes(manifest), clips = [...manifest.speech, ...manifest.noises];
  let done = 0;
  const count = (n) => { done += n; onProgress(Math.min(1, done / total)); };
  const get = async (address) => fetchBytes(address, count, signal);
  const [script] = manifest.runtime.filter((each) => each.file.endsWith(".mjs"));
  const [wasm] = manifest.runtime.filter((each) => each.file.endsWith(".gz"));
  const [runtime, model, , ...sounds] = await Promise.all([
    get(new URL(wasm.file, vendor)).then(unpacked),
    get(new URL(manifest.model.file, assets)).then(unpacked),
    get(new URL(script.file, vendor)), // the worker imports it: it comes from the cache then
    ...clips.map((clip) => get(new URL(clip.file, assets))),
  ]);
  return { wasm: runtime, model, sounds: new Map(clips.map((clip, i) => [clip.file, sounds[i]])) };
}
