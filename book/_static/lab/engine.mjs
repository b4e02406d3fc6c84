// The worker as seen from the page: one job at a time, cancelled on request, replaced when lost.

export class Cancelled extends Error {}
export class LostWorker extends Error {}

export class Engine {
  // `wasm` and `model` are array buffers, kept so that a lost worker can be replaced.
  constructor({ wasm, model }) {
    Object.assign(this, { bytes: { wasm, model }, worker: null, job: null, number: 0 });
    this.patience = 60_000; // ms without a word until the worker counts as lost
    this.grace = 5_000; // ms that a cancelled worker has to answer
  }

  // Start a worker and give it the network.
  async start() {
    this.stop();
    this.worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.#heard(data);
    this.worker.onmessageerror = () => this.#lost("it sent what cannot be read");
    this.worker.onerror = (event) => {
      event.preventDefault?.();
      this.#lost(event.message || "its script did not load");
    };
    try {
      await this.#ask({ type: "load", ...this.bytes }, ["ready"]);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop() {
    this.worker?.terminate();
    this.worker = null;
  }

  // Enhance a wave; `hear` gets every "evaluation" and "step" message.
  async enhance(request, hear) {
    if (!this.worker) await this.start();
    this.number += 1;
    return this.#ask({ type: "enhance", id: this.number, ...request }, ["done"], hear);
  }

  // A call of the network cannot be broken off: the worker stops at the next, or is replaced.
  cancel() {
    if (!this.job) return;
    this.worker?.postMessage({ type: "cancel", id: this.number });
    clearTimeout(this.job.timer);
    this.job.timer = setTimeout(() => {
      this.stop();
      this.#end(new Cancelled());
    }, this.grace);
    this.job.cancelling = true;
  }

  #ask(message, ends, hear = () => {}) {
    return new Promise((resolve, reject) => {
      this.job = { resolve, reject, ends, hear };
      this.#wait();
      this.worker.postMessage(message);
    });
  }

  #wait() {
    clearTimeout(this.job.timer);
    this.job.timer = setTimeout(() => this.#lost(`no word from it for ${this.patience / 1000} s`), this.patience);
  }

  #heard(message) {
    if (!this.job) return;
    if (!this.job.cancelling) this.#wait();
    const ended = this.job.ends.includes(message.type);
    if (message.type === "cancelled" || (ended && this.job.cancelling)) this.#end(new Cancelled());
    else if (ended) this.#end(null, message);
    else if (message.type === "error") this.#end(new Error(message.message));
    else this.job.hear(message);
  }

  #lost(why) {
    this.stop();
    if (this.job) this.#end(new LostWorker(why));
  }

  #end(error, message) {
    const { job } = this;
    clearTimeout(job.timer);
    this.job = null;
    if (error) job.reject(error);
    else job.resolve(message);
  }
}
