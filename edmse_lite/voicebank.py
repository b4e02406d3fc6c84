"""VoiceBank-DEMAND, the field's benchmark: fetched, brought to 16 kHz, and split as is usual.

Four archives of clean and noisy recordings at 48 kHz become ``train/``, ``valid/`` and ``test/``,
each with ``clean/`` and ``noisy/``. What came is recorded in ``archives.json``: the hashes are
those of the first download, unless the user gave others; none are built in.

Source: Valentini-Botinhao 2017, Edinburgh DataShare, doi 10.7488/ds/2117.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .archives import RECORD, checked_members, note, recorded
from .copies import SPLITS, Progress, write
from .corpora import check_audible, decode
from .downloads import AGAIN, PAUSES, Download, DownloadError, fetch, sha256_of
from .folders import BAD

PAGE = "https://doi.org/10.7488/ds/2117"
ADDRESS = "https://datashare.ed.ac.uk/server/api/core/bitstreams/{identifier}/content"
"""Where the archives were, as several public scripts have it; no promise that they stay there."""

VALID_VOICES = ("p226", "p287")
"""Voices that are taken out of training for validation (brever, sgmse)."""

PARTS = ("train", "test")


@dataclass(frozen=True)
class Archive:
    """One of the four files of the corpus.

    Args:
        name: of the file.
        part: ``train`` or ``test``.
        side: ``clean`` or ``noisy``.
        identifier: of the file at Edinburgh DataShare.

    Chapter: 10.
    """

    name: str
    part: str
    side: str
    identifier: str

    def url(self, base: str = "") -> str:
        """Address of the file, or of its copy below another address."""
        if base:
            return f"{base.rstrip('/')}/{self.name}"
        return ADDRESS.format(identifier=self.identifier)

    def place(self, voice: str) -> str:
        """Folder of a voice's recordings."""
        split = "valid" if self.part == "train" and voice in VALID_VOICES else self.part
        return f"{split}/{self.side}"


ARCHIVES = (
    Archive("clean_testset_wav.zip", "test", "clean", "dec213d3-bf57-4777-9663-c24bdce92d5e"),
    Archive("noisy_testset_wav.zip", "test", "noisy", "13c1bfbf-14a6-41db-9b41-8f7310f01ad5"),
    Archive(
        "clean_trainset_28spk_wav.zip", "train", "clean", "245452b6-6235-44b6-a6f9-e7eb19797769"
    ),
    Archive(
        "noisy_trainset_28spk_wav.zip", "train", "noisy", "ecb5a102-bb00-46d3-8af5-40c79823b837"
    ),
)
"""The four archives, the small ones first."""


@dataclass(frozen=True)
class Order:
    """What to fetch, and how.

    Args:
        parts: of `PARTS`.
        base: address of a folder with copies of the archives; empty for `ADDRESS`.
        sha256: name of an archive to the SHA-256 that it must have.
        bad: what to do with a recording that is no audio or silent: ``refuse`` or ``skip``.
        keep: whether the archives stay after they were unpacked.
        pauses: s between attempts, see :func:`edmse_lite.downloads.fetch`.

    Raises:
        ValueError: no such part, archive or choice, or what is no SHA-256.

    Chapter: 10.
    """

    parts: Sequence[str] = PARTS
    base: str = ""
    sha256: Mapping[str, str] | None = None
    bad: str = "refuse"
    keep: bool = False
    pauses: Sequence[float] = PAUSES

    def __post_init__(self) -> None:
        names = [archive.name for archive in ARCHIVES]
        for name, value in (self.sha256 or {}).items():
            if name not in names:
                raise ValueError(f"no archive {name!r}; there are {', '.join(names)}")
            if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"{name}: {value!r} is no SHA-256; it has 64 hexadecimal digits")
        if unknown := set(self.parts) - set(PARTS):
            raise ValueError(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
        if self.bad not in BAD:
            raise ValueError(f"bad files can be left to {' or '.join(BAD)}, not to {self.bad!r}")

    @property
    def archives(self) -> list[Archive]:
        """The archives of the parts."""
        return [archive for archive in ARCHIVES if archive.part in self.parts]


def get(
    folder: str | Path,
    order: Order | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Fetch the corpus, or go on with it: what is there already is not done again.

    Archives that were fetched by hand and lie in the folder are taken as they are.

    Args:
        folder: receives ``train/``, ``valid/``, ``test/`` and ``archives.json``.
        order: what to fetch, and how.
        progress: called as it goes on.
        report: called with a line on each recording that is left out.

    Returns:
        Pairs of each split that is there.

    Raises:
        DownloadError: see :func:`edmse_lite.downloads.fetch`; or an archive is damaged, is not the
            one of the first download, or holds unsafe names or bad recordings.

    Chapter: 10.
    """
    folder, order = Path(folder), order or Order()
    say = progress or (lambda *_: None)
    for archive in order.archives:
        record = recorded(folder).get(archive.name, {})
        wanted = (order.sha256 or {}).get(archive.name, "").lower()
        if wanted and record and record["sha256"] != wanted:
            raise DownloadError(
                f"{folder / RECORD}: {archive.name} has the SHA-256 {record['sha256']}, expected "
                f"{wanted}; fetch it into another folder, or check the expected value"
            )
        if "recordings" not in record:
            _get_archive(archive, folder, order, wanted or record.get("sha256", ""), say, report)
    if order.bad == "skip":
        _drop_alone(folder, report)
    return {split: _count(folder / split) for split in SPLITS if (folder / split).is_dir()}


def _get_archive(
    archive: Archive,
    folder: Path,
    order: Order,
    sha256: str,
    say: Progress,
    report: Callable[[str], None] | None,
) -> None:
    """Fetch, check, record and unpack one archive."""
    path = folder / archive.name
    if path.exists():
        say(f"check {archive.name}", 0, None)
        found = Download(archive.name, "", path.stat().st_size, sha256_of(path))
        if sha256 and found.sha256 != sha256:
            raise DownloadError(
                f"{path}: its SHA-256 is {found.sha256}, expected {sha256}; remove it and run the "
                "same command again, or check the expected value"
            )
    else:
        url = archive.url(order.base)
        told = f"fetch {archive.name}"
        try:
            found = fetch(url, path, sha256, lambda *n: say(told, *n), order.pauses)
        except DownloadError as error:
            raise DownloadError(
                f"{error}. Or get {archive.name} from {PAGE} by a browser, into {folder}"
            ) from None
    members = [
        member
        for member in checked_members(path, lambda *n: say(f"check {archive.name}", *n))
        if _voice(member)
    ]
    if not members:
        raise DownloadError(
            f"{path}: holds no recording with a name like p226_001.wav; is it another archive?"
        )
    note(folder, found)
    unpacked = _unpack(archive, path, members, folder, order.bad, say, report)
    note(folder, found, recordings=unpacked)
    if not order.keep:
        path.unlink()


def _voice(member: zipfile.ZipInfo) -> str:
    """Voice of a recording; empty for folders and what a Mac adds to an archive."""
    name = PurePosixPath(member.filename)
    found = re.fullmatch(r"(p\d{3})_\d{3}\.wav", name.name)
    return found[1] if found and "__MACOSX" not in name.parts else ""


def _unpack(
    archive: Archive,
    path: Path,
    members: list[zipfile.ZipInfo],
    folder: Path,
    bad: str,
    say: Progress,
    report: Callable[[str], None] | None,
) -> int:
    """Write the recordings at 16 kHz, those apart that are there; returns how many are good."""
    faults = []
    try:
        with zipfile.ZipFile(path) as opened:
            for number, member in enumerate(members, 1):
                name = PurePosixPath(member.filename).name
                target = folder / archive.place(_voice(member)) / name
                if not target.exists():
                    fault = _convert(opened.read(member), target, f"{archive.name}: {name}")
                    faults += [fault] if fault else []
                    if fault and report:
                        report(fault)
                say(f"unpack {archive.name}", number, len(members))
    except OSError as error:
        raise DownloadError(
            f"{folder}: cannot be written ({error.strerror}); free some space and {AGAIN}"
        ) from None
    if faults and bad == "refuse":
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DownloadError(f"{faults[0]}{more}; run again with --bad skip to leave such files out")
    return len(members) - len(faults)


def _convert(data: bytes, target: Path, name: str) -> str:
    """Write one recording at 16 kHz with 16 bits; returns what is wrong with it, or nothing."""
    try:
        wave = decode(io.BytesIO(data), name)
        check_audible(wave, name)
    except ValueError as error:
        return str(error)
    write(target, wave)
    return ""


def _drop_alone(folder: Path, report: Callable[[str], None] | None) -> None:
    """Remove recordings whose partner was left out, where both sides are unpacked."""
    made = [a for a in ARCHIVES if "recordings" in recorded(folder).get(a.name, {})]
    parts = {part for part in PARTS if sum(a.part == part for a in made) == 2}
    for split in (s for s in SPLITS if ("test" if s == "test" else "train") in parts):
        sides = [{p.name: p for p in (folder / split / side).glob("*.wav")}
                 for side in ("clean", "noisy")]  # fmt: skip
        if all(sides):
            for name in sorted(sides[0].keys() ^ sides[1].keys()):
                path = sides[0].get(name) or sides[1][name]
                path.unlink()
                if report:
                    report(f"{path}: its partner was left out, so it was removed")


def _count(split: Path) -> int:
    sides = [{path.name for path in (split / side).glob("*.wav")} for side in ("clean", "noisy")]
    return len(sides[0] & sides[1])
