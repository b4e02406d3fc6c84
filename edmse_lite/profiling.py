"""Where the time of a training step goes, and how near the arithmetic comes to the hardware's.

The hardware's limits are measured, not looked up: a product of two large matrices, and a copy.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .batches import Batch
from .losses import MeanLoss
from .parallel import describe_device
from .training import Trainer
from .workloads import Ledger

STEPS = 10
"""Steps that are measured, unless told otherwise."""

WARM_UP = 3  # steps before: the first ones choose kernels, and compile
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Profile:
    """What was measured; rates and times are those of one process, the speed is that of all.

    Args:
        device: in words.
        processes: how many trained together.
        precision: of the arithmetic.
        audio_seconds: audio of a step over all processes, s.
        step: time of a step, s.
        data, network, rest: time to draw and transform a batch, of the network's forward and
            backward pass, and of the optimiser and the moving average, s, each waited for.
        flops: floating-point operations of the network in a step; one multiplication with its
            addition is 2.
        moved: bytes that its operations read and write in a step, if nothing is fused or cached.
        peak_flops: measured rate of a matrix product in that precision, FLOP/s.
        peak_bytes: measured rate of a copy, read and written bytes a second.

    Chapter: 10.
    """

    device: str
    processes: int
    precision: str
    audio_seconds: float
    step: float
    data: float
    network: float
    rest: float
    flops: float
    moved: float
    peak_flops: float
    peak_bytes: float

    @property
    def speed(self) -> float:
        """Audio-seconds a second, over all processes."""
        return self.audio_seconds / self.step

    @property
    def matrix_share(self) -> float:
        """FLOP/s of the network over the measured matrix rate."""
        return self.flops / self.network / self.peak_flops

    @property
    def memory_share(self) -> float:
        """Bytes a second of the network over the measured rate of a copy; above 1 with caches."""
        return self.moved / self.network / self.peak_bytes

    def table(self) -> str:
        """All of it, for people: one line each."""
        parts = {"data": self.data, "network": self.network, "rest": self.rest}
        whole = sum(parts.values())
        flops, moved = self.flops / self.network, self.moved / self.network
        rows = {
            "device": f"{self.processes} x {self.device}, {self.precision}",
            "speed": f"{self.speed:,.1f} audio-seconds a second",
            "step": f"{1e3 * self.step:,.1f} ms for {self.audio_seconds:g} s of audio",
            **{k: f"{1e3 * v:,.1f} ms, {v / whole:.0%} of the time" for k, v in parts.items()},
            "arithmetic": f"{_short(flops)}FLOP/s, {self.matrix_share:.0%} of the "
            f"{_short(self.peak_flops)}FLOP/s of a matrix product here",
            "memory": f"{_short(moved)}B/s, {self.memory_share:.0%} of the "
            f"{_short(self.peak_bytes)}B/s of a copy here (nothing fused or cached)",
        }
        return "\n".join(f"{name:11} {value}" for name, value in rows.items())


def profile(trainer: Trainer, steps: int = STEPS) -> Profile:
    """Measure some training steps; the trainer's model changes, its folder does not.

    Args:
        trainer: at any step.
        steps: how many to measure, once as they are and once with each part waited for.

    Chapter: 10.
    """
    device, precision = trainer.device, trainer.config.precision
    for _ in range(WARM_UP):
        trainer.take_step()
    whole = _seconds(lambda: [trainer.take_step() for _ in range(steps)], device) / steps
    parts = [_timed_parts(trainer) for _ in range(steps)]
    batch = trainer.draws.of(trainer.step)
    flops, moved = _counted(trainer, batch)
    return Profile(
        describe_device(device), trainer.team.size, precision,
        batch.seconds * trainer.team.size, whole,
        *(statistics.median(each) for each in zip(*parts, strict=True)), flops, moved,
        matrix_rate(device, DTYPES[precision]), copy_rate(device),
    )  # fmt: skip


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a product of two large square matrices, the best of a few tries.

    Args:
        device: where to multiply.
        dtype: of the matrices.

    Chapter: 10.
    """
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in "ab")
    return 2 * size**3 / _best(lambda: a @ b, device)


def copy_rate(device: torch.device) -> float:
    """Bytes a second that a copy in memory reads and writes, the best of a few tries.

    Args:
        device: whose memory.

    Chapter: 10.
    """
    source = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)  # 4 bytes each
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / _best(lambda: target.copy_(source), device)


def _counted(trainer: Trainer, batch: Batch) -> tuple[float, float]:
    """Operations and bytes of a pass forward and backward, on a copy that is not compiled."""
    loss = MeanLoss(copy.deepcopy(trainer.model).requires_grad_(True))
    with Ledger() as ledger:
        with trainer.precision():
            value = loss(*batch.tensors)
        value.backward()
    return ledger.flops, ledger.moved


def _timed_parts(trainer: Trainer) -> tuple[float, float, float]:
    """Seconds of data, network and rest of one step."""
    drawn: list[Batch] = []
    return (
        _seconds(lambda: drawn.append(trainer.draws.of(trainer.step)), trainer.device),
        _seconds(lambda: trainer.backward(drawn[0]), trainer.device),
        _seconds(trainer.update, trainer.device),
    )


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _best(work: Callable[[], Any], device: torch.device, tries: int = 5) -> float:
    return min(_seconds(work, device) for _ in range(tries))


def _wait(device: torch.device) -> None:
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()


def _short(rate: float) -> str:
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if rate >= scale:
            return f"{rate / scale:.3g} {prefix}"
    return f"{rate:.3g} "
