"""What a training step computes: its operations and bytes, counted on shapes alone.

Nothing is computed and no memory is taken, so a network of any size takes about a second.

Chapter: 10 (The compact score model, trained on a GPU); "How long will it take?" uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .denoisers import ScoreModel
from .losses import MeanLoss
from .networks import CompactUNet
from .recipes import Recipe
from .spectrograms import SAMPLE_RATE

FP32 = 4
"""Bytes of a number in single precision."""


@dataclass(frozen=True)
class Operation:
    """One operation of a step, counted in fp32.

    Args:
        flops: of a matrix product or a convolution, else 0.
        moved: bytes read and written, if nothing is cached.

    Chapter: 10.
    """

    flops: float
    moved: float

    def bytes(self, width: int = FP32) -> float:
        """Bytes read and written where numbers of matrix products take ``width`` bytes."""
        return self.moved * width / FP32 if self.flops else self.moved


@dataclass(frozen=True)
class Work:
    """What one step computes on one device: loss, forward and backward.

    Args:
        operations: in their order.
        audio_seconds: audio of the step, s.
        parameters: of the network.
        kept: bytes that the forward pass leaves for the backward pass, in fp32.

    Chapter: 10.
    """

    operations: tuple[Operation, ...]
    audio_seconds: float
    parameters: int
    kept: float

    @property
    def flops(self) -> float:
        """Of the step, FLOP; a multiplication with its addition is 2."""
        return sum(each.flops for each in self.operations)

    def moved(self, width: int = FP32, fused: bool = False) -> float:
        """Bytes that the step moves.

        Args:
            width: bytes of a number in matrix products; all else is in fp32.
            fused: whether all else is free, since it is part of its neighbours.
        """
        return sum(each.bytes(width) for each in self.operations if each.flops or not fused)

    def intensity(self, width: int = FP32, fused: bool = False) -> float:
        """FLOP/byte; arguments as for :meth:`moved`."""
        return self.flops / self.moved(width, fused)


class Ledger(TorchDispatchMode):
    """Notes operations and bytes of what is computed, also where tensors have shapes alone.

    Chapter: 10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    @property
    def flops(self) -> float:
        """Of all operations."""
        return sum(each.flops for each in self.operations)

    @property
    def moved(self) -> float:
        """Bytes of all operations."""
        return sum(each.moved for each in self.operations)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation and note it, views left out."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        read, written = _tensors((args, kwargs)), _tensors(out)
        known = {tensor.untyped_storage()._cdata for tensor in read}
        fresh = any(tensor.untyped_storage()._cdata not in known for tensor in written)
        if fresh or func._schema.is_mutable:  # else the result is a view
            count = flop_registry.get(func._overloadpacket)
            flops = count(*args, **kwargs, out_val=out) if count else 0
            moved = sum(map(_size, read + written))
            self.operations.append(Operation(float(flops), float(moved)))
        return out


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _size(tensor: Tensor) -> int:
    """Bytes, those that are repeated by a stride of 0 counted once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@lru_cache(maxsize=32)
def work(recipe: Recipe, batch: int | None = None) -> Work:
    """Count a training step without computing it, in about a second.

    Args:
        recipe: what is trained.
        batch: mixtures of the step on one device; default: the recipe's batch.

    Raises:
        ValueError: a batch below 1.

    Chapter: 10.
    """
    batch = recipe.training.batch_size if batch is None else batch
    if batch < 1:
        raise ValueError(f"a batch has at least one mixture, got {batch}")
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.device("meta"):
        network = CompactUNet(recipe.network)
        model = ScoreModel(network, recipe.sde, recipe.preconditioning, recipe.sigma_range)
        samples = round(recipe.mixing.seconds * SAMPLE_RATE)
        shape = (batch, 1, recipe.spectrogram.bins, recipe.spectrogram.frames(samples))
        x0, y, noise = torch.empty(3, *shape, dtype=torch.complex64)
        loss, sigma = MeanLoss(model), torch.empty(batch)
    parameters = {p.untyped_storage()._cdata: p.numel() for p in network.parameters()}
    with Ledger() as ledger, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss(x0, y, sigma, noise).backward()
    return Work(
        tuple(ledger.operations), batch * samples / SAMPLE_RATE, sum(parameters.values()),
        float(sum(size for storage, size in kept.items() if storage not in parameters)),
    )  # fmt: skip
