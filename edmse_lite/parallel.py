"""One process or many: each takes its share of the same batch, so that all learn the same.

``torchrun`` and ``accelerate launch`` start the processes, on one machine or on several; Hugging
Face accelerate joins them. Alone, a process needs neither.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """How the work of an optimiser step is divided.

    Args:
        accumulate: pieces that a process takes one after the other, to save memory; the gradient
            is that of the whole batch.
        parts: pieces that a batch is drawn in, each from its own random numbers. A process draws
            the parts that it needs and no other: with P processes, P parts divide the work of
            mixing too. Other parts are other mixtures, so a run keeps their number.
        compile: whether ``torch.compile`` makes the network faster, after minutes of preparation.

    Raises:
        ValueError: if a number is below 1.

    Chapter: 10.
    """

    accumulate: int = 1
    parts: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("accumulate", "parts"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def share(self, batch_size: int, rank: int, size: int) -> range:
        """Which items of a batch belong to a process.

        Args:
            batch_size: items of a batch, over all processes.
            rank, size: number of the process, from 0, and of all processes.

        Raises:
            ValueError: if the batch cannot be divided evenly.

        Chapter: 10.
        """
        pieces = size * self.accumulate
        if batch_size % pieces or batch_size % self.parts:
            raise ValueError(
                f"a batch of {batch_size} cannot be divided into {size} processes x "
                f"{self.accumulate} pieces, or into {self.parts} parts; choose a batch that is a "
                f"multiple of {pieces} and of {self.parts}"
            )
        each = batch_size // size
        return range(rank * each, (rank + 1) * each)


class Alone:
    """The only process of a run; :class:`Team` has the same methods for many.

    Args:
        device: where it computes.

    Chapter: 10.
    """

    rank, size = 0, 1
    heard: Exception | None = None
    """An error that another process says already, so that this one need not."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module, with gradients that become the mean over all processes."""
        return module

    def silently(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Context in which a wrapped module keeps its gradients to itself."""
        return nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        return value

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What ``make()`` returns, or raises, in the first process; the others do not call it."""
        return make()

    def together(self, make: Callable[[], Any]) -> Any:
        """What ``make()`` returns here; if it raises in one process, all raise that error."""
        return make()

    def gather(self, value: Any) -> list[Any]:
        """The value of each process, in their order."""
        return [value]

    def shared(self, error: Exception) -> Exception:
        """Return an error that all processes have; the first one alone says it."""
        self.heard = self.heard if self.first else error
        return error

    def leave(self) -> None:
        """End the connection to the other processes."""


class Team(Alone):
    """This process among those that a launcher started.

    Args:
        device: ``cpu``, or anything else for the accelerator with the number of the process.

    Raises:
        RuntimeError: if the processes cannot be joined.

    Chapter: 10.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        from accelerate import Accelerator

        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
        self._accelerator = Accelerator(
            cpu=torch.device(device).type == "cpu", mixed_precision="no"
        )
        self.rank, self.size = self._accelerator.process_index, self._accelerator.num_processes
        super().__init__(self._accelerator.device)
        if self.size != _launched():
            raise RuntimeError(
                f"{_launched()} processes were started, but only {self.size} joined on "
                f"{self.device}; start them with torchrun or accelerate launch"
            )

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module inside ``DistributedDataParallel``."""
        return self._accelerator.prepare_model(module)

    def silently(self, module: nn.Module) -> AbstractContextManager[Any]:
        """``no_sync`` of a wrapped module."""
        return self._accelerator.no_sync(module)

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        return self._accelerator.reduce(value, reduction="mean")

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What ``make()`` returns, or raises, in the first process, sent to all."""
        from accelerate.utils import broadcast_object_list

        made: Any = None
        if self.first:
            try:
                made = make()
            except Exception as error:  # the others must hear of it, or they would wait for ever
                made = error
        made = broadcast_object_list([made])[0]
        if isinstance(made, Exception):
            raise self.shared(made)
        return made

    def together(self, make: Callable[[], Any]) -> Any:
        """What ``make()`` returns here; if it raises in one process, all raise that error."""
        made: Any = None
        mine: Exception | None = None
        try:
            made = make()
        except Exception as error:  # as above
            mine = error
        found = self.gather(mine)
        failed = [each for each in found if each is not None]
        if not failed:
            return made
        said = [str(each) for each in found[: self.rank] if each is not None]
        if mine is None or str(mine) in said:  # a process before this one says it
            self.heard = mine = mine or failed[0]
        raise mine

    def gather(self, value: Any) -> list[Any]:
        """The value of each process, in their order."""
        from accelerate.utils import gather_object

        return gather_object([value])

    def leave(self) -> None:
        """End the connection, once all have come so far."""
        self._accelerator.wait_for_everyone()
        self._accelerator.end_training()


def join(device: torch.device | str = "cpu") -> Alone:
    """Join the processes that a launcher started; without one, this process is alone.

    Args:
        device: where to compute.

    Raises:
        RuntimeError: if the processes cannot be joined.

    Chapter: 10.
    """
    return Team(device) if _launched() > 1 else Alone(device)


def _launched() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def describe_device(device: torch.device) -> str:
    """The device in words: name of the GPU, or processor and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":")[1].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads ({device.type})"
