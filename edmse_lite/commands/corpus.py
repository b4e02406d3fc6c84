"""``edmse corpus``: what there is, and the evaluation sets as files.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import csv
from argparse import Namespace
from collections import Counter
from pathlib import Path

from .common import CommandError, check_sets


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
    print(f"\nauthor, source and licence of each clip: {Path(__file__).parent / 'corpus'}")
    return 0



def _write_sets(folder: Path, names: list[str] | None) -> int:
    """Write FOLDER/SET/clean, FOLDER/SET/noisy and FOLDER/SET/pairs.csv."""
    from edmse_lite.audio import AudioError, writing
    from edmse_lite.mixing import EVALUATION_SETS, evaluation_set
    from edmse_lite.spectrograms import SAMPLE_RATE

    names = names or list(EVALUATION_SETS)
    check_sets(names)
    facts = ("key", "snr", "voice", "noise_type", "noise_file", "language", "text")
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
