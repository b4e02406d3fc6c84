"""What a network sees and makes at each noise level: from its coefficients, and measured.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .corpora import Corpus
from .folders import find_pairs, read_pairs
from .mixing import Mixer, MixingConfig
from .preconditioning import Preconditioning
from .processes import SDE
from .spectrograms import SAMPLE_RATE, Spectrogram, level


def mixtures(
    count: int,
    seconds: float = 1.0,
    seed: int = 0,
    clips: int = 40,
    source: str | Path | None = None,
) -> Pairs:
    """Mixtures as spectrograms: of the bundled corpus, or of recordings of one's own.

    Args:
        count: number of mixtures B.
        seconds: length of each, s.
        seed: of everything random.
        clips: recordings of speech, and of environmental noise, to draw from; of a folder, pairs.
        source: a manifest, whose training split is mixed, or a folder with ``clean/`` and
            ``noisy/``; default: the bundled corpus. Both are described in chapter 2.

    Returns:
        Clean and noisy spectrograms, each (B, 1, F, L), at the level of the shipped model.

    Raises:
        FileNotFoundError: there is no such manifest or folder.
        ValueError: a file or a column is not as it should be; the message names it.

    Chapter: 9.
    """
    draw = torch.Generator().manual_seed(seed)
    if source is not None and Path(source).is_dir():
        clean, noisy = _cuts(Path(source), count, round(seconds * SAMPLE_RATE), clips, draw)
    else:
        corpus = Corpus.from_manifest(source) if source is not None else Corpus.bundled()
        audio = []
        for kind in ("speech", "noise"):
            found = corpus.where(split="train", kind=kind)
            chosen = torch.randperm(len(found), generator=draw)[:clips].tolist()
            audio.append([found.clips[i].audio() for i in chosen])
        clean, noisy = Mixer(*audio, MixingConfig(seconds=seconds)).batch(count, draw)
    transform, scale = Spectrogram(), level(noisy)
    return Pairs(transform.forward(clean / scale), transform.forward(noisy / scale))


def _cuts(
    folder: Path, count: int, samples: int, clips: int, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random cuts of the pairs of a folder, clean and noisy, each (count, samples)."""
    files = find_pairs(folder)
    chosen = torch.randperm(len(files), generator=draw)[:clips].tolist()
    both = [torch.stack([p.clean, p.noisy]) for p in read_pairs(files[i] for i in chosen)]
    if not both:
        raise ValueError(f"{folder}: clean/ and noisy/ have no file of one name")
    cuts = []
    for i in torch.randint(len(both), (count,), generator=draw).tolist():
        room = both[i].shape[1] - samples
        start = int(torch.randint(max(room, 0) + 1, (1,), generator=draw))
        cut = both[i][:, start : start + samples]
        cuts.append(torch.nn.functional.pad(cut, (0, samples - cut.shape[1])))
    clean, noisy = torch.stack(cuts, dim=1)
    return clean, noisy


@dataclass(frozen=True)
class Pairs:
    """Clean and noisy spectrograms, each of shape (B, 1, F, L), complex.

    Chapter: 9.
    """

    x0: Tensor
    y: Tensor

    @property
    def r(self) -> Tensor:
        """What the denoiser estimates, x0 - y."""
        return self.x0 - self.y

    @property
    def rms(self) -> Tensor:
        """Root mean square of r of each mixture, shape (B,)."""
        return self.r.abs().square().mean(dim=(1, 2, 3)).sqrt()

    @property
    def sigma_data(self) -> float:
        """Root mean square of r over all mixtures: sigma_data of these recordings."""
        return float(self.rms.square().mean().sqrt())

    @property
    def y_rms(self) -> float:
        """Root mean square of y over all mixtures."""
        return float(self.y.abs().square().mean().sqrt())

    @property
    def correlation(self) -> float:
        """Re E[r conj(y)] over the product of both root mean squares, between -1 and 1."""
        return float((self.r * self.y.conj()).real.mean()) / (self.sigma_data * self.y_rms)


@dataclass(frozen=True)
class Scales:
    """Root mean squares at one noise level: all three are 1 where a design is balanced.

    Args:
        sigma: unscaled noise level.
        seen: of the input u = c_in x_tilde + c_shift y; where y is not told, of c_in x_tilde.
        made: of the target F* = (r - c_skip x_tilde) / c_out.
        weight: lambda c_out^2, the weight of the raw network's squared error in the loss.

    Chapter: 9.
    """

    sigma: float
    seen: float
    made: float
    weight: float


def predict_scales(
    design: Preconditioning,
    sde: SDE,
    sigma: float,
    rms: float | None = None,
    y_rms: float = 0.0,
    correlation: float = 0.0,
) -> Scales:
    """Scales from the coefficients alone, for r of mean zero.

    .. math:: c_{in}^2(\\rho^2 + \\sigma^2)
              + 2 c_{in} c_{shift} \\kappa\\rho\\eta + c_{shift}^2 \\eta^2,
              \\quad [(1 - c_{skip})^2\\rho^2 + c_{skip}^2\\sigma^2] / c_{out}^2,
              \\quad \\lambda c_{out}^2

    Args:
        design: the coefficients.
        sde: gives t and s to those that need them.
        sigma: unscaled noise level.
        rms: true root mean square rho of r; default: the design's sigma_data.
        y_rms: root mean square eta of y; 0 leaves the shift out.
        correlation: kappa = Re E[r conj(y)] / (rho eta).

    Source: Karras et al. 2022, appendix B.6, with r as the data.

    Chapter: 9.
    """
    c = design.coefficients(torch.tensor(sigma, dtype=torch.float64), sde)
    rho = design.sigma_data if rms is None else rms
    cross = 2 * c.c_in * c.c_shift * correlation * rho * y_rms
    seen = c.c_in.square() * (rho**2 + sigma**2) + cross + (c.c_shift * y_rms).square()
    made = (((1 - c.c_skip) * rho) ** 2 + (c.c_skip * sigma) ** 2).sqrt() / c.c_out.abs()
    weight = design.loss_weight(sigma) * c.c_out.square()
    return Scales(sigma, float(seen.clamp_min(0).sqrt()), float(made), float(weight))


def measure_scales(
    design: Preconditioning,
    sde: SDE,
    sigma: float,
    r: Tensor,
    seed: int = 0,
    y: Tensor | None = None,
) -> Scales:
    """Scales on real r, with diffusion noise added.

    Args:
        design: the coefficients.
        sde: gives t and s to those that need them.
        sigma: unscaled noise level.
        r: x0 - y, any shape, complex.
        seed: of the diffusion noise.
        y: noisy spectrograms of the same shape; None leaves the shift out.

    Chapter: 9.
    """
    noise = torch.randn(r.shape, dtype=r.dtype, generator=torch.Generator().manual_seed(seed))
    c = design.coefficients(torch.tensor(sigma, dtype=torch.float64), sde)
    x = r + sigma * noise
    u = c.c_in * x if y is None else c.c_in * x + c.c_shift * y
    power = [v.abs().square().mean() for v in (u, (r - c.c_skip * x) / c.c_out)]
    weight = design.loss_weight(sigma) * c.c_out.square()
    return Scales(sigma, float(power[0].sqrt()), float(power[1].sqrt()), float(weight))


def shift_left(
    design: Preconditioning, sde: SDE, y: Tensor, sigmas: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """What a first layer cannot undo of the shift: the remainder of c_shift y after least squares.

    .. math:: \\min_K \\sum_\\sigma \\operatorname{E}|c_{shift}(\\sigma)\\,y - K y|^2

    K is one linear map for all levels: a gain for the bin itself and for its eight neighbours.

    Args:
        design: has the shift.
        sde: gives t and s to a shift that needs them.
        y: noisy spectrograms, (B, 1, F, L), complex.
        sigmas: unscaled noise levels, all of equal weight.

    Returns:
        Root mean square of the remainder at each level, shape (levels,), and the gains K, shape
        (3, 3), whose middle one is that of the bin itself.

    Chapter: 9.
    """
    around = [(down, along) for down in (-1, 0, 1) for along in (-1, 0, 1)]
    y = y.to(torch.complex128)  # neighbours are much alike: a solver needs the digits
    near = torch.stack([y.roll(each, dims=(2, 3)).flatten() for each in around], dim=1)  # (n, 9)
    levels = torch.tensor(list(sigmas), dtype=torch.float64)
    shift = design.coefficients(levels, sde).c_shift  # (levels,)
    asked = shift[:, None] * y.flatten()  # (levels, n)
    gains = torch.linalg.lstsq(near.repeat(len(levels), 1), asked.flatten()[:, None]).solution
    left = asked - (near @ gains)[:, 0]
    return left.abs().square().mean(dim=1).sqrt(), gains.view(3, 3)
