"""``edmse enhance``: recordings and folders of them.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from .common import FAILED, CommandError, complain, load, sampler_of

if TYPE_CHECKING:
    from edmse_lite.enhancement import Enhancer


def enhance(args: Namespace) -> int:
    """Enhance a file, or each file of a folder; one bad file does not stop the others."""
    from edmse_lite.audio import AudioError, check_target, reading

    sampler = sampler_of(args)
    jobs = _files(args.input, args.output)
    if not args.input.is_dir():  # before the model is loaded
        try:
            check_target(jobs[0][1], args.input)
            with reading(args.input):
                pass
        except AudioError as error:
            raise CommandError(str(error)) from None
    enhancer = load(args, sampler)
    failed = [source for source, target in jobs if not _enhanced(enhancer, source, target, args)]
    if failed and args.input.is_dir():
        names = ", ".join(str(path.relative_to(args.input)) for path in failed)
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
    from edmse_lite.corpora import AUDIO_SUFFIXES, OTHER_SUFFIXES

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
    kinds = ", ".join(AUDIO_SUFFIXES)
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in OTHER_SUFFIXES:
            print(f"edmse: left out: {path} — convert it to one of {kinds}", file=sys.stderr)
    if not found:
        raise CommandError(f"{source}: holds no audio — expected files ending in {kinds}")
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        why = error.strerror
        raise CommandError(f"{target}: cannot be made ({why}) — make its parent first") from None
    return [(path, target / path.relative_to(source)) for path in found]
