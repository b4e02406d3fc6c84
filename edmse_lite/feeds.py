"""Training batches from pairs that are mixed already: of a folder, or of shards.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .corpora import Pair
from .crops import PairBatches, at_least, joined, places
from .folders import each_pair, find_pairs, read_pairs
from .shards import INDEX, ShardError
from .sources import REMOTE, Shards
from .spectrograms import SAMPLE_RATE

Report = Callable[[str], None]


@dataclass(frozen=True)
class Reading(IterableDataset):
    """What a rank reads of shards, shared among the workers of its loader.

    Args:
        shards: where from.
        rank, ranks: number of the process, from 0, and of all processes.
        seed: of the order.
        start: samples that this rank has had already, bad ones too.

    Chapter: 10.
    """

    shards: Shards
    rank: int = 0
    ranks: int = 1
    seed: int = 0
    start: int = 0

    def __iter__(self) -> Iterator[tuple[str, Tensor | None]]:
        """Yield key and waveforms (2, T), int16, for ever; an error and no sample where it ends.

        A bad one is what is wrong with it, and None: the loader asks its workers in turn, so each
        sample takes its turn.
        """
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        turn = (number + self.start) % workers  # the loader begins with worker 0
        had = (self.start - turn + workers - 1) // workers  # of 0 … start - 1 those of this turn
        reader = self.rank * workers + turn
        try:
            for item in self.shards.read(reader, self.ranks * workers, self.seed, had):
                yield (item, None) if isinstance(item, str) else (item.key, joined(item))
        except ShardError as error:  # a worker's traceback would hide what it says
            yield str(error), torch.zeros(2, 0, dtype=torch.int16)


class ShardBatches:
    """Crops of pairs that are read from shards, each once an epoch, over all processes.

    ``position`` counts the samples that this process has had, ``skipped`` lists the bad ones.

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
        self._report = shards.report  # not from the workers, which do not know of one another
        self._reading = Reading(replace(shards, report=None), rank, ranks, seed)
        self._workers, self.device = workers, torch.device(device)
        self.samples = round(seconds * SAMPLE_RATE)
        self.position, self.skipped = 0, list[str]()
        self._stream: Iterator[tuple[str, Tensor | None]] | None = None

    def seek(self, position: int) -> None:
        """Go to where this process has had so many samples, bad ones too, as after a stop."""
        if position != self.position:
            self.position, self._stream = position, None

    def _open(self) -> Iterator[tuple[str, Tensor | None]]:
        reading = replace(self._reading, start=self.position)
        with warnings.catch_warnings():  # the number of workers is part of the order
            warnings.filterwarnings("ignore", "This DataLoader will create")
            return iter(DataLoader(reading, None, num_workers=self._workers))

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Take the next pairs and draw a place in each.

        Args:
            size: how many, B.
            generator: source of the places, on the CPU.

        Returns:
            Clean and noisy waveforms, each of shape (B, T).

        Raises:
            ShardError: a shard that is missing or damaged; or, where those are skipped, no good
                pair in as many samples as there are.
        """
        crops = []
        for _ in range(size):
            waves = at_least(self._next(), self.samples)
            start = int(places(torch.tensor([waves.shape[-1] - self.samples + 1]), generator))
            crops.append(waves[:, start : start + self.samples])
        clean, noisy = (torch.stack(crops, dim=1).to(self.device).float() / 32_768).unbind()
        return clean, noisy

    def _next(self) -> Tensor:
        """Waveforms (2, T) of the next good pair; bad ones before it are noted, and told once."""
        shards = self._reading.shards
        if self._stream is None:
            self._stream = self._open()
        for _ in range(len(shards)):
            words, waves = next(self._stream)
            if waves is not None and not waves.numel():
                raise ShardError(words)
            self.position += 1
            if waves is not None:
                return waves
            if words and words not in self.skipped:
                self.skipped.append(words)
                if self._report:
                    self._report(words)
        raise ShardError(f"{shards.base}: holds no good pair; `edmse corpus check` says why")


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
        report: called once with a line on what is left out of shards, when it is met.

    Raises:
        ShardError, ValueError, FileNotFoundError: there are none, or a bad one is refused.

    Chapter: 10.
    """
    last = str(place).rstrip("/").rpartition("/")[2]
    skipped: list[str] = []
    valid = valid_pairs(place, bad=bad, report=skipped.append)
    if is_shards(place):
        found = Shards.at(place, bad, report)
        batches = ShardBatches(found, seconds, rank, ranks, workers, seed, device)
        return Feed(batches, f"{last} {_digest(found.shards)}", tuple(skipped), valid)
    pairs = each_pair(_inner(place, "train"), bad, skipped.append)
    held = PairBatches(pairs, seconds, device, seed)
    return Feed(held, f"{last} {_digest(held.held)}", tuple(skipped), valid)


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def valid_pairs(
    place: str | Path, size: int = 24, seconds: float = 4.0, bad: str = "refuse",
    report: Report | None = None,
) -> tuple[Pair, ...]:  # fmt: skip
    """Pairs for validation, spread over ``valid/`` of a folder, all of one length.

    Args:
        place: the folder; one without ``valid/`` gives none.
        size: how many, at most.
        seconds: length, s; shorter pairs end in silence.
        bad, report: as for :func:`edmse_lite.folders.folder_pairs`.

    Raises:
        ValueError, FileNotFoundError: a bad file that is refused, or no good one.

    Chapter: 10.
    """
    if REMOTE.match(str(place)) or not (Path(place) / "valid").is_dir():
        return ()
    files = find_pairs(Path(place) / "valid", bad, report)
    some = [files[i * len(files) // size] for i in range(size)] if len(files) > size else files
    samples = round(seconds * SAMPLE_RATE)
    found = tuple(
        replace(pair, clean=at_least(pair.clean, samples)[:samples],
                noisy=at_least(pair.noisy, samples)[:samples], whole=False)
        for pair in read_pairs(some, bad, report)
    )  # fmt: skip
    if not found:
        raise ValueError(f"{place}/valid: holds no good pair; mend it, or move it away")
    return found


def _inner(place: str | Path, split: str) -> Path:
    inner = Path(place) / split
    return inner if inner.is_dir() else Path(place)
