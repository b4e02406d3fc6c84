"""Where a network's parameters and operations are, and how far one output bin sees.

Counted on the real modules, and measured with gradients; nothing is typed by hand.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .networks import CompactUNet, UNetConfig
from .spectrograms import SAMPLE_RATE, Spectrogram


@dataclass(frozen=True)
class Block:
    """One part of the network.

    Args:
        name: ``embed``, ``stem``, ``down 1``, ``shrink 1``, ..., ``grow 1``, ``up 1``, ``head``.
        level: 1 for the finest resolution; 0 for the embedding.
        parameters: numbers that are learned.
        operations: for one evaluation and one second of sound; a multiplication with its addition
            counts as two.
        shape: of its output for one item: channels, bands, frames; the embedding has (channels,).

    Chapter: 10.
    """

    name: str
    level: int
    parameters: int
    operations: float
    shape: tuple[int, ...]


def blocks(network: CompactUNet, frames: int = 64) -> tuple[Block, ...]:
    """List the parts in the order in which they are computed.

    Args:
        network: any size; it is run once, on zeros of the shape (1, 4, 256, frames).
        frames: of the run; a multiple of what the network pads to, else padding is counted, too.

    Returns:
        Parts whose parameters and operations add up to those of the whole network.

    Chapter: 10.
    """
    spectrogram, parts, shapes = Spectrogram(), _parts(network), {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
        for name, _, modules in parts for module in modules[-1:]
    ]  # fmt: skip
    device = next(network.parameters()).device
    inputs = torch.zeros(1, 4, spectrogram.bins, frames, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs, torch.zeros(1, device=device))
    for hook in hooks:
        hook.remove()
    seconds = frames * spectrogram.hop / SAMPLE_RATE
    counts = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    prefix = type(network).__name__
    names = {module: f"{prefix}.{name}" for name, module in network.named_modules()}
    return tuple(
        Block(
            name, level,
            sum(p.numel() for module in modules for p in module.parameters()),
            sum(counts.get(names[module], 0) for module in modules) / seconds,
            shapes[name],
        )
        for name, level, modules in parts
    )  # fmt: skip


def _parts(network: CompactUNet) -> list[tuple[str, int, list[nn.Module]]]:
    """Name, level and modules of each part, in the order of computation."""
    depth = len(network.down)
    parts = [("embed", 0, [network.embed]), ("stem", 1, [network.stem])]
    for k in range(depth):
        parts.append((f"down {k + 1}", k + 1, list(network.down[k])))
        if k < depth - 1:
            parts.append((f"shrink {k + 1}", k + 1, [network.shrink[k]]))
    for k in reversed(range(depth - 1)):
        parts.append((f"grow {k + 1}", k + 1, [network.grow[k]]))
        parts.append((f"up {k + 1}", k + 1, list(network.up[k])))
    return [*parts, ("head", 1, [network.norm, network.head])]


def by_level(parts: tuple[Block, ...]) -> dict[int, tuple[int, float]]:
    """Parameters and operations of each level; 0 is the embedding, 1 has stem and head.

    Args:
        parts: from :func:`blocks`.

    Chapter: 10.
    """
    return {
        level: (
            sum(part.parameters for part in parts if part.level == level),
            sum(part.operations for part in parts if part.level == level),
        )
        for level in sorted({part.level for part in parts})
    }


@dataclass(frozen=True)
class Field:
    """The rectangle of inputs that can change one output; both ends belong to it.

    Args:
        bins: lowest and highest frequency bin.
        frames: first and last frame.

    Chapter: 10.
    """

    bins: tuple[int, int]
    frames: tuple[int, int]


def receptive_field(config: UNetConfig, place: tuple[int, int], size: tuple[int, int]) -> Field:
    """Field of the convolutions alone, from kernels and strides; normalisation is left out.

    Args:
        config: size of the network.
        place: bin and frame of the output.
        size: bins and frames of the input.

    Chapter: 10.
    """
    fold = config.stride
    spans = [
        _reach(place[axis] // stride, config, reach=stride - 1 if axis == 0 else 1, stride=stride)
        for axis, stride in ((0, fold), (1, 1))
    ]
    ends = [(max(a, 0), min(b, n - 1)) for (a, b), n in zip(spans, size, strict=True)]
    return Field(ends[0], ends[1])


def _reach(at: int, config: UNetConfig, reach: int, stride: int) -> tuple[int, int]:
    """Walk backwards from one band or frame through the network, along one axis."""
    margin, kept = 2 * config.blocks, []  # a block has two convolutions of width 3
    low, high = at - 1, at + 1  # head
    for _ in config.channels[1:]:
        low, high = low - margin, high + margin  # up
        kept.append((low, high))  # what comes straight across
        low, high = low // 2, high // 2  # each value was repeated twice
    low, high = low - margin, high + margin  # the coarsest level
    for across in reversed(kept):
        low, high = min(2 * low, across[0]), max(2 * high + 1, across[1])  # shrink
        low, high = low - margin, high + margin  # down
    return low * stride - reach, high * stride + reach  # stem


def influence(
    network: nn.Module, inputs: Tensor, noise_label: Tensor, place: tuple[int, int]
) -> Tensor:
    """Squared gradient of one output bin with respect to each input bin.

    Args:
        network: raw network.
        inputs: what it sees, shape (1, 4, F, L).
        noise_label: c_noise, shape (1,).
        place: bin and frame of the output.

    Returns:
        Sum over real and imaginary part of the output and over the four inputs, shape (F, L).

    Chapter: 10.
    """
    inputs = inputs.detach().clone().requires_grad_()
    output = network(inputs, noise_label)[0, :, place[0], place[1]]
    slopes = [torch.autograd.grad(part, inputs, retain_graph=True)[0] for part in output]
    return torch.stack(slopes).square().sum(dim=(0, 1, 2))


class FixedNorm(nn.Module):
    """Group normalisation whose means and variances do not depend on its input any more.

    Args:
        norm: the normalisation to fix.
        seen: the input whose statistics it keeps, shape (1, C, bands, frames).

    Chapter: 10.
    """

    def __init__(self, norm: nn.GroupNorm, seen: Tensor) -> None:
        super().__init__()
        groups = seen.detach().reshape(norm.num_groups, -1)  # one item
        std = (groups.var(dim=1, correction=0) + norm.eps).sqrt()
        each = norm.num_channels // norm.num_groups
        mean, std = groups.mean(dim=1).repeat_interleave(each), std.repeat_interleave(each)
        self.scale = nn.Parameter((norm.weight / std)[:, None, None].detach())
        self.shift = nn.Parameter((norm.bias - norm.weight * mean / std)[:, None, None].detach())

    def forward(self, h: Tensor) -> Tensor:
        """Apply the fixed scale and shift of each channel."""
        return self.scale * h + self.shift


def with_fixed_norms(network: nn.Module, inputs: Tensor, noise_label: Tensor) -> nn.Module:
    """Copy a network so that it gives the same output here, but its normalisation no longer looks.

    Args:
        network: raw network.
        inputs: what it sees, shape (1, 4, F, L).
        noise_label: c_noise, shape (1,).

    Chapter: 10.
    """
    found, seen = copy.deepcopy(network), {}
    norms = {n: m for n, m in found.named_modules() if isinstance(m, nn.GroupNorm)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    with torch.no_grad():
        found(inputs, noise_label)
    for name, norm in norms.items():
        parent, _, last = name.rpartition(".")
        setattr(found.get_submodule(parent), last, FixedNorm(norm, seen[name]))
    return found
