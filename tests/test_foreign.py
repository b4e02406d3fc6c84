"""Foreign scores: SGMSE's exact conventions by a stand-in network, its pipeline, and the audit."""

import json
import math
from pathlib import Path

import pytest
import torch
from close import close
from test_samplers import reference_pc
from torch import nn

import edmse_lite as se
from edmse_lite import foreign
from edmse_lite.processes import noise_like

F64, C128 = torch.float64, torch.complex128
SDE = se.RichterOUVE(1.5, 0.05, 0.5)  # of the published 16 kHz models
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "any_score_model.ipynb"


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


class StandIn(nn.Module):
    """A network with the conventions of SGMSE+, whose answer is known: x0 | y ~ N(w y, p).

    The input stacks x_t and y as complex channels, t is the condition, the output is divided by t.
    Written with SGMSE's own mean and std, without x̃.
    """

    def __init__(self, w: float = 0.7, p: float = 0.02) -> None:
        super().__init__()
        self.w, self.p = w, p

    def forward(self, stacked: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x, y = stacked.chunk(2, dim=1)
        t = t.reshape(-1, 1, 1, 1)
        theta, low, log = 1.5, 0.05, math.log(10)
        decay = torch.exp(-theta * t)
        grown = torch.exp(2 * (theta + log) * t) - 1
        variance = low**2 * torch.exp(-2 * theta * t) * grown * log / (theta + log)
        mean = decay * self.w * y + (1 - decay) * y
        f = t * (x - mean) / (decay**2 * self.p + variance)  # the last layer, before its scaling
        return f / t


def published(dnn: nn.Module):
    """Return the score as SGMSE+ calls it: minus the network of x_t and y, and t."""
    return lambda x, y, t: -dnn(torch.cat([x, y], dim=1), t)


ORACLE = se.GaussianOracle(*(torch.tensor(v, dtype=F64) for v in (0.02 / 0.3, 0.02 / 0.7)))


def state(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    y = 0.3 * noise_like(torch.empty(shape, dtype=C128), seeded(seed))
    return y + ORACLE.sample(y, seeded(seed + 1)), y


def test_the_oracle_is_the_stand_in_s() -> None:
    y = torch.ones(1, dtype=C128)
    close(ORACLE.mean(y), -0.3 * y, rtol=1e-12)
    close(float(ORACLE.var), 0.02, rtol=1e-12)


@pytest.mark.parametrize("t", [0.03, 0.3, 1.0])
def test_a_published_score_is_the_exact_denoiser(t: float) -> None:
    x0, y = state(3, 1, 8, 5)
    sigma = SDE.sigma(t)
    x_tilde = x0 - y + sigma * noise_like(y, seeded(9))
    found = se.ForeignScore(published(StandIn()), SDE)(x_tilde, y, sigma)
    close(found, ORACLE(x_tilde, y, sigma), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sampler", [se.PC(8), se.EDM(6), se.EDM(6, 0.0)])
def test_every_sampler_takes_it(sampler: se.samplers.Sampler) -> None:
    _, y = state(2, 1, 8, 4)
    known = lambda x, y, sigma: ORACLE(x, y, sigma)  # noqa: E731
    known.sigma_range = SDE.sigma_range  # churn is capped for both
    expected = sampler(known, SDE, y, seeded(4))
    found = sampler(se.ForeignScore(published(StandIn()), SDE), SDE, y, seeded(4))
    close(found.x0_hat, expected.x0_hat, rtol=1e-8, atol=1e-11)
    assert found.nfe == expected.nfe


def test_the_start_has_the_noise_of_sgmse() -> None:
    """Complex noise of power 1 in all, not in each part: std² is E|x − y|²."""
    y = torch.zeros(200_000, dtype=C128)
    spread = SDE.prior(y, seeded()).abs().square().mean().sqrt()
    close(float(spread), 0.3889, rtol=1e-2)


# The pipeline around the network


def test_the_transform_is_that_of_sgmse() -> None:
    wave = torch.randn(2, 4000, dtype=F64, generator=seeded())
    plain = torch.stft(wave, 510, 128, window=torch.hann_window(510, dtype=F64), center=True,
                       return_complex=True)  # fmt: skip
    expected = 0.15 * plain.abs().sqrt() * torch.exp(1j * plain.angle())
    transform = foreign.HannSpectrogram()
    found = transform.forward(wave)
    close(found[:, 0], expected, rtol=1e-9, atol=1e-12)
    assert found.shape == (2, 1, transform.bins, transform.frames(4000)) == (2, 1, 256, 32)
    close(transform.inverse(found, 4000), wave, atol=1e-9)
    with pytest.raises(ValueError, match="more than 255"):
        transform.stft(wave[:, :100])
    wide = foreign.HannSpectrogram(1534, 384, 0.065, 0.667)  # 48 kHz
    assert wide.bins == 768
    close(wide.inverse(wide.forward(wave), 4000), wave, atol=1e-8)


def test_enhance_is_the_pipeline_of_sgmse() -> None:
    """max |y|, STFT, compression, frames to a multiple of 64, PC, and all of it back."""
    wave = 0.2 * torch.randn(9000, dtype=F64, generator=seeded(1))
    score = published(StandIn())
    found = foreign.enhance(se.ForeignScore(score, SDE), SDE, wave, se.PC(5, last="mean"), seed=3)

    peak, window = wave.abs().max(), torch.hann_window(510, dtype=F64)
    plain = torch.stft(wave[None] / peak, 510, 128, window=window, return_complex=True)
    frames = plain.shape[-1]
    y = (0.15 * plain.abs().sqrt() * torch.exp(1j * plain.angle()))[:, None]
    y = torch.cat([y, torch.zeros(1, 1, 256, 64 * math.ceil(frames / 64) - frames)], -1)
    noise, generator = lambda: torch.randn(y.shape, dtype=C128, generator=generator), seeded(3)
    at = lambda x, t: score(x, y, torch.tensor([t], dtype=F64))  # noqa: E731
    x = reference_pc(at, y, noise, steps=5, snr=0.5, t_eps=0.03)[:, 0, :, :frames]
    linear = (x.abs() / 0.15) ** 2 * torch.exp(1j * x.angle())
    expected = torch.istft(linear, 510, 128, window=window, length=9000)[0] * peak
    close(found, expected, rtol=1e-6, atol=1e-9)
    assert found.shape == wave.shape


def test_silence_stays_finite() -> None:
    wave = torch.zeros(1, 2000)
    out = foreign.enhance(se.ForeignScore(published(StandIn()), SDE), SDE, wave, se.EDM(2))
    assert out.shape == wave.shape and bool(out.isfinite().all())


# The audit

LEVELS = (0.05, 0.15, 0.5, 1.5)


def audited(score, sde: se.SDE = SDE, scale: float = 1.0) -> foreign.Audit:
    x0, y = state(1, 1, 64, 64)
    return foreign.audit(se.ForeignScore(score, sde), sde, scale * x0, scale * y, LEVELS)


def test_a_right_score_passes_the_audit() -> None:
    found = audited(published(StandIn()))
    assert found.suspicion == "" and all(abs(k - 1) < 0.06 for k in found.factor)
    assert all(error < 1 for error in found.error)
    for sigma, t in zip(found.sigma, found.t, strict=True):
        close(float(SDE.sigma(t)), sigma, rtol=1e-9)


RIGHT = published(StandIn())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, y, t: -RIGHT(x, y, t), "the sign of the score is turned"),
        (lambda x, y, t: 2 * RIGHT(x, y, t), "autograd of a complex state"),
        (lambda x, y, t: t * RIGHT(x, y, t), "the division by t is missing"),
        (lambda x, y, t: RIGHT(x, y, t) / t, "divided by t twice"),
        (lambda x, y, t: RIGHT(y, x, t), "order of arguments"),
        (lambda x, y, t: RIGHT(x, y, 1 - t), "compare schedule"),
    ],
)
def test_the_audit_says_what_is_wrong(wrong, words: str) -> None:
    assert words in audited(wrong).suspicion, audited(wrong)


def test_the_audit_notices_another_schedule_and_another_level() -> None:
    assert audited(RIGHT, se.OUVE(1.5, 0.05, 0.5)).suspicion
    assert audited(RIGHT, scale=8.0).suspicion
    x0, _ = state(1, 1, 4, 4)
    with pytest.raises(ValueError, match="differs from x0"):
        foreign.audit(se.ForeignScore(RIGHT, SDE), SDE, x0, x0, LEVELS)


def test_the_page_says_ten_lines_and_means_it() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    source = next("".join(c["source"]) for c in cells if c["id"] == "ten-lines")
    lines = [line for line in source.splitlines() if line.strip()]
    assert len(lines) <= 10 and "ForeignScore" in source and "EDM" in source and "PC" in source
