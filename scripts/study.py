"""Train, evaluate and ship the study models. Every part goes on where it stopped.

python scripts/study.py train --workers 2      # runs/study/NAME-SEED, `edmse train` each
python scripts/study.py evaluate --workers 2   # edmse_lite/results/designs.csv, every finished run
python scripts/study.py ship                   # seed 0 into edmse_lite/pretrained/study
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edmse_lite import cards, checkpoints, designs, surveys

RUNS = Path("runs") / "study"


def folder(name: str, seed: int) -> Path:
    """Folder of a run."""
    return RUNS / f"{name}-{seed}"


def finished(name: str, seed: int) -> bool:
    """Whether a run has taken all its steps."""
    try:
        found = checkpoints.load(folder(name, seed))
    except checkpoints.CheckpointError:
        return False
    return found.record["steps"] == designs.DESIGNS[name].training.steps


def train(name: str, seed: int) -> None:
    """Run `edmse train`, with one thread, unless the run is finished."""
    if finished(name, seed):
        return
    RUNS.mkdir(parents=True, exist_ok=True)
    words = ["train", f"study/{name}", "--seed", str(seed), "--out", str(folder(name, seed))]
    started = time.monotonic()
    with (RUNS / f"{name}-{seed}.log").open("a") as log:
        subprocess.run(
            [Path(sys.executable).with_name("edmse"), *words], check=True, stdout=log, stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    print(f"{name}, seed {seed}: {(time.monotonic() - started) / 60:.1f} min", flush=True)


def ship(names: Sequence[str]) -> None:
    """Copy weights and records of the runs with seed 0 into the package, and write their cards."""
    for name in names:
        if not finished(name, 0):
            print(f"not shipped, not finished: {name}", file=sys.stderr)
            continue
        target = checkpoints.PRETRAINED / "study" / name
        target.mkdir(parents=True, exist_ok=True)
        for file in (checkpoints.CONFIG, checkpoints.WEIGHTS):
            shutil.copyfile(folder(name, 0) / file, target / file)
        try:
            card = cards.study_card(name, surveys.load())
        except FileNotFoundError:
            continue  # the card has the scores: it comes after the evaluation
        (target / "README.md").write_text(card, encoding="utf-8")


def main() -> int:
    """Do one part of the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("train", "ship", "evaluate"))
    parser.add_argument("--names", nargs="+", default=list(designs.DESIGNS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="train")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--sets", nargs="+", default=list(surveys.SETS), metavar="SET")
    args = parser.parse_args()
    if args.part == "train":
        with ThreadPoolExecutor(args.workers) as pool:
            work = [(name, seed) for seed in args.seeds for name in args.names]
            list(pool.map(lambda one: train(*one), work))
    elif args.part == "ship":
        ship(args.names)
    else:
        found = {(n, s): folder(n, s) for s in range(10) for n in args.names if finished(n, s)}
        if not found:
            parser.error(f"no finished run in {RUNS}; train some first")
        surveys.run(found, args.sets, workers=args.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
