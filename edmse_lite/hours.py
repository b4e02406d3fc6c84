"""How long a training takes, estimated from what a step computes and what a machine can do.

Operations and bytes of a step are counted on shapes alone, so that a network of any size costs
seconds to count. A machine is two rates, as in the roofline model (Williams et al. 2009): an
operation takes as long as its arithmetic or its traffic, whichever is longer. The result is a
range. Its fast end has no overhead at all; its slow end runs every operation by itself, at a stated
share of the published rates. It is an estimate; ``edmse train NAME --profile`` measures.

Chapter: 10 (The compact score model, trained on a GPU); "How long will it take?" shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .profiling import Profile
from .recipes import Recipe
from .workloads import FP32, Work, work

MATRIX_SHARE, MEMORY_SHARE = 0.25, 0.5
"""Shares of a machine's rates at the slow end. Assumptions, not measurements."""

LAUNCH = 10e-6
"""Least time of an operation at the slow end, s: that of starting it. An assumption."""

UPDATE = (36, 100)
"""Bytes that an update moves for each parameter: Adam, clipping and the moving average in one
pass, and as they are, operation by operation."""


@dataclass(frozen=True)
class Machine:
    """What a training runs on.

    Args:
        name: in a word.
        matrix: rate of matrix products in the precision of training, FLOP/s.
        memory: rate of its memory, bytes/s.
        width: bytes of a number in a matrix product.
        capacity: its memory, bytes.
        source: where these numbers are from.
        processes: devices that train together, each as above.
        link: rate at which a device sends to the others, bytes/s.

    Raises:
        ValueError: a rate that is not positive, or several processes without a link.

    Chapter: 10.
    """

    name: str
    matrix: float
    memory: float
    width: int = 2
    capacity: float = float("inf")
    source: str = ""
    processes: int = 1
    link: float = 0.0

    def __post_init__(self) -> None:
        for name in ("matrix", "memory", "width", "capacity", "processes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{self.name}: {name} must be above 0, got {getattr(self, name)}")
        if self.processes > 1 and not self.link > 0:
            raise ValueError(f"{self.name}: {self.processes} processes need a link above 0")

    @property
    def ridge(self) -> float:
        """Intensity at which arithmetic and traffic take equally long, FLOP/byte."""
        return self.matrix / self.memory

    def roof(self, intensity: float) -> float:
        """Highest rate at an intensity (FLOP/byte), FLOP/s."""
        return min(self.matrix, intensity * self.memory)

    @classmethod
    def measured(cls, profile: Profile) -> Machine:
        """The machine that a profile was made on, with the rates that were measured there."""
        width = FP32 if profile.precision == "fp32" else 2
        return cls("this machine", profile.peak_flops, profile.peak_bytes, width, source="measured")


T4 = Machine("T4", 65e12, 320e9, capacity=16e9, source="NVIDIA T4 datasheet: 65 TFLOP/s, 320 GB/s")
"""Mixed precision, fp16 with fp32 sums."""

H200 = Machine(
    "H200", 989e12, 4.8e12, capacity=141e9,
    source="NVIDIA H200 datasheet (SXM): 1,979 TFLOP/s with sparsity, so 989 without; 4.8 TB/s",
)  # fmt: skip
"""fp16 or bf16, dense."""

H200_8 = replace(H200, name="8 × H200", processes=8, link=450e9)
"""One node; NVLink has 900 GB/s, half of it in each direction."""


def step_range(done: Work, machine: Machine) -> tuple[float, float]:
    """Shortest and longest time of a step, s.

    Shortest: matrix products and convolutions alone, each at the full rate of arithmetic or of
    memory; an update in one pass; gradients are exchanged meanwhile. Longest: every operation by
    itself, at the shares above, none under `LAUNCH`; then the exchange, at half of the link's rate.

    Args:
        done: what a device computes in the step.
        machine: one, or several devices that do so together.

    Chapter: 10.
    """
    width, parameters = machine.width, done.parameters
    fast = sum(
        max(each.flops / machine.matrix, each.bytes(width) / machine.memory)
        for each in done.operations if each.flops
    )  # fmt: skip
    slow = sum(
        max(each.flops / machine.matrix / MATRIX_SHARE,
            each.bytes(width) / machine.memory / MEMORY_SHARE, LAUNCH)
        for each in done.operations
    )  # fmt: skip
    exchange = exchange_seconds(parameters, machine)
    fast = max(fast + UPDATE[0] * parameters / machine.memory, exchange)
    return fast, slow + UPDATE[1] * parameters / machine.memory / MEMORY_SHARE + 2 * exchange


def exchange_seconds(parameters: int, machine: Machine) -> float:
    """Time to average fp32 gradients in a ring, s: each device sends 2 (n − 1)/n of them.

    Args:
        parameters: of the network.
        machine: n devices and their link.

    Chapter: 10.
    """
    n = machine.processes
    return 2 * (n - 1) / n * FP32 * parameters / machine.link if n > 1 else 0.0


def pieces(done: Work, machine: Machine) -> int:
    """Pieces of a batch that fit one after the other (``--accumulate``), a power of two.

    Weights, gradients, Adam's two moments and the moving average stay: 20 bytes a parameter.
    What is kept for the backward pass counts in fp32, which is more than mixed precision keeps.

    Args:
        done: the step of the whole batch.
        machine: whose memory.

    Raises:
        ValueError: not even the parameters fit.

    Chapter: 10.
    """
    free = machine.capacity - 20 * done.parameters
    if free <= 0:
        raise ValueError(f"{machine.name} cannot hold {done.parameters:,} parameters in training")
    return 2 ** math.ceil(max(0.0, math.log2(done.kept / free)))


def speed_range(
    recipe: Recipe, machine: Machine, batch: int | None = None
) -> tuple[float, float]:
    """Lowest and highest speed, audio-seconds a second, over all devices.

    Args:
        recipe: what is trained.
        machine: on what.
        batch: mixtures a step over all devices; default: the recipe's batch.

    Raises:
        ValueError: a batch that the devices cannot share evenly.

    Chapter: 10.
    """
    batch = recipe.training.batch_size if batch is None else batch
    if batch % machine.processes:
        raise ValueError(
            f"a batch of {batch} cannot be shared by {machine.processes} devices; choose a "
            f"multiple of {machine.processes}"
        )
    done = work(recipe, batch // machine.processes)
    fast, slow = step_range(done, machine)
    audio = done.audio_seconds * machine.processes
    return audio / slow, audio / fast


def hours_range(audio_hours: float, speed: tuple[float, float]) -> tuple[float, float]:
    """Shortest and longest time to train on so much audio, hours.

    Args:
        audio_hours: length of the corpus times the number of passes, h.
        speed: lowest and highest, audio-seconds a second.

    Raises:
        ValueError: a speed that is not positive, or audio below 0.

    Chapter: 10.
    """
    if not 0 < speed[0] <= speed[1] or audio_hours < 0:
        raise ValueError(f"got {audio_hours} h of audio at {speed[0]:g} … {speed[1]:g} s/s")
    return audio_hours / speed[1], audio_hours / speed[0]


UNITS = ((1 / 3600, "s"), (1 / 60, "min"), (1.0, "h"), (24.0, "days"), (365.25 * 24, "years"))


def spoken(hours: Sequence[float]) -> str:
    """Times in words, two digits each: "19–69 min", or "3 min – 4.5 h"; unbroken before units.

    Args:
        hours: one or two, h.

    Chapter: 10.
    """
    said = [_in_words(each) for each in hours]
    units = {unit for _, unit in said}
    if len(units) == 1:
        return "–".join(dict.fromkeys(value for value, _ in said)) + f"\u00a0{units.pop()}"
    return " – ".join("\u00a0".join(each) for each in said)


def _in_words(hours: float) -> tuple[str, str]:
    """Two digits and their unit, the largest of which there are two or more."""
    unit, name = next((u for u in reversed(UNITS) if hours >= 2 * u[0]), UNITS[0])
    rounded = float(f"{hours / unit:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}", name


def brief(value: float) -> str:
    """A number with two digits, short enough for a phone: "12 k", "1.7 M".

    Args:
        value: above 0.

    Chapter: 10.
    """
    units = ((1e6, "\u00a0M"), (1e3, "\u00a0k"))
    unit, name = next((each for each in units if value >= each[0]), (1.0, ""))
    return f"{float(f'{value / unit:.2g}'):g}{name}"
