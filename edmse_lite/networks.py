"""The compact score network: a U-Net of about one million parameters over time and frequency.

Chapter: 10 (The compact score model).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class UNetConfig:
    """Size of a :class:`CompactUNet`.

    Args:
        channels: feature channels of each level, finest first; multiples of 8, which are
            normalised in groups.
        blocks: residual blocks of each level on the way down, and again on the way up.
        stride: bins that the stem folds into one band.
        embedding: length of the noise-level embedding.
        y_scale: gain of y at the input, about one over its root mean square.
        gains: whether each bin also gets gains for x_tilde and y (see :class:`CompactUNet`).

    Raises:
        ValueError: widths that are no multiples of 8, or none.

    Chapter: 10.
    """

    channels: tuple[int, ...] = (48, 64, 96, 96)
    blocks: int = 1
    stride: int = 4
    embedding: int = 128
    y_scale: float = 5.0
    gains: bool = True

    def __post_init__(self) -> None:
        if not self.channels or any(width < 1 or width % 8 for width in self.channels):
            raise ValueError(f"channels={self.channels}: expected multiples of 8, one a level")

    @property
    def multiple(self) -> int:
        """Of this the number of bins has to be a multiple: each level halves the bands."""
        return self.stride * 2 ** (len(self.channels) - 1)


class NoiseEmbedding(nn.Module):
    """Fourier features of the noise label, then two linear layers; (B,) to (B, embedding)."""

    def __init__(self, embedding: int) -> None:
        super().__init__()
        octaves = torch.arange(8, dtype=torch.float32)
        self.register_buffer("frequencies", 2.0**octaves * math.pi / 4, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(17, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )

    def forward(self, noise_label: Tensor) -> Tensor:
        phases = noise_label[:, None] * self.frequencies  # (B, 8)
        features = torch.cat([noise_label[:, None], phases.sin(), phases.cos()], dim=1)
        return self.layers(features)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions; the noise level scales and shifts what lies between (FiLM)."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(8, channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * channels)
        self.norm_out = nn.GroupNorm(8, channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        z = self.conv_in(functional.silu(self.norm_in(h)))
        z = functional.silu(self.norm_out(z) * (1 + scale) + shift)
        return self.skip(h) + self.conv_out(z)


class CompactUNet(nn.Module):
    r"""U-Net that reads x_tilde and y and returns the raw output F of the preconditioned denoiser.

    Its last layer gives each bin a free complex number and, if ``config.gains``, one complex gain
    for each of the inputs: :math:`F = a + b\,y + c\,x`. The exact denoiser of a Gaussian bin has
    just this form (chapter 5), so that a network need not learn to multiply.

    Args:
        config: its size.

    Chapter: 10.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths, stride, size = config.channels, config.stride, config.embedding
        self.embed = NoiseEmbedding(size)
        self.stem = nn.Conv2d(9, widths[0], (2 * stride - 1, 3), (stride, 1), (stride - 1, 1))
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for width, below in zip(widths, (*widths[1:], None), strict=True):
            self.down.append(_blocks(width, config))
            if below is None:
                continue
            self.shrink.append(nn.Conv2d(width, below, 2, stride=2))
            self.grow.append(nn.Conv2d(below, width, 1))
            self.up.append(_blocks(width, config))
        self.norm = nn.GroupNorm(8, widths[0])
        self.outputs = 6 if config.gains else 2
        self.head = nn.Conv2d(widths[0], self.outputs * stride, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor, noise_label: Tensor) -> Tensor:
        """Apply the network.

        Args:
            inputs: real and imaginary part of the scaled state, then of y; shape (B, 4, F, L).
            noise_label: c_noise(sigma), shape (B,).

        Returns:
            Real and imaginary part of F, shape (B, 2, F, L).

        Raises:
            ValueError: F is no multiple of ``config.multiple``.
        """
        if inputs.shape[2] % self.config.multiple:
            raise ValueError(
                f"{inputs.shape[2]} bins: this network takes multiples of {self.config.multiple}; "
                "take another n_fft, or fewer levels"
            )
        frames = inputs.shape[-1]
        step = 2 ** (len(self.config.channels) - 1)
        inputs = functional.pad(inputs, (0, -frames % step))
        x, y = inputs[:, :2], inputs[:, 2:] * self.config.y_scale
        embedding = self.embed(noise_label)
        h = self.stem(torch.cat([x, y, _magnitude(y), self._position(x)], dim=1))
        h = self._unet(h.contiguous(memory_format=torch.channels_last), embedding)
        h = self.head(functional.silu(self.norm(h)))  # (B, outputs * stride, F / stride, L)
        h = _unfold(h, self.config.stride)  # (B, outputs, F, L)
        if self.config.gains:
            h = h[:, :2] + _complex_product(h[:, 2:4], y) + _complex_product(h[:, 4:], x)
        return h[..., :frames]

    def _unet(self, h: Tensor, embedding: Tensor) -> Tensor:
        kept = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, embedding)
            if level < len(self.shrink):
                kept.append(h)
                h = self.shrink[level](h)
        for level in reversed(range(len(self.up))):
            h = kept[level] + functional.interpolate(self.grow[level](h), scale_factor=2.0)
            for block in self.up[level]:
                h = block(h, embedding)
        return h

    def _position(self, x: Tensor) -> Tensor:
        """Where a bin lies on the frequency axis: four smooth functions; (B, 4, F, L)."""
        place = torch.linspace(0, 1, x.shape[2], device=x.device, dtype=x.dtype)
        waves = [place * 2 - 1] + [torch.cos(math.pi * k * place) for k in (2, 4, 8)]
        return torch.stack(waves)[None, :, :, None].expand(x.shape[0], -1, -1, x.shape[3])


def _blocks(width: int, config: UNetConfig) -> nn.ModuleList:
    return nn.ModuleList(
        ResidualBlock(width, width, config.embedding) for _ in range(config.blocks)
    )


def _magnitude(z: Tensor) -> Tensor:
    return (z.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()


def _unfold(h: Tensor, stride: int) -> Tensor:
    """(B, C * stride, bands, L) to (B, C, bands * stride, L)."""
    batch, folded, bands, frames = h.shape
    h = h.view(batch, folded // stride, stride, bands, frames)
    return h.transpose(2, 3).reshape(batch, folded // stride, bands * stride, frames)


def _complex_product(a: Tensor, b: Tensor) -> Tensor:
    real = a[:, :1] * b[:, :1] - a[:, 1:] * b[:, 1:]
    imaginary = a[:, :1] * b[:, 1:] + a[:, 1:] * b[:, :1]
    return torch.cat([real, imaginary], dim=1)
