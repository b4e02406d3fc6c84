"""Training batches from pairs that are mixed already: of a folder, or of shards.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .corpora import Pair, as_16_bit
from .folders import find_pairs, folder_pairs, read_pairs
from .shards import INDEX, ShardError
from .sources import REMOTE, Shards
from .spectrograms import SAMPLE_RATE

Report = Callable[[str], None]


class PairBatches:
    """Crops of pairs that stay in memory, with 16 bits, on a CPU or a GPU.

    Args:
        pairs: read one after the other.
        seconds: length of a crop, s; shorter pairs end in silence.
        device: where they stay.

    Raises:
        ValueError: if there is no pair.

    Chapter: 10.
    """

    def __init__(
        self, pairs: Sequence[Pair], seconds: float = 2.0, device: torch.device | str = "cpu"
    ) -> None:
        if not pairs:
            raise ValueError("got no pair to train on")
        self.samples, self.device = round(seconds * SAMPLE_RATE), torch.device(device)
        whole = [_at_least(_joined(pair), self.samples) for pair in pairs]
        sizes = torch.tensor([wave.shape[-1] for wave in whole])
        self._starts, self._room = sizes.cumsum(0) - sizes, sizes - self.samples + 1
        self._waves = torch.cat(whole, dim=-1).to(self.device)  # (2, all samples) int16

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw pairs and a place in each.

        Args:
            size: how many, B.
            generator: source of all randomness, on the CPU whatever the device is.

        Returns:
            Clean and noisy waveforms, each of shape (B, T).
        """
        which = torch.randint(len(self._room), (size,), generator=generator)
        offsets = _places(self._room[which], generator)
        index = (self._starts[which] + offsets)[:, None] + torch.arange(self.samples)
        clean, noisy = self._waves[:, index.to(self.device)].float() / 32_768  # (B, T) each
        return clean, noisy


@dataclass(frozen=True)
class Reading(IterableDataset):
    """What a rank reads of shards, shared among the workers of its loader.

    Args:
        shards: where from.
        rank, ranks: number of the process, from 0, and of all processes.
        seed: of the order.
        start: pairs that this rank has had already.

    Chapter: 10.
    """

    shards: Shards
    rank: int = 0
    ranks: int = 1
    seed: int = 0
    start: int = 0

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Yield key and waveforms (2, T), int16, for ever; an error and no sample where it ends.

        The loader asks its workers in turn.
        """
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        turn = (number + self.start) % workers  # the loader begins with worker 0
        had = (self.start - turn + workers - 1) // workers  # of 0 … start - 1 those of this turn
        reader = self.rank * workers + turn
        try:
            for pair in self.shards.read(reader, self.ranks * workers, self.seed, had):
                yield pair.key, _joined(pair)
        except ShardError as error:  # a worker's traceback would hide what it says
            yield str(error), torch.zeros(2, 0, dtype=torch.int16)


class ShardBatches:
    """Crops of pairs that are read from shards, each once an epoch, over all processes.

    Args:
        shards: where from.
        seconds: length of a crop, s; shorter pairs end in silence.
        rank, ranks: number of the process, from 0, and of all processes.
        workers: processes that read and decode beside this one; 0 for none.
        seed: of the order.
        device: where the batches go.

    Chapter: 10.
    """

    sharded = True  # each process reads other pairs

    def __init__(
        self,
        shards: Shards,
        seconds: float = 2.0,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._reading = Reading(shards, rank, ranks, seed)
        self._workers, self.device = workers, torch.device(device)
        self.samples = round(seconds * SAMPLE_RATE)
        self._position, self._stream = 0, iter(())
        self.seek(0, force=True)

    def seek(self, position: int, force: bool = False) -> None:
        """Go to where this process has had so many pairs, as after a stop; exact if none is bad.

        Args:
            position: pairs.
            force: whether to begin anew even there.
        """
        if position != self._position or force:
            reading = replace(self._reading, start=position)
            with warnings.catch_warnings():  # the number of workers is part of the order
                warnings.filterwarnings("ignore", "This DataLoader will create")
                self._stream = iter(DataLoader(reading, None, num_workers=self._workers))
            self._position = position

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Take the next pairs and draw a place in each.

        Args:
            size: how many, B.
            generator: source of the places, on the CPU.

        Returns:
            Clean and noisy waveforms, each of shape (B, T).

        Raises:
            ShardError: a shard that is missing or damaged.
        """
        crops = []
        for _ in range(size):
            key, waves = next(self._stream)
            if not waves.numel():
                raise ShardError(key)
            self._position += 1
            waves = _at_least(waves, self.samples)
            start = int(_places(torch.tensor([waves.shape[-1] - self.samples + 1]), generator))
            crops.append(waves[:, start : start + self.samples])
        clean, noisy = (torch.stack(crops, dim=1).to(self.device).float() / 32_768).unbind()
        return clean, noisy


@dataclass(frozen=True)
class Feed:
    """Pairs as training takes them.

    Args:
        batches: draws crops of them.
        name: of the place, and the start of a SHA-256: another corpus, another name.
        skipped: a line on each bad file that was left out at once.
        valid: pairs for validation, where the place has some.

    Chapter: 10.
    """

    batches: PairBatches | ShardBatches
    name: str
    skipped: tuple[str, ...] = ()
    valid: tuple[Pair, ...] = ()


def is_shards(place: str | Path) -> bool:
    """Whether a place is one of shards: an address, or a folder with an index or tar files.

    Chapter: 10.
    """
    path = Path(place)
    return bool(REMOTE.match(str(place))) or (path / INDEX).is_file() or any(path.glob("*.tar"))


def is_pairs(place: str | Path) -> bool:
    """Whether a place is one of shards, or a folder of pairs with or without ``train/``.

    Chapter: 10.
    """
    return is_shards(place) or (_inner(place, "train") / "clean").is_dir()


def open_feed(
    place: str | Path,
    seconds: float = 2.0,
    device: torch.device | str = "cpu",
    rank: int = 0,
    ranks: int = 1,
    workers: int = 2,
    seed: int = 0,
    bad: str = "refuse",
    report: Report | None = None,
) -> Feed:
    """Batches of a folder of pairs, which stay in memory, or of shards, which are read as needed.

    Args:
        place: folder with ``clean/`` and ``noisy/``, or with them in ``train/``; or shards, see
            :class:`edmse_lite.sources.Shards`.
        seconds: length of a crop, s.
        device: where the batches go.
        rank, ranks, workers, seed: for shards, see :class:`ShardBatches`.
        bad: what to do with bad files: ``refuse`` or ``skip``.
        report: called with a line on what is left out of shards, when it is met.

    Raises:
        ShardError, ValueError, FileNotFoundError: there are none, or a bad one is refused.

    Chapter: 10.
    """
    last = str(place).rstrip("/").rpartition("/")[2]
    if is_shards(place):
        found = Shards.at(place, bad, report)
        batches = ShardBatches(found, seconds, rank, ranks, workers, seed, device)
        return Feed(batches, f"{last} {_digest(found.shards)}", valid=valid_pairs(place))
    skipped: list[str] = []
    pairs = folder_pairs(_inner(place, "train"), bad, skipped.append)
    name = f"{last} {_digest([(pair.key, len(pair.clean)) for pair in pairs])}"
    return Feed(PairBatches(pairs, seconds, device), name, tuple(skipped), valid_pairs(place))


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def valid_pairs(place: str | Path, size: int = 24, seconds: float = 4.0) -> tuple[Pair, ...]:
    """Pairs for validation, spread over ``valid/`` of a folder, all of one length.

    Args:
        place: the folder; one without ``valid/`` gives none.
        size: how many, at most.
        seconds: length, s; shorter pairs end in silence.

    Raises:
        ValueError, FileNotFoundError: a bad file.

    Chapter: 10.
    """
    if REMOTE.match(str(place)) or not (Path(place) / "valid").is_dir():
        return ()
    files = find_pairs(Path(place) / "valid")
    some = [files[i * len(files) // size] for i in range(size)] if len(files) > size else files
    samples = round(seconds * SAMPLE_RATE)
    return tuple(
        replace(pair, clean=_at_least(pair.clean, samples)[:samples],
                noisy=_at_least(pair.noisy, samples)[:samples], whole=False)
        for pair in read_pairs(some)
    )  # fmt: skip


def _inner(place: str | Path, split: str) -> Path:
    inner = Path(place) / split
    return inner if inner.is_dir() else Path(place)


def _joined(pair: Pair) -> Tensor:
    return torch.stack(as_16_bit(pair.clean, pair.noisy))  # (2, T) int16


def _at_least(wave: Tensor, samples: int) -> Tensor:
    return torch.nn.functional.pad(wave, (0, max(0, samples - wave.shape[-1])))


def _places(room: Tensor, generator: torch.Generator) -> Tensor:
    """One whole number below each bound."""
    drawn = torch.rand(len(room), generator=generator, dtype=torch.float64)
    return (drawn * room).long()
