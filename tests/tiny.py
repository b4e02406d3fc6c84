"""Small denoisers for plumbing: an untrained network, and one that changes nothing."""

import math

import torch
from torch import Tensor

import edmse_lite as se
from edmse_lite.networks import CompactUNet, UNetConfig

SIGMA_RANGE = (0.01, 2.0)


class Nothing:
    """Finds no residual: the enhanced sound is the noisy one, but for the transforms."""

    sde = se.VE(0.05, 2.0)
    sigma_range = SIGMA_RANGE

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        return torch.zeros_like(x_tilde)


def tiny_model(seed: int = 0) -> se.ScoreModel:
    """An untrained U-Net whose output is not zero."""
    torch.manual_seed(seed)
    network = CompactUNet(UNetConfig(channels=(8, 8), embedding=8))
    torch.nn.init.normal_(network.head.weight, std=0.01)
    preconditioning = se.Preconditioning.edm(0.09)
    return se.ScoreModel(network, se.VE(0.05, 2.0), preconditioning, SIGMA_RANGE).eval()


def band_limited(samples: int, rate: int, seed: int = 0, rms: float = 0.1) -> Tensor:
    """Noise below 7.4 kHz and below 0.46 of the rate that fades in and out, shape (samples,)."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(samples, generator=generator, dtype=torch.float64))
    frequency = torch.fft.rfftfreq(samples, 1 / rate)
    spectrum[frequency > min(7_400, 0.46 * rate)] = 0
    wave = torch.fft.irfft(spectrum, samples) * torch.hann_window(samples, dtype=torch.float64)
    return (rms * wave / wave.square().mean().sqrt()).float()


def snr(reference: Tensor, estimate: Tensor) -> float:
    """10 log10 of the energy of the reference over that of the difference, dB."""
    error = (reference.double() - estimate.double()).square().sum()
    return 10 * math.log10(float(reference.double().square().sum() / error.clamp_min(1e-30)))
