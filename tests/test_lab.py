"""The numbers of the browser lab are the library's; test_lab_browser.py drives the page."""

import json
from typing import Any

import pytest
import torch
from browser import run_node
from conftest import ROOT

import edmse_lite as se
from edmse_lite import grids, pages
from edmse_lite.metrics import si_sdr
from edmse_lite.mixing import mix
from edmse_lite.spectrograms import level
from edmse_lite.spins import spins
from edmse_lite.streams import awake, extended

LAB = ROOT / "book" / "_static" / "lab"
F64 = torch.float64


def by_node(expression: str, **values: object) -> Any:
    """Return the JSON of a JavaScript expression that sees the lab's modules as m."""
    names = ("stft", "samplers", "mixing", "spins", "enhance")
    lines = [
        f"import * as {name} from {json.dumps((LAB / f'{name}.mjs').as_uri())};" for name in names
    ]
    lines += ["const m = {...stft, ...samplers, ...mixing, ...spins, ...enhance};"]
    lines += [f"const given = {json.dumps(values)};"]
    lines += [f"console.log(JSON.stringify(await (async () => {expression})()));"]
    return run_node("\n".join(lines))


def voice_like(seconds: float = 0.5, dtype: torch.dtype = F64) -> torch.Tensor:
    time = torch.arange(round(seconds * 16_000), dtype=dtype) / 16_000
    harmonics = sum(torch.sin(2 * torch.pi * 140 * k * time) / k for k in range(1, 20))
    return 0.1 * harmonics * torch.sin(3 * time).square() + 1e-3 * torch.randn(
        len(time), dtype=dtype
    )


def planes(z: torch.Tensor) -> list[float]:
    """Flatten a complex spectrogram as the lab does: real parts, then imaginary parts."""
    return torch.cat([z.real.flatten(), z.imag.flatten()]).tolist()


def complex_of(values: list[float], shape: tuple[int, ...]) -> torch.Tensor:
    real, imaginary = torch.tensor(values, dtype=F64).chunk(2)
    return torch.complex(real, imaginary).reshape(shape)


# The transform


@pytest.mark.parametrize("samples", [1, 256, 300, 5000])
def test_spectrogram_and_back(samples: int) -> None:
    wave = voice_like(0.5)[:samples]
    transform = se.Spectrogram()
    found = by_node(
        """{ const s = new m.Spectrogram(), wave = Float64Array.from(given.wave);
        const y = s.forward(wave);
        return [s.frames(wave.length), [...y], [...s.inverse(y, wave.length)]]; }""",
        wave=wave.tolist(),
    )
    expected = transform.forward(wave)  # (1, 1, F, L)
    assert found[0] == expected.shape[-1] == transform.frames(samples)
    shape = tuple(expected.shape)
    # |X|^0.5 has no slope at 0, so rounding in bins near 0 is magnified; compare on the linear side
    y = complex_of(found[1], shape)
    torch.testing.assert_close(transform.expand(y), transform.stft(wave), atol=1e-10, rtol=1e-5)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        torch.tensor(found[2], dtype=F64), transform.inverse(expected, samples)[0],
        atol=1e-9, rtol=1e-5,
    )  # fmt: skip


def test_level_mirrored_end_and_gate() -> None:
    wave = voice_like(0.4)
    wave[2000:5200] = 0
    quiet = torch.full((500,), 1e-7, dtype=F64)
    found = by_node(
        """{ const f = (a) => Float64Array.from(a), wave = f(given.wave);
        return [m.level(wave), m.level(f(given.quiet)), [...m.extended(wave, 700)],
            [...m.extended(wave.slice(0, 5), 20)], [...m.awake(wave)]]; }""",
        wave=wave.tolist(), quiet=quiet.tolist(),
    )  # fmt: skip
    assert found[:2] == pytest.approx([float(level(wave)), float(level(quiet))], rel=1e-12)
    assert found[2] == extended(wave[None], 700)[0].tolist()
    assert found[3] == extended(wave[None, :5], 20)[0].tolist()
    gate = awake(wave[None].float())[0]
    torch.testing.assert_close(torch.tensor(found[4]), gate, atol=1e-6, rtol=0)
    assert float(gate.min()) == 0 and float(gate.max()) == 1


# Mixing, scores, loudness, diffusion noise


def test_mixing_scores_and_loudness() -> None:
    clean, noise = voice_like(1.3), 0.2 * torch.randn(20_800, dtype=F64)
    found = by_node(
        """{ const f = (a) => Float64Array.from(a), clean = f(given.clean), noise = f(given.noise);
        const mixed = m.mix(clean, noise, -3);
        return [[...mixed], m.siSdr(clean, mixed),
            m.activeLevel(clean), m.activeLevel(clean.slice(0, 900)),
            m.matchLoudness([clean, mixed]).map((w) => [...w])]; }""",
        clean=clean.tolist(), noise=noise.tolist(),
    )  # fmt: skip
    mixed = mix(clean, noise, -3.0)
    torch.testing.assert_close(torch.tensor(found[0], dtype=F64), mixed, atol=1e-12, rtol=1e-9)
    assert found[1] == pytest.approx(si_sdr(clean, mixed), abs=1e-9)
    assert found[2] == pytest.approx(pages.active_level(clean), abs=1e-9)
    assert found[3] == pytest.approx(pages.active_level(clean[:900]), abs=1e-9)
    for a, b in zip(found[4], pages.match_loudness([clean, mixed]), strict=True):
        torch.testing.assert_close(torch.tensor(a, dtype=F64), b, atol=1e-9, rtol=1e-9)


def test_diffusion_noise_is_unit_complex_and_belongs_to_its_seed() -> None:
    found = by_node(
        """{ const draw = (seed) => m.complexNoise(seed, 40000);
        const a = draw(1), b = draw(1), c = draw(2);
        return [a(), a(), b(), c()].map((z) => [...z]); }"""
    )
    first, second, again, other = (torch.tensor(z, dtype=F64) for z in found)
    assert torch.equal(first, again)
    for z in (first, second, other):
        assert float(z.mean()) == pytest.approx(0, abs=0.02)
        assert float(z.var()) == pytest.approx(0.5, abs=0.02)  # of each part: E|z|^2 = 1
        assert float((z**4).mean() / z.var() ** 2) == pytest.approx(3, abs=0.2)  # Gaussian
        real, imaginary = z.chunk(2)
        assert abs(float((real * imaginary).mean())) < 0.02
    for a, b in ((first, second), (first, other)):
        assert abs(float((a * b).mean())) < 0.02


# Samplers


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_sounds_are_played_to_the_network_as_the_library_plays_them(count: int) -> None:
    wave = voice_like(0.2)
    found = by_node(
        """{ const wave = Float64Array.from(given.wave);
        return m.spinsOf(given.count, 256).map((turn) => {
            const there = turn.apply(wave);
            return [[...there], [...turn.undo(there, wave.length)]]; }); }""",
        wave=wave.tolist(), count=count,
    )  # fmt: skip
    assert len(found) == count
    for spin, (there, back) in zip(spins(count, 256), found, strict=True):
        expected = spin.apply(wave[None].float())
        for values, truth in ((there, expected), (back, spin.undo(expected, len(wave)))):
            torch.testing.assert_close(torch.tensor(values), truth[0], rtol=0, atol=1e-6)


class Shared:
    """Noise drawn before, handed to both sides in the same order."""

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        self.draws = torch.randn(count, *shape, dtype=torch.complex128)
        self.used = 0

    def __call__(self, like: torch.Tensor) -> torch.Tensor:
        self.used += 1
        return self.draws[self.used - 1].to(like.dtype)


def linear(x_tilde: torch.Tensor, y: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """Return the exact denoiser of r ~ N_C(-0.6 y, 0.04)."""
    return -0.6 * y + 0.04 / (0.04 + sigma**2) * (x_tilde + 0.6 * y)


linear.sigma_range = (0.01, 2.0)  # type: ignore[attr-defined]
LINEAR = """async (x, s) => x.map((v, i) =>
    -0.6 * given.y[i] + 0.04 / (0.04 + s * s) * (v + 0.6 * given.y[i]))"""
SDE = se.OUVE(stiffness=1.5, sigma_min=0.05, sigma_max=2.0)
WALKS = [
    ({"sampler": "edm", "steps": 1, "sigmaMin": 1.0, "sigmaMax": 2.0, "rho": 7, "highest": 2.0},
     se.EDM(1, grid=grids.rho(1.0, 2.0))),
    ({"sampler": "edm", "steps": 5, "sigmaMin": 0.01, "sigmaMax": 1.5, "rho": 7, "highest": 2.0},
     se.EDM(5, grid=grids.rho(0.01, 1.5))),
    ({"sampler": "edm", "steps": 4, "sigmaMin": 1.0, "sigmaMax": 2.0, "rho": 7, "highest": 2.0,
      "sChurn": 0.5}, se.EDM(4, s_churn=0.5, grid=grids.rho(1.0, 2.0))),
    ({"sampler": "edm", "steps": 3, "sigmaMin": 0.1, "sigmaMax": 2.0, "rho": 5, "sChurn": 0},
     se.EDM(3, s_churn=0, grid=grids.rho(0.1, 2.0, rho=5))),
    ({"sampler": "pc", "steps": 1}, se.PC(1)),
    ({"sampler": "pc", "steps": 5, "snr": 0.4, "tEps": 0.3}, se.PC(5, snr=0.4, t_eps=0.3)),
    ({"sampler": "pc", "steps": 3, "correctorSteps": 2}, se.PC(3, corrector_steps=2)),
    ({"sampler": "pc", "steps": 3, "correctorSteps": 0}, se.PC(3, corrector_steps=0)),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sampler"), WALKS, ids=lambda x: getattr(x, "steps", None))
def test_samplers_walk_as_the_library_s(settings: dict, sampler: se.EDM | se.PC) -> None:
    y = torch.randn(1, 1, 3, 4, dtype=torch.complex128)
    noise = Shared(tuple(y.shape), 40)
    expected = list(sampler.iterate(linear, SDE, y, generator=noise))
    sde = {"sigma_min": 0.05, "sigma_max": 2.0, "stiffness": 1.5}
    found = by_node(
        f"""{{ let used = 0; const steps = [], y = Float64Array.from(given.y);
        const draw = () => Float64Array.from(given.noise[used++]);
        const options = {{...given.settings, sde: m.ouve(given.sde)}};
        for await (const step of m[given.settings.sampler]({LINEAR}, y, draw, options))
            steps.push([step.sigma, step.nfe, [...step.x0Hat]]);
        return [steps, used, m.evaluations(given.settings)]; }}""",
        y=planes(y), noise=[planes(z) for z in noise.draws], settings=settings, sde=sde,
    )  # fmt: skip
    steps, used, evaluations = found
    assert used == noise.used and evaluations == expected[-1].nfe
    assert len(steps) == len(expected)
    for (sigma, nfe, x0_hat), step in zip(steps, expected, strict=True):
        assert sigma == pytest.approx(step.sigma, rel=1e-12) and nfe == step.nfe
        torch.testing.assert_close(
            complex_of(x0_hat, tuple(y.shape)), step.x0_hat, atol=1e-9, rtol=1e-9
        )


def test_preconditioning_is_the_library_s() -> None:
    x, y = (torch.randn(1, 1, 3, 4, dtype=torch.complex128) for _ in range(2))

    def network(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return 0.3 * inputs[:, :2] - 0.2 * inputs[:, 2:] * label

    model = se.ScoreModel(network, SDE, se.Preconditioning.edm(sigma_data=0.0875))
    sigmas = [0.01, 0.3, 2.0]
    found = by_node(
        """{ const net = async (inputs, label) =>
            inputs.slice(0, 24).map((v, i) => 0.3 * v - 0.2 * inputs[24 + i] * label);
        const D = m.denoiserOf(net, Float64Array.from(given.y), {sigmaData: 0.0875});
        const x = Float64Array.from(given.x);
        return Promise.all(given.sigmas.map(async (s) => [...await D(x, s)])); }""",
        x=planes(x), y=planes(y), sigmas=sigmas,
    )  # fmt: skip
    for values, sigma in zip(found, sigmas, strict=True):
        expected = model(x, y, sigma)
        torch.testing.assert_close(
            complex_of(values, tuple(x.shape)), expected, atol=1e-6, rtol=1e-5
        )


# The worker, seen from the page


def test_a_silent_worker_counts_as_lost_and_a_deaf_one_is_replaced() -> None:
    script = """
    globalThis.gone = 0;
    globalThis.Worker = class { postMessage() {} terminate() { gone += 1; } };
    const { Engine, LostWorker, Cancelled } = await import(ENGINE);
    const engine = new Engine({}), said = [];
    engine.patience = 50; engine.grace = 50;
    await engine.start().catch((error) => said.push([error instanceof LostWorker, error.message]));
    engine.worker = new Worker();
    engine.patience = 5000;
    const run = engine.enhance({}).catch((error) => said.push([error instanceof Cancelled, ""]));
    engine.cancel();
    await run;
    console.log(JSON.stringify([said, gone, engine.worker]));
    """
    engine = json.dumps((LAB / "engine.mjs").as_uri())
    said, gone, worker = run_node(script.replace("ENGINE", engine))
    assert said == [[True, "no word from it for 0.05 s"], [True, ""]]
    assert (gone, worker) == (2, None)
