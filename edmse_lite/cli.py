"""The command ``edmse``: parse, call, print.

Chapter: 1 (A noisy recording, enhanced).

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edmse_lite import commands
from edmse_lite.commands import CommandError, complain

FAILED, INTERRUPTED = 2, 130  # exit codes
TRAINABLE = (  # compact.RECIPES
    "compact", "compact-refined", "compact-settled", "compact-focused", "compact-varied",
    "compact-spread", "compact-turned", "compact-long", "compact-again",
)  # fmt: skip
ENHANCE_HELP = """\
examples:
  edmse enhance noisy.wav clean.wav
  edmse enhance noisy.mp3 clean.flac --spins 2           faster
  edmse enhance noisy.wav clean.wav --steps 16 --seed 3  one long walk, from another start
  edmse enhance noisy.wav clean.wav --sampler pc --steps 30
  edmse enhance folder/ out/                             every audio file in it

Rate, channels and length stay as they are. The model works at 16 kHz: what lies above 8 kHz
is lost. The same seed, device and input give the same output.
"""
TRAIN_HELP = """\
examples:
  edmse train compact
  edmse train compact --profile                                       how fast is this machine?
  torchrun --nproc_per_node 8 -m edmse_lite train compact --batch 512 --parts 8 --precision bf16
  accelerate launch --multi_gpu --num_processes 8 -m edmse_lite train compact --batch 512 --parts 8

A run goes on where it was stopped, also with another number of processes.
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
        complain("interrupted; unfinished files are removed, and what was saved stays")
        return INTERRUPTED
    except BrokenPipeError:  # as of `edmse corpus | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # what no command expected, such as a folder that cannot be entered
        complain(f"{error.filename or 'the system'}: {error.strerror or error} — check its rights")
        return FAILED
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
    parser.add_argument("--steps", type=int, help="of each walk (default 1 for edm, 15 for pc)")
    parser.add_argument("--churn", type=float, help="S_churn of edm, 0 ... inf")
    parser.add_argument(
        "--spins", type=int, help="walks to average; default 8, or 1 with --steps, --churn or pc"
    )
    parser.add_argument(
        "--limit",
        type=float,
        metavar="DB",
        help="turn environmental noise down by so many dB at most; default 60, or inf with "
        "--steps, --churn, pc",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def _add_train(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser(
        "train", help="train a score model", epilog=TRAIN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "name", metavar="NAME",
        help=f"what to train: {', '.join(TRAINABLE)}, study/DESIGN (see edmse_lite.designs), "
        "paper/sgmse or paper/edm",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path,
        help="folder of the run; one that was stopped goes on (default runs/NAME)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="optimiser steps of the whole run")
    parser.add_argument("--batch", type=int, help="mixtures a step, over all processes")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of the arithmetic")
    parser.add_argument("--seed", type=int, help="of everything random")
    parser.add_argument(
        "--sigma-data", type=float, metavar="RMS",
        help="of x0 - y, as `edmse corpus check` measures it (default: that of the recipe)",
    )  # fmt: skip
    parser.add_argument("--warm-start", type=Path, metavar="FOLDER", help="begin with its weights")
    parser.add_argument(
        "--chain", action="store_true",
        help="with compact-…: all runs up to NAME, each from the one before, in --out/NAME",
    )  # fmt: skip
    _add_scale(parser)
    parser.set_defaults(run=commands.train)


def _add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accumulate", type=int, default=1, metavar="N",
        help="take the batch of each process in N pieces, to save memory",
    )  # fmt: skip
    parser.add_argument(
        "--parts", type=int, default=1, metavar="N",
        help="draw a batch in N parts; N processes then mix one each, and not all of it",
    )  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="the network by torch.compile")
    parser.add_argument(
        "--corpus", metavar="PLACE",
        help="CSV file of recordings, columns as in edmse_lite/corpus; or a folder of pairs; or "
        "shards: a folder, http://…, s3://… (default: the bundled recordings)",
    )  # fmt: skip
    parser.add_argument(
        "--bad-audio", choices=("refuse", "skip"), default="refuse",
        help="what to do about recordings that are missing, damaged or silent",
    )  # fmt: skip
    parser.add_argument(
        "--profile", action="store_true", help="measure a few steps, print a table, keep nothing"
    )


def _add_evaluate(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("evaluate", help="score a model on the evaluation sets")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="default: matched unseen")
    parser.add_argument(
        "--pairs", type=Path, metavar="FOLDER",
        help="pairs of your own in place of the sets: a folder with clean/ and noisy/ in it",
    )  # fmt: skip
    _add_bad(parser)
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
        help="CSV file with a row for each clip; continued, and rows of other models stay. "
        "With --standard or --curve a folder",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, help="runs of the sampler (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--baselines", action="store_true", help="noisereduce and RNNoise as well")
    _add_model(parser)
    parser.set_defaults(run=commands.evaluate)


def _add_corpus(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser(
        "corpus", help="show the bundled corpus and its licences; fetch, check and pack others"
    )
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write evaluation sets as wav")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="which sets; default all")
    parser.set_defaults(run=commands.corpus)
    below = parser.add_subparsers(metavar="get | check | pack")
    _add_get(below)
    take = below.add_parser("take", help="copy a folder of pairs, such as EARS-WHAM, at 16 kHz")
    take.add_argument("folder", type=Path, help="with clean/ and noisy/ in it, or in its splits")
    take.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="goes on if stopped")
    _add_bad(take)
    take.set_defaults(run=commands.take)
    check = below.add_parser("check", help="read every pair of a folder or shards; name bad ones")
    check.add_argument("folder", type=Path, help="with clean/ and noisy/ in it, or with shards")
    check.set_defaults(run=commands.check)
    pack = below.add_parser("pack", help="write a folder of pairs as WebDataset shards (tar files)")
    pack.add_argument("folder", type=Path, help="with clean/ and noisy/ in it")
    pack.add_argument("shards", type=Path, help="new folder")
    pack.add_argument("--megabytes", type=float, default=256, help="of a shard (default 256)")
    pack.add_argument("--seed", type=int, default=0, help="of the order of the pairs")
    _add_bad(pack)
    pack.set_defaults(run=commands.pack)


def _add_get(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("get", help="fetch a corpus; a run that was stopped goes on")
    parser.add_argument("name", choices=("voicebank-demand",), help="which; doi 10.7488/ds/2117")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: its name")
    parser.add_argument(
        "--from", dest="base", default="", metavar="URL",
        help="address of a folder with copies of the archives (default Edinburgh DataShare)",
    )  # fmt: skip
    parser.add_argument(
        "--sha256", nargs="+", default=[], metavar="NAME=HASH",
        help="what archives must have; else what came first is recorded",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", choices=("train", "test"), default=["train", "test"],
        help="test alone is enough to evaluate; train has the validation voices too",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the archives")
    _add_bad(parser)
    parser.set_defaults(run=commands.get)


def _add_bad(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bad", choices=("refuse", "skip"), default="refuse",
        help="what to do about files that are missing, damaged or silent; all are named",
    )  # fmt: skip


def _add_export(adder: argparse._SubParsersAction) -> None:
    parser = adder.add_parser("export", help="write the network of a score model as an ONNX file")
    parser.add_argument("output", type=Path, help="file to write, such as compact.onnx")
    parser.add_argument("--model", default="compact", help="name or folder of a checkpoint")
    parser.set_defaults(run=commands.export)
