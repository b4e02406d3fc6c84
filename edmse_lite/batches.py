"""What a step trains on: drawn from the run's seed and the step's number, and nothing else.

Every process draws its share of the same batch. A run can therefore be killed and go on, or go on
with another number of processes, and still see the same mixtures.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .parallel import Alone, Plan
from .processes import SDE
from .recipes import TrainingConfig
from .spectrograms import SAMPLE_RATE, Spectrogram, level
from .states import TrainingError


class Batches(Protocol):
    """Whatever draws pairs of clean and noisy waveforms, such as :class:`edmse_lite.Mixer`.

    Most are functions of the generator alone. One that goes through its pairs in an order has
    ``seek(position)``, and is told how many pairs of the run come before what it is asked for.

    A source that reads other recordings in each process says so: it has ``sharded = True``, and
    is asked for the process's own share only. Its ``seek(position)`` counts the samples that this
    process has had, and so does its ``position``: a bad sample that it passed over, and lists in
    ``skipped``, counts too.
    """

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clean and noisy waveforms, each (size, T)."""
        ...


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator that belongs to one step of one run."""
    return torch.Generator(device).manual_seed((seed + 1) * 1_000_003 + step)


@dataclass(frozen=True)
class Batch:
    """What the loss takes, on the device.

    Args:
        x0, y: clean and noisy spectrogram, shape (B, 1, F, L), complex.
        sigma: noise levels, shape (B,).
        noise: epsilon, shape (B, 1, F, L), complex.
        seconds: length of the waveforms together, s.

    Chapter: 10.
    """

    x0: Tensor
    y: Tensor
    sigma: Tensor
    noise: Tensor
    seconds: float

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All but the seconds."""
        return self.x0, self.y, self.sigma, self.noise

    def pieces(self, count: int) -> list[Batch]:
        """Divide the items into ``count`` batches of one size."""
        chunks = zip(*(each.chunk(count) for each in self.tensors), strict=True)
        return [Batch(*each, self.seconds / count) for each in chunks]


class Draws:
    """The batches of a run, or of a process's share of it.

    Args:
        batches: source of waveforms.
        spectrogram: transform of the waveforms.
        config: seed, batch size, and how sigma is drawn.
        team: the processes that train together.
        plan: how a batch is divided.
        device: where the batches go.
        sde: schedule of the model, where sigma is drawn by its times.

    ``starts`` says for the last step that was drawn, and for the next, where a source with shards
    stood before it: what a run must know to go on.

    Raises:
        TrainingError: if a batch cannot be divided so.

    Chapter: 10.
    """

    def __init__(
        self,
        batches: Batches,
        spectrogram: Spectrogram,
        config: TrainingConfig,
        team: Alone,
        plan: Plan,
        device: torch.device,
        sde: SDE | None = None,
    ) -> None:
        self.batches, self.spectrogram, self.config = batches, spectrogram, config
        self.device, self.sde, self._rank = device, sde, team.rank
        try:
            self._share = plan.share(config.batch_size, team.rank, team.size)
        except ValueError as error:
            raise TrainingError(str(error)) from None
        # Parts of a batch, each from its own random numbers; of shards, each process reads one.
        self.sharded = getattr(batches, "sharded", False)
        self.parts = team.size if self.sharded else plan.parts
        self.size = config.batch_size // self.parts
        self.starts = {0: 0}
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._kept: tuple[int, Batch] | None = None

    def place(self, step: int) -> dict[str, Any]:
        """Where this process's source stands before a step, and the bad samples that it met."""
        skipped = list(getattr(self.batches, "skipped", []))
        return {"start": self.starts.get(step, step * self.size), "skipped": skipped}

    def go_to(self, step: int, places: list[dict[str, Any]]) -> None:
        """Go to where :meth:`place` of each process was, for a source with shards."""
        if self.sharded:
            self.starts = {step: places[self._rank]["start"]}
            if hasattr(self.batches, "skipped"):
                self.batches.skipped = list(places[self._rank]["skipped"])

    def of(self, step: int) -> Batch:
        """This process's share of the batch of a step, from 0."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != step:
            return self._draw(step)
        stream = torch.cuda.current_stream(self.device)
        stream.wait_stream(self._beside)
        for tensor in kept[1].tensors:
            tensor.record_stream(stream)  # its memory is in use until the step is done
        return kept[1]

    def ahead(self, step: int) -> None:
        """On a GPU, draw a batch beside what the device computes; elsewhere do nothing."""
        if self._beside is not None and step < self.config.steps:
            with torch.cuda.stream(self._beside):
                self._kept = step, self._draw(step)

    def _draw(self, step: int) -> Batch:
        size = self.size
        first = self._share.start // size
        numbers = range(step * self.parts + first,
                        step * self.parts + (self._share.stop - 1) // size + 1)  # fmt: skip
        start = self.starts.get(step, step * size)
        drawn = [self._waves(number, size, start) for number in numbers]
        self.starts = {step: start, step + 1: getattr(self.batches, "position", start + size)}
        mine = slice(self._share.start - first * size, self._share.stop - first * size)
        clean, noisy, sigma = (_joined(each)[mine] for each in zip(*drawn, strict=True))
        scale = level(noisy)
        x0, y = self.spectrogram.forward(clean / scale), self.spectrogram.forward(noisy / scale)
        noise = _joined([self._noise(number, (size, *y.shape[1:]), y.dtype) for number in numbers])
        return Batch(x0, y, sigma.to(self.device), noise[mine], clean.numel() / SAMPLE_RATE)

    def _waves(self, number: int, size: int, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Part of a batch: clean and noisy waveforms (size, T), noise levels (size,)."""
        generator = step_generator(self.config.seed, number)
        if hasattr(self.batches, "seek"):
            self.batches.seek(start if self.sharded else number * size)
        clean, noisy = self.batches.batch(size, generator)
        return clean, noisy, self.config.draw_sigma(size, generator, self.sde)

    def _noise(self, number: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        generator = step_generator(self.config.seed + 1, number, self.device)
        return torch.randn(shape, dtype=dtype, device=self.device, generator=generator)


def _joined(parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
