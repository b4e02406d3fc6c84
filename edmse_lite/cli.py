"""The command ``edmse``: parse, call, print.

Chapter: 1 (A noisy recording, enhanced).

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edmse_lite import commands
from edmse_lite.commands import CommandError, complain

FAILED, INTERRUPTED = 2, 130  # exit codes
TRAINABLE = ("compact", "compact-refined", "compact-settled")  # as recipes.RECIPES
ENHANCE_HELP = """\
examples:
  edmse enhance noisy.wav clean.wav
  edmse enhance noisy.mp3 clean.flac --steps 8           faster
  edmse enhance noisy.wav clean.wav --churn 0 --seed 3   no churn, another start
  edmse enhance noisy.wav clean.wav --sampler pc --steps 30
  edmse enhance folder/ out/                             every audio file in it

Rate, channels and length stay as they are. The model works at 16 kHz: what lies above 8 kHz
is lost. The same seed, device and input give the same output.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 after a one-line error.

    Args:
        argv: arguments without the program's name; default those of the process.

    Chapter: 1.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(arguments)
    args.command_line = " ".join(["edmse", *arguments])
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        return args.run(args)
    except CommandError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        complain("interrupted; unfinished files are removed")
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt  # so that unfinished files are removed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edmse", description="Diffusion speech enhancement.")
    parser.add_argument("--version", action="version", version=f"edmse {_version()}")
    adder = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_enhance, _add_train, _add_evaluate, _add_corpus, _add_export):
        add(adder)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edmse-lite")
    except PackageNotFoundError:
        return "(not installed)"


def _add_enhance(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser(
        "enhance", help="enhance an audio file, or a folder of them", epilog=ENHANCE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("input", type=Path, help="audio file or folder: wav, flac, ogg, opus, mp3")
    parser.add_argument("output", type=Path, help="file or folder to write; made if its parent is")
    parser.add_argument("--seed", type=int, default=0, help="of the diffusion noise (default 0)")
    _add_model(parser)
    parser.set_defaults(run=commands.enhance)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="compact", help="name or folder of a checkpoint")
    parser.add_argument("--sampler", choices=("edm", "pc"), default="edm")
    parser.add_argument("--steps", type=int, help="of the sampler; fewer are faster and worse")
    parser.add_argument("--churn", type=float, help="S_churn of edm, 0 ... inf")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def _add_train(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("train", help="train a score model on the bundled corpus")
    parser.add_argument("name", choices=TRAINABLE, help="what to train")
    parser.add_argument(
        "--out", type=Path,
        help="folder of the run; one that was stopped goes on (default runs/NAME)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="optimiser steps of the whole run")
    parser.add_argument("--batch", type=int, help="mixtures a step")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of the arithmetic")
    parser.add_argument("--seed", type=int, help="of everything random")
    parser.add_argument("--warm-start", type=Path, metavar="FOLDER", help="begin with its weights")
    parser.set_defaults(run=commands.train)


def _add_evaluate(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("evaluate", help="score a model on the evaluation sets")
    parser.add_argument("--sets", nargs="+", default=["matched", "unseen"], metavar="SET")
    parser.add_argument(
        "--standard", action="store_true",
        help="all that the results page shows: four sets, baselines, EDM and PC, and a model card",
    )  # fmt: skip
    parser.add_argument("--thorough", action="store_true", help="--standard, with more seeds")
    parser.add_argument(
        "--curve", action="store_true",
        help="EDM and PC from 1 to 128 calls on the matched set, cheapest rows first",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="with --curve: stop after so many"
    )
    parser.add_argument("--size", type=int, help="with --curve: fewer pairs, for a quick look")
    parser.add_argument(
        "--out", type=Path,
        help="CSV file with a row for each clip; continued. With --standard or --curve a folder",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1, help="runs of the sampler (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--baselines", action="store_true", help="noisereduce and RNNoise as well")
    _add_model(parser)
    parser.set_defaults(run=commands.evaluate)


def _add_corpus(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("corpus", help="show the bundled corpus and its licences")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write evaluation sets as wav")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="which sets; default all")
    parser.set_defaults(run=commands.corpus)


def _add_export(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("export", help="write the network of a score model as an ONNX file")
    parser.add_argument("output", type=Path, help="file to write, such as compact.onnx")
    parser.add_argument("--model", default="compact", help="name or folder of a checkpoint")
    parser.set_defaults(run=commands.export)
