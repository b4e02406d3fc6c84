"""``edmse corpus``: what there is, evaluation sets as files, and other corpora.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .common import FAILED, CommandError, check_sets, complain, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edmse_lite.copies import Progress
    from edmse_lite.corpora import Pair

INTERRUPTED = 130  # exit code


def corpus(args: Namespace) -> int:
    """Print what the bundled corpus holds, or write evaluation sets as folders of wav files."""
    from edmse_lite.corpora import Corpus

    if args.write:
        return _write_sets(args.write, args.sets)
    clips = Corpus.bundled()
    counts = Counter((clip.kind, clip.split, clip.label) for clip in clips)
    print(f"{'kind':7} {'split':12} {'label':20} {'clips':>6} {'minutes':>8}")
    for (kind, split, label), count in sorted(counts.items()):
        some = clips.where(kind=kind, split=split, label=label)
        minutes = sum(clip.seconds for clip in some) / 60
        print(f"{kind:7} {split:12} {label:20} {count:6} {minutes:8.1f}")
    print(f"\n{'licence':14} {'clips':>6} {'authors':>8}")
    for licence, count in Counter(clip.licence for clip in clips).most_common():
        authors = {clip.author for clip in clips.where(licence=licence)}
        print(f"{licence:14} {count:6} {len(authors):8}")
    print(f"\nauthor, source and licence of each clip: {Path(__file__).parents[1] / 'corpus'}")
    return 0


def _write_sets(folder: Path, names: list[str] | None) -> int:
    """Write FOLDER/SET/clean, FOLDER/SET/noisy and FOLDER/SET/pairs.csv."""
    from edmse_lite.audio import AudioError, writing
    from edmse_lite.evaluation_sets import EVALUATION_SETS, evaluation_set
    from edmse_lite.spectrograms import SAMPLE_RATE

    names = names or list(EVALUATION_SETS)
    check_sets(names)
    facts = ("key", "snr", "voice", "noise_type", "noise_file", "language", "text", "whole")
    try:
        for name in names:
            pairs = evaluation_set(name)
            for side in ("clean", "noisy"):
                (folder / name / side).mkdir(parents=True, exist_ok=True)
                for pair in pairs:
                    path = folder / name / side / f"{pair.key}.wav"
                    with writing(path, SAMPLE_RATE, 1, "PCM_16") as write:
                        write(getattr(pair, side)[None])
            with (folder / name / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(facts)
                table.writerows([getattr(pair, fact) for fact in facts] for pair in pairs)
            print(f"{folder / name}: {len(pairs)} pairs")
    except AudioError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{folder}: cannot be written ({error.strerror})") from None
    return 0


def get(args: Namespace) -> int:
    """Fetch VoiceBank-DEMAND, bring it to 16 kHz and split it; a run that was stopped goes on."""
    from edmse_lite import archives, voicebank
    from edmse_lite.downloads import DownloadError

    folder = args.to or Path(args.name)
    try:
        order = voicebank.Order(
            tuple(args.only), args.base, _hashes(args.sha256), args.bad, args.keep
        )
        with _bars() as progress:
            counts = voicebank.get(folder, order, progress, _tell)
        for split, count in counts.items():
            print(f"{split}: {count} pairs")
        print(f"in {folder}. The archives had these SHA-256:")
        for name, facts in archives.recorded(folder).items():
            print(f"{facts['sha256']}  {name}")
    except (DownloadError, ValueError, OSError) as error:
        raise CommandError(reason(error)) from None
    except KeyboardInterrupt:
        complain("interrupted; run the same command again, it goes on from there")
        return INTERRUPTED
    return 0


def _hashes(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise CommandError(f"--sha256 {each}: expected NAME=HASH, such as a.zip=0123…")
        found[name] = value
    return found


@contextmanager
def _bars() -> Iterator[Progress]:
    """One bar for what is being done, on a terminal; bytes for what is fetched."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def progress(what: str, done: int, total: int | None) -> None:
        if what not in bars:
            for bar in bars.values():
                bar.close()
            scale = {"unit": "B", "unit_scale": True} if what.startswith("fetch") else {}
            bars[what] = tqdm(desc=what, initial=done, disable=None, **scale)
        bars[what].total = total
        bars[what].update(max(done - bars[what].n, 0))

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()


def _tell(line: str) -> None:
    print(f"edmse: left out: {line}", file=sys.stderr)


def take(args: Namespace) -> int:
    """Copy a folder of pairs at 16 kHz; a copy that was stopped goes on."""
    from edmse_lite import copies

    try:
        with _bars() as progress:
            counts = copies.take(args.folder, args.to, args.bad, progress, _tell)
    except (ValueError, OSError) as error:
        raise CommandError(reason(error)) from None
    except KeyboardInterrupt:
        complain("interrupted; run the same command again, it goes on from there")
        return INTERRUPTED
    for name, count in counts.items():
        print(f"{name}: {count} pairs")
    return 0


def check(args: Namespace) -> int:
    """Read every pair of a folder, or of shards; name the bad ones."""
    from edmse_lite.feeds import is_shards
    from edmse_lite.folders import find_pairs, read_pairs
    from edmse_lite.shards import Piece, ShardError
    from edmse_lite.sources import Shards

    faults: list[str] = []
    good, seconds, power = 0, 0.0, 0.0
    try:
        if is_shards(args.folder):
            found = Shards.at(args.folder, "skip", faults.append)
            pairs = (
                pair
                for number, shard in enumerate(found.shards)
                for pair in found.pairs(Piece(number, 0, shard.pairs))
            )
        else:
            files = find_pairs(args.folder, "skip", faults.append)
            pairs = read_pairs(files, "skip", faults.append)
        for pair in pairs:
            length = len(pair.clean) / 16_000
            good, seconds, power = good + 1, seconds + length, power + length * _power(pair)
    except (ShardError, ValueError, OSError) as error:
        raise CommandError(reason(error)) from None
    for fault in faults:
        print(fault)
    print(f"{args.folder}: {good} good pairs, {seconds / 60:.1f} minutes")
    if power > 0:
        print(f"rms of x0 - y: {(power / seconds) ** 0.5:.3f}; train with it: --sigma-data")
    if faults:
        complain(f"{args.folder}: {len(faults)} bad files, named above; mend or remove them")
        return FAILED
    return 0


def _power(pair: Pair) -> float:
    """Mean square of r = x0 - y over the bins of a pair, at the level that a model sees."""
    from edmse_lite.scales import Pairs
    from edmse_lite.spectrograms import Spectrogram, level

    transform, scale = Spectrogram(), level(pair.noisy)
    clean, noisy = (transform.forward(each[None] / scale) for each in (pair.clean, pair.noisy))
    return float(Pairs(clean, noisy).rms.square())


def pack(args: Namespace) -> int:
    """Write a folder of pairs as shards, in random order."""
    from tqdm import tqdm

    from edmse_lite import shards
    from edmse_lite.folders import find_pairs, read_pairs

    try:
        files = shards.shuffled(find_pairs(args.folder, args.bad, _tell), args.seed)
        with tqdm(total=len(files), unit="pair", disable=None) as bar:
            made = shards.pack(
                read_pairs(files, args.bad, _tell), args.shards, args.megabytes,
                lambda pair: bar.update(),
            )  # fmt: skip
    except (shards.ShardError, ValueError, OSError) as error:
        raise CommandError(reason(error)) from None
    count = f"{len(made)} shard" + "s" * (len(made) > 1)
    megabytes = sum(each.bytes for each in made) / 1e6
    pairs = sum(each.pairs for each in made)
    print(f"{args.shards}: {pairs} pairs in {count}, {megabytes:.1f} MB")
    return 0
