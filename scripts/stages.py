"""Measure what each stage of the shipped model's training was worth, by the default sampler.

python scripts/stages.py runs/compact runs/compact-refined runs/compact-settled

Writes edmse_lite/results/stages.csv, a system a run, and goes on where it stopped. Rows of runs
that are not named stay if the model that ships was made by them. The model card subtracts all from
those of the model that ships. As in scripts/release.py, schedule and noise levels are those of the
recipe as it is now.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from edmse_lite import checkpoints, compact, evaluation, recipes, records, studies, systems
from edmse_lite.denoisers import ScoreModel


def as_now(run: Path, place: Path) -> Path:
    """Copy a run into `place`, with today's schedule and noise levels; return the copy."""
    found, now = checkpoints.load(run), compact.COMPACT
    model = ScoreModel(found.model.network, now.sde, now.preconditioning, now.sigma_range)
    target = place / run.resolve().name
    checkpoints.save(target, model, found.spectrogram, found.record)
    return target


def order(rows: list[studies.Row]) -> list[studies.Row]:
    """Rows of the stages of the model that ships, first stage first; others go."""
    stages = records.stages(checkpoints.load(recipes.MODEL).record)[:-1]
    place = {stage["sha256"][: systems.HASH_DIGITS]: k for k, stage in enumerate(stages)}
    return sorted((r for r in rows if r.checkpoint in place), key=lambda r: place[r.checkpoint])


def main() -> int:
    """Evaluate runs on the four sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a stage")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=evaluation.RESULTS / "stages.csv")
    args = parser.parse_args()
    sets = {name: evaluation.pairs_of(name) for name in evaluation.SETS}
    try:
        with TemporaryDirectory() as place:
            folders = [as_now(run, Path(place)) for run in args.runs]
            found = [
                systems.trained(
                    folder, recipes.SAMPLER, recipes.SPINS, recipes.LIMIT, folder.name
                )
                for folder in folders
            ]
            studies.evaluate(studies.jobs(found, sets), args.out, workers=args.workers, keep=True)
            studies.write(args.out, order(studies.read(args.out)))
    except (checkpoints.CheckpointError, ValueError) as error:
        print(f"stages: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
