"""What the commands of ``edmse`` do, once their arguments are parsed.

Chapter: 1 (A noisy recording, enhanced).

Each takes the parsed arguments and returns an exit code.  Heavy imports wait until they are used.
"""

from __future__ import annotations

import csv
import math
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edmse_lite.enhancement import Enhancer
    from edmse_lite.samplers import Sampler
    from edmse_lite.studies import Row
    from edmse_lite.systems import System

FAILED = 2  # exit code


class CommandError(ValueError):
    """A command that cannot be done as it was given."""


def complain(message: str) -> None:
    """Print an error in one line, on the standard error."""
    print(f"edmse: error: {' '.join(message.split())}", file=sys.stderr)


def enhance(args: Namespace) -> int:
    """Enhance a file, or each file of a folder; one bad file does not stop the others."""
    from edmse_lite.audio import AudioError, check_target, reading

    sampler = _sampler(args)
    jobs = _files(args.input, args.output)
    if not args.input.is_dir():  # before the model is loaded
        try:
            check_target(jobs[0][1], args.input)
            with reading(args.input):
                pass
        except AudioError as error:
            raise CommandError(str(error)) from None
    enhancer = _load(args, sampler)
    failed = [source for source, target in jobs if not _enhanced(enhancer, source, target, args)]
    if failed and args.input.is_dir():
        names = ", ".join(path.name for path in failed)
        complain(f"{len(failed)} of {len(jobs)} files were not enhanced: {names}")
    return FAILED if failed else 0


def _enhanced(enhancer: Enhancer, source: Path, target: Path, args: Namespace) -> bool:
    """Enhance one file with a progress bar; return whether that went well."""
    from tqdm import tqdm

    from edmse_lite.audio import AudioError, reading
    from edmse_lite.enhancement import enhance_file

    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s [{elapsed}<{remaining}]"
    try:
        with reading(source) as reader:
            seconds = reader.seconds
        target.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(total=seconds, desc=source.name, bar_format=form, disable=None) as bar:
            enhance_file(enhancer, source, target, args.seed, bar.update)
    except AudioError as error:
        complain(str(error))
        return False
    except OSError as error:
        complain(f"{target}: cannot be written ({error.strerror}) — choose another folder")
        return False
    return True


def _files(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Return inputs and their outputs; the folder of the outputs is made."""
    from edmse_lite.corpora import AUDIO_SUFFIXES

    if not source.is_dir():
        return [(source, target / source.name if target.is_dir() else target)]
    if target.exists() and not target.is_dir():
        raise CommandError(f"{target}: is a file, but the input is a folder — give a folder")
    if target.exists() and target.samefile(source):
        raise CommandError(f"{target}: is the input as well — give another folder")
    found = sorted(
        path for path in source.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
        and target.resolve() not in path.resolve().parents
    )  # fmt: skip
    if not found:
        kinds = ", ".join(AUDIO_SUFFIXES)
        raise CommandError(f"{source}: holds no audio — expected files ending in {kinds}")
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        why = error.strerror
        raise CommandError(f"{target}: cannot be made ({why}) — make its parent first") from None
    return [(path, target / path.relative_to(source)) for path in found]


def _sampler(args: Namespace) -> Sampler:
    from edmse_lite import recipes

    if args.sampler == "pc" and args.churn is not None:
        raise CommandError("--churn belongs to --sampler edm — leave it out")
    sampler = recipes.SAMPLER if args.sampler == "edm" else recipes.PREDICTOR_CORRECTOR
    given = {"steps": args.steps, "s_churn": args.churn}
    try:
        return replace(sampler, **{key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise CommandError(str(error)) from None


def _load(args: Namespace, sampler: Sampler) -> Enhancer:
    from edmse_lite.checkpoints import CheckpointError
    from edmse_lite.enhancement import Enhancer

    if not 0 <= args.seed < 2**64:
        raise CommandError(f"--seed {args.seed} must be a whole number from 0 to 2^64 - 1")
    try:
        return Enhancer.from_pretrained(args.model, sampler, _device(args.device))
    except CheckpointError as error:
        raise CommandError(str(error)) from None


def _device(name: str) -> str:
    """Return the device, if this machine has it."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise CommandError(f"--device {name}: not on this machine — try --device cpu") from None
    return name


def train(args: Namespace) -> int:
    """Train a score model; a run that was stopped goes on."""
    from tqdm import tqdm

    from edmse_lite import checkpoints, recipes, runs, training

    given = {
        "steps": args.steps, "batch_size": args.batch, "precision": args.precision,
        "seed": args.seed,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    device = _device(args.device)
    try:
        settings = replace(recipes.COMPACT.training, **given)
        recipe = replace(recipes.COMPACT, training=settings)
        run = runs.train(recipe, args.out, device, args.warm_start, args.command_line)
        with tqdm(total=settings.steps, unit="step", dynamic_ncols=True) as bar:
            for progress in run:
                bar.update(progress.step - bar.n)
                bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
                if progress.validation:
                    scores = (f"{name} {value:.3f}" for name, value in progress.validation.items())
                    bar.write(f"step {progress.step}: {', '.join(scores)}")
    except (training.TrainingError, checkpoints.CheckpointError, ValueError, OSError) as error:
        raise CommandError(str(error)) from None
    return 0


def evaluate(args: Namespace) -> int:
    """Score a model on evaluation sets; print means with intervals."""
    from tqdm import tqdm

    from edmse_lite import studies
    from edmse_lite.mixing import evaluation_set

    if args.standard:
        return _evaluate_all(args)
    _check_sets(args.sets)
    sets = {name: evaluation_set(name) for name in args.sets}
    jobs = studies.jobs(_systems(args), sets, range(args.seeds))
    try:
        with tqdm(total=len(jobs), unit="clip", disable=None) as bar:
            rows = studies.evaluate(
                jobs, args.out, workers=args.workers, progress=lambda row: bar.update()
            )
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from None
    print(f"{'set':14} {'system':16} {'PESQ':>22} {'ESTOI':>22} {'SI-SDR, dB':>22}")
    for name, system in dict.fromkeys((row.evaluation_set, row.system) for row in rows):
        some = [row for row in rows if (row.evaluation_set, row.system) == (name, system)]
        cells = [_mean(some, score) for score in ("pesq", "estoi", "si_sdr")]
        print(f"{name:14} {system:16} " + " ".join(f"{cell:>22}" for cell in cells))
    return 0


def _systems(args: Namespace) -> list[System]:
    from edmse_lite import checkpoints, systems

    try:
        ours = systems.trained(args.model, _sampler(args), device=_device(args.device))
    except checkpoints.CheckpointError as error:
        raise CommandError(str(error)) from None
    others = systems.BASELINES if args.baselines else [systems.NOISY]
    return [*others, ours]


def _evaluate_all(args: Namespace) -> int:
    """Run the standard evaluation; write its CSV, its record and the model card."""
    from tqdm import tqdm

    from edmse_lite import cards, evaluation

    out = args.out or Path("results")
    try:
        with tqdm(bar_format="{postfix} rows, {elapsed}", disable=None) as bar:
            path = evaluation.evaluate_checkpoint(
                args.model, out, workers=args.workers, device=_device(args.device),
                thorough=args.thorough,
                progress=lambda done, total: bar.set_postfix_str(f"{done} of {total}"),
            )  # fmt: skip
        print(path, path.with_suffix(".json"), cards.write_card(args.model, out), sep="\n")
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from None
    return 0


def _mean(rows: list[Row], score: str) -> str:
    """Mean with its interval, in words; clips without a score are left out and counted."""
    from edmse_lite.intervals import mean_interval

    kept = [row for row in rows if math.isfinite(getattr(row, score))]
    if not kept:
        return "-"
    interval = mean_interval([getattr(row, score) for row in kept], [r.noise_file for r in kept])
    left_out = f" (-{len(rows) - len(kept)})" if len(kept) < len(rows) else ""
    return f"{interval:.2f}{left_out}"


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


def _check_sets(names: list[str]) -> None:
    from edmse_lite.mixing import EVALUATION_SETS

    for name in names:
        if name not in EVALUATION_SETS:
            known = ", ".join(EVALUATION_SETS)
            raise CommandError(f"--sets {name}: no such set — choose among {known}")


def _write_sets(folder: Path, names: list[str] | None) -> int:
    """Write FOLDER/SET/clean, FOLDER/SET/noisy and FOLDER/SET/pairs.csv."""
    from edmse_lite.audio import AudioError, writing
    from edmse_lite.mixing import EVALUATION_SETS, evaluation_set
    from edmse_lite.spectrograms import SAMPLE_RATE

    names = names or list(EVALUATION_SETS)
    _check_sets(names)
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
