// The samplers of the library (edmse_lite/samplers.py), in JavaScript.
//
// A state is a Float64Array of real, then imaginary parts. `denoise(xTilde, sigma)` is a promise of
// D, `noise()` gives unit complex noise. Both samplers yield {index, sigma, x0Hat, nfe}.

export const MAX_CHURN = Math.SQRT2 - 1;

// sigma_i between two levels, uniform in sigma^(1/rho).
export function rhoGrid(steps, { sigmaMin, sigmaMax, rho = 7 }) {
  const top = sigmaMax ** (1 / rho), bottom = sigmaMin ** (1 / rho);
  return Array.from({ length: steps }, (_, i) => (top + (steps > 1 ? i / (steps - 1) : 0) * (bottom - top)) ** rho);
}

// OUVE with a sigma(t) that does not depend on the stiffness; VE is stiffness 0.
export function ouve({ sigma_min, sigma_max, stiffness = 0 }) {
  const logP = Math.log(sigma_max / sigma_min);
  return {
    s: (t) => Math.exp(-stiffness * t),
    sigma: (t) => sigma_min * Math.sqrt(Math.expm1(2 * logP * t)),
    f: () => -stiffness,
    g: (t) => sigma_min * Math.sqrt(2 * logP) * Math.exp((logP - stiffness) * t),
  };
}

// D = c_skip x + c_out F(c_in x, y; c_noise), EDM's column.
export function denoiserOf(network, y, { sigmaData }) {
  const size = y.length, frameSize = 2 * size;
  return async (x, sigma) => {
    const total = sigma ** 2 + sigmaData ** 2, cIn = 1 / Math.sqrt(total);
    const cSkip = sigmaData ** 2 / total, cOut = sigma * sigmaData * cIn;
    const inputs = new Float32Array(frameSize);
    for (let i = 0; i < size; i++) inputs[i] = cIn * x[i];
    inputs.set(y, size);
    const output = await network(inputs, Math.log(sigma) / 4);
    return x.map((v, i) => cSkip * v + cOut * output[i]);
  };
}

export const evaluations = ({ sampler, steps, correctorSteps = 1, spins = 1 }) =>
  spins * (sampler === "pc" ? steps * (1 + correctorSteps) : 2 * steps - 1);

// Heun's method with churn, in x~ and sigma; 2N - 1 calls; ends with y + D at the last level.
export async function* edm(denoise, y, noise, options) {
  const { steps, sChurn = Infinity, highest = Infinity } = options, nodes = rhoGrid(steps, options);
  let x = noise().map((e) => nodes[0] * e), nfe = 0;
  for (let i = 0; i < steps; i++) {
    const raised = nodes[i] * (1 + Math.min(sChurn / steps, MAX_CHURN));
    const sigma = Math.max(nodes[i], Math.min(raised, highest)), z = noise();
    const added = Math.sqrt(sigma ** 2 - nodes[i] ** 2);
    const xHat = x.map((v, k) => v + added * z[k]);
    const d = await denoise(xHat, sigma);
    nfe += 1;
    if (i < steps - 1) {
      const next = nodes[i + 1], step = next - sigma;
      const slope = xHat.map((v, k) => (v - d[k]) / sigma);
      const xNext = xHat.map((v, k) => v + step * slope[k]);
      const dNext = await denoise(xNext, next);
      nfe += 1;
      x = xHat.map((v, k) => v + (step * (slope[k] + (xNext[k] - dNext[k]) / next)) / 2);
    }
    yield { index: i, sigma, x0Hat: y.map((v, k) => v + d[k]), nfe };
  }
}

// Annealed Langevin corrector, then reverse diffusion predictor, in x_t; N (1 + corrector) calls.
export async function* pc(denoise, y, noise, options) {
  const { steps, sde, correctorSteps = 1, snr = 0.5, tEps = 0.03 } = options;
  const times = Array.from({ length: steps }, (_, i) => (steps > 1 ? 1 + (i / (steps - 1)) * (tEps - 1) : 1));
  const start = sde.s(1) * sde.sigma(1), first = noise();
  let x = y.map((v, k) => v + start * first[k]), nfe = 0;
  for (let i = 0; i < steps; i++) {
    const t = times[i], s = sde.s(t), sigma = sde.sigma(t);
    const unshifted = () => x.map((v, k) => (v - y[k]) / s);
    for (let c = 0; c < correctorSteps; c++) {
      const xTilde = unshifted(), d = await denoise(xTilde, sigma), z = noise();
      const epsilon = 2 * (snr * s * sigma) ** 2, gain = epsilon / (s * sigma ** 2), spread = Math.sqrt(2 * epsilon);
      x = x.map((v, k) => v + gain * (d[k] - xTilde[k]) + spread * z[k]);
      nfe += 1;
    }
    const xTilde = unshifted(), d = await denoise(xTilde, sigma), z = noise();
    const delta = i === steps - 1 ? t : t - times[i + 1], f = sde.f(t), g = sde.g(t);
    const gain = (g ** 2 * delta) / (s * sigma ** 2), spread = g * Math.sqrt(delta);
    x = x.map((v, k) => v - f * (v - y[k]) * delta + gain * (d[k] - xTilde[k]) + spread * z[k]);
    nfe += 1;
    yield { index: i, sigma, x0Hat: y.map((v, k) => v + d[k]), nfe }; // the last one: Tweedie's estimate
  }
}
