"""Ways in which training and use of a score model go wrong, each small enough to try.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from .corpora import Pair
from .denoisers import ScoreModel
from .mismatch import spectra
from .samplers import Sampler
from .spectrograms import Spectrogram


def enhance_at_level(
    model: ScoreModel, pair: Pair, sampler: Sampler, gain: float, seed: int = 0
) -> Tensor:
    """Enhance a recording that reaches the model ``gain`` times too loud; the result is not louder.

    Args:
        model: trained for recordings of level 0.1.
        pair: the recording.
        sampler: walks down the noise.
        gain: 1 is right.
        seed: of the diffusion noise.

    Returns:
        Waveform, shape (T,), at the recording's own level.

    Chapter: 10.
    """
    transform, draw = Spectrogram(), torch.Generator().manual_seed(seed)
    _, y, scale = spectra(pair, transform)
    compressed = gain**transform.exponent
    end = sampler(model, model.sde, y * compressed, draw).x0_hat / compressed
    return transform.inverse(end, len(pair.clean))[0] * scale


def slope_of_magnitude(at: float) -> float:
    """Slope of |z| with respect to Re z at z = at + 0j, as automatic differentiation finds it.

    Chapter: 10.
    """
    z = torch.tensor([at, 0.0], requires_grad=True)
    z.square().sum().sqrt().backward()
    assert z.grad is not None
    return float(z.grad[0])


def float16_limit(sigma_data: float) -> float:
    """Level below which the weight 1/sigma^2 + 1/sigma_d^2 is infinite in float16.

    Args:
        sigma_data: root mean square of r.

    Chapter: 10.
    """
    largest = torch.finfo(torch.float16).max
    return (largest - sigma_data**-2) ** -0.5


def share_below(sigma: float, p_mean: float, p_std: float) -> float:
    """Share of training levels, ln sigma ~ N(p_mean, p_std^2), below a level.

    Chapter: 10.
    """
    return 0.5 * math.erfc((p_mean - math.log(sigma)) / (p_std * 2**0.5))


def poisoned_share(model: nn.Module) -> float:
    """Share of weights that are NaN after one clipped step of Adam with one NaN in the gradients.

    Args:
        model: it is copied; its own weights stay.

    Chapter: 10.
    """
    broken = copy.deepcopy(model)
    weights = list(broken.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    weights[-1].grad.view(-1)[0] = torch.nan
    nn.utils.clip_grad_norm_(weights, 1.0)
    torch.optim.Adam(weights).step()
    lost = sum(int(weight.isnan().sum()) for weight in weights)
    return lost / sum(weight.numel() for weight in weights)
