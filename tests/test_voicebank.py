"""VoiceBank-DEMAND from a local server: fetched, resumed, brought to 16 kHz, split, refused."""

import errno
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from test_downloads import Answer, Server, server  # noqa: F401

from edmse_lite import archives, copies, folders, voicebank
from edmse_lite.cli import main
from edmse_lite.downloads import DownloadError
from edmse_lite.voicebank import ARCHIVES, Order

VOICES = {"train": ("p226", "p228", "p287"), "test": ("p232",)}
NAMES = [archive.name for archive in ARCHIVES]


def sound(voice: str, number: int, side: str, rate: int = 48_000) -> bytes:
    """Write a harmonic tone with 16 bits; the noisy one has hiss on it."""
    rng = np.random.default_rng(number)
    time = np.arange(rate // 2 + 100 * number) / rate
    wave = 0.2 * np.sin(2 * np.pi * (100 + int(voice[1:]) * 3) * time) * np.hanning(len(time))
    if side == "noisy":
        wave = wave + 0.02 * rng.standard_normal(len(time))
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, "PCM_16", format="WAV")
    return buffer.getvalue()


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def members(archive: voicebank.Archive) -> dict[str, bytes]:
    folder = archive.name.removesuffix(".zip")
    found = {f"{folder}/": b"", f"__MACOSX/{folder}/p226_009.wav": b"Mac"}
    for voice in VOICES[archive.part]:
        for number in (1, 2):
            name = f"{folder}/{voice}_{number:03}.wav"
            found[name] = sound(voice, number, archive.side)
    return found


MEMBERS = {archive.name: members(archive) for archive in ARCHIVES}
ZIPS = {name: packed(found) for name, found in MEMBERS.items()}


@pytest.fixture
def corpus(server: Server) -> Iterator[Server]:  # noqa: F811
    server.files = {f"/mirror/{name}": data for name, data in ZIPS.items()}
    yield server


def order(corpus: Server, **options) -> Order:
    return Order(base=f"{corpus.address}/mirror", pauses=(0.0, 0.0), **options)


def test_the_corpus_is_fetched_split_and_at_16_khz(corpus: Server, tmp_path: Path) -> None:
    told: list[str] = []
    counts = voicebank.get(tmp_path, order(corpus), lambda what, *_: told.append(what))
    assert counts == {"train": 2, "valid": 4, "test": 2}
    valid = sorted(path.name for path in (tmp_path / "valid" / "noisy").iterdir())
    assert valid == ["p226_001.wav", "p226_002.wav", "p287_001.wav", "p287_002.wav"]
    info = soundfile.info(tmp_path / "train" / "clean" / "p228_001.wav")
    assert (info.samplerate, info.subtype, info.frames) == (16_000, "PCM_16", 24_100 // 3 + 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "archives.json", "test", "train", "valid",
    ]  # fmt: skip
    for name in NAMES:
        assert f"fetch {name}" in told and f"unpack {name}" in told


def test_resampling_keeps_what_is_below_8_khz(corpus: Server, tmp_path: Path) -> None:
    voicebank.get(tmp_path, order(corpus, parts=("test",)))
    wave, _ = soundfile.read(tmp_path / "test" / "clean" / "p232_001.wav")
    data, _ = soundfile.read(io.BytesIO(sound("p232", 1, "clean")))
    at = np.arange(200, 7_800)
    assert np.abs(wave[at] - data[3 * at]).max() < 2e-4


def test_pairs_are_read_and_known_by_voice(corpus: Server, tmp_path: Path) -> None:
    voicebank.get(tmp_path, order(corpus, parts=("test",)))
    first, second = folders.folder_pairs(tmp_path / "test")
    assert (first.key, first.voice, second.noise_file) == ("p232_001", "p232", "p232_002")
    assert first.clean.shape == first.noisy.shape and 5 < first.snr < 20


def test_what_came_is_recorded_and_not_fetched_again(corpus: Server, tmp_path: Path) -> None:
    voicebank.get(tmp_path, order(corpus))
    record = json.loads((tmp_path / "archives.json").read_text())
    for name, data in ZIPS.items():
        assert record[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert (record[name]["bytes"], record[name]["url"]) == (
            len(data), f"{corpus.address}/mirror/{name}",
        )  # fmt: skip
    corpus.requests.clear()
    assert voicebank.get(tmp_path, order(corpus)) == {"train": 2, "valid": 4, "test": 2}
    assert not corpus.requests


def test_a_cut_and_a_later_run_go_on(corpus: Server, tmp_path: Path) -> None:
    cut = len(ZIPS[NAMES[0]]) // 2
    corpus.script = [Answer(cut=cut), *[Answer(status=503)] * 3]
    with pytest.raises(DownloadError, match=f"503 .*Or get {NAMES[0]} from https://doi.org/10"):
        voicebank.get(tmp_path, order(corpus))
    voicebank.get(tmp_path, order(corpus))
    assert corpus.requests[4] == (f"/mirror/{NAMES[0]}", f"bytes={cut}-")
    assert len(corpus.requests) == 4 + len(NAMES)


def test_archives_fetched_by_hand_are_taken(corpus: Server, tmp_path: Path) -> None:
    for name, data in ZIPS.items():
        (tmp_path / name).write_bytes(data)
    counts = voicebank.get(tmp_path, order(corpus, keep=True))
    assert counts["test"] == 2 and not corpus.requests
    assert all((tmp_path / name).exists() for name in NAMES)


def test_the_users_hash_decides(corpus: Server, tmp_path: Path) -> None:
    right = {name: hashlib.sha256(data).hexdigest() for name, data in ZIPS.items()}
    wrong = right | {NAMES[1]: "0" * 64}
    with pytest.raises(DownloadError, match=f"{NAMES[1]}: its SHA-256 is .*expected 0000"):
        voicebank.get(tmp_path, order(corpus, sha256=wrong))
    voicebank.get(tmp_path, order(corpus, sha256=right))
    with pytest.raises(DownloadError, match="archives.json: .*fetch it into another folder"):
        voicebank.get(tmp_path, order(corpus, sha256=wrong))
    (tmp_path / "by hand").mkdir()
    (tmp_path / "by hand" / NAMES[1]).write_bytes(ZIPS[NAMES[1]])
    with pytest.raises(DownloadError, match="expected 0000.*remove it"):
        voicebank.get(tmp_path / "by hand", order(corpus, sha256=wrong))


def test_a_later_version_is_refused(corpus: Server, tmp_path: Path) -> None:
    """A fetched archive has to be the one that was recorded, until it is unpacked."""
    bad = MEMBERS[NAMES[0]] | {f"{NAMES[0][:-4]}/p232_009.wav": b"these are words"}
    corpus.files[f"/mirror/{NAMES[0]}"] = packed(bad)
    with pytest.raises(DownloadError, match="p232_009.wav: not readable.*--bad skip"):
        voicebank.get(tmp_path, order(corpus))
    (tmp_path / NAMES[0]).unlink()
    corpus.files[f"/mirror/{NAMES[0]}"] = ZIPS[NAMES[0]]
    with pytest.raises(DownloadError, match="its SHA-256 is"):
        voicebank.get(tmp_path, order(corpus))


@pytest.mark.parametrize(
    "unsafe", ["../evil.wav", "/evil.wav", "a/../../evil.wav", "..\\evil.wav", "C:evil.wav"]
)
def test_names_that_lead_out_of_the_folder_are_refused(
    corpus: Server, tmp_path: Path, unsafe: str
) -> None:
    corpus.files[f"/mirror/{NAMES[0]}"] = packed({**MEMBERS[NAMES[0]], unsafe: b"x"})
    with pytest.raises(DownloadError, match="holds the unsafe name .*; nothing was unpacked"):
        voicebank.get(tmp_path / "corpus", order(corpus))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == [NAMES[0]]


def test_a_file_that_swells_is_refused(
    corpus: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 40_000)
    with pytest.raises(DownloadError, match="would take .* bytes, expected at most 40,000"):
        voicebank.get(tmp_path, order(corpus))


def spoilt(data: bytes) -> bytes:
    """Turn one byte in the middle of a member; the directory at the end stays whole."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


@pytest.mark.parametrize(
    "wrong", [ZIPS[NAMES[0]][:-100], spoilt(ZIPS[NAMES[0]]), b"no zip file at all", b""]
)
def test_a_damaged_archive_is_removed_and_comes_anew(
    corpus: Server, tmp_path: Path, wrong: bytes
) -> None:
    corpus.script = [Answer(body=wrong)]
    with pytest.raises(DownloadError, match="damaged, cut short, or no zip file .*was removed"):
        voicebank.get(tmp_path, order(corpus))
    assert not list(tmp_path.iterdir())
    assert voicebank.get(tmp_path, order(corpus))["test"] == 2


def test_another_archive_is_told(corpus: Server, tmp_path: Path) -> None:
    corpus.files[f"/mirror/{NAMES[0]}"] = packed({"readme.txt": b"words"})
    with pytest.raises(DownloadError, match="holds no recording with a name like p226_001.wav"):
        voicebank.get(tmp_path, order(corpus))


def test_bad_recordings_are_named_and_left_out_on_request(corpus: Server, tmp_path: Path) -> None:
    folder = NAMES[0][:-4]
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(24_000), 48_000, format="WAV")
    corpus.files[f"/mirror/{NAMES[0]}"] = packed({
        **MEMBERS[NAMES[0]], f"{folder}/p232_001.wav": b"RIFF these are words",
        f"{folder}/p257_001.wav": silence.getvalue(),
    })  # fmt: skip
    with pytest.raises(DownloadError, match="p232_001.wav: not readable.*, and 1 more; run again"):
        voicebank.get(tmp_path, order(corpus, parts=("test",)))
    corpus.requests.clear()
    told: list[str] = []
    counts = voicebank.get(
        tmp_path, order(corpus, parts=("test",), bad="skip"), report=told.append
    )
    assert counts == {"test": 1} and len(corpus.requests) == 1  # the first archive was still there
    assert all(words in "".join(told) for words in ("p232_001", "p257_001.wav: is silent"))
    assert "p232_001.wav: its partner was left out" in told[-1]
    assert len(folders.folder_pairs(tmp_path / "test")) == 1


def test_what_is_not_unpacked_yet_has_no_partner_to_lose(corpus: Server, tmp_path: Path) -> None:
    voicebank.get(tmp_path, order(corpus))
    record = tmp_path / archives.RECORD
    known = json.loads(record.read_text())
    del known["noisy_trainset_28spk_wav.zip"]["recordings"]  # stopped while it was unpacked
    record.write_text(json.dumps(known))
    clean = sorted((tmp_path / "train" / "clean").iterdir())
    next((tmp_path / "train" / "noisy").iterdir()).unlink()
    voicebank.get(tmp_path, order(corpus, parts=("test",), bad="skip"))
    assert sorted((tmp_path / "train" / "clean").iterdir()) == clean


def test_a_full_disk_while_unpacking(
    corpus: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = copies.write_bytes, []

    def full(path: Path, data: bytes) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(copies, "write_bytes", full)
        with pytest.raises(DownloadError, match="No space left on device.*; free some space and"):
            voicebank.get(tmp_path, order(corpus))
    times = {path: path.stat().st_mtime_ns for path in written}
    assert voicebank.get(tmp_path, order(corpus)) == {"train": 2, "valid": 4, "test": 2}
    assert {path: path.stat().st_mtime_ns for path in written} == times  # not written again


def test_a_damaged_record_is_told(corpus: Server, tmp_path: Path) -> None:
    (tmp_path / "archives.json").write_text('{"a.zip": ')
    with pytest.raises(DownloadError, match="archives.json: is damaged; remove it"):
        voicebank.get(tmp_path, order(corpus))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sha256": {"a.zip": "0" * 64}}, "no archive 'a.zip'; there are clean_testset"),
        ({"sha256": {NAMES[0]: "xyz"}}, "'xyz' is no SHA-256; it has 64"),
        ({"parts": ("valid",)}, "no part 'valid'; there are train, test"),
        ({"bad": "drop"}, "refuse or skip, not to 'drop'"),
    ],
)
def test_an_order_that_means_nothing_is_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Order(**options)


def test_the_addresses_are_four_and_differ() -> None:
    urls = {archive.url() for archive in ARCHIVES}
    assert len(urls) == 4 and all(url.startswith("https://datashare.ed.ac.uk/") for url in urls)
    assert ARCHIVES[0].url("http://a/b/") == "http://a/b/clean_testset_wav.zip"


# The command


def run(capfd, *words: str) -> tuple[int, str, str]:
    code = main(["corpus", *words])
    out, err = capfd.readouterr()
    return code, out, err


def test_the_command_fetches_checks_and_packs(corpus: Server, tmp_path: Path, capfd) -> None:
    where, folder = f"{corpus.address}/mirror", str(tmp_path / "vb")
    code, out, err = run(capfd, "get", "voicebank-demand", "--to", folder, "--from", where)
    assert code == 0, err
    assert "train: 2 pairs" in out and "valid: 4 pairs" in out and "test: 2 pairs" in out
    assert f"{hashlib.sha256(ZIPS[NAMES[0]]).hexdigest()}  {NAMES[0]}" in out
    code, out, _ = run(capfd, "check", f"{folder}/valid")
    assert code == 0 and "4 good pairs" in out
    (tmp_path / "vb" / "valid" / "clean" / "p226_001.wav").write_bytes(b"words")
    code, out, err = run(capfd, "check", f"{folder}/valid")
    assert code == 2 and "p226_001.wav: not readable" in out and "1 bad" in err


def test_the_command_says_what_is_wrong_in_one_line(corpus: Server, tmp_path: Path, capfd) -> None:
    where, folder = f"{corpus.address}/none", str(tmp_path / "vb")
    for words, said in (
        (("--from", where), "answered 404"),
        (("--from", "ftp://a"), "is no address"),
        (("--sha256", "a.zip"), "expected NAME=HASH"),
        (("--sha256", "a.zip=00"), "no archive 'a.zip'"),
    ):
        code, _, err = run(capfd, "get", "voicebank-demand", "--to", folder, *words)
        lines = [line for line in err.splitlines() if line.startswith("edmse: error:")]
        assert code == 2 and len(lines) == 1 and said in lines[0]


def test_pairs_are_evaluated(tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edmse evaluate --pairs FOLDER` scores a model on the pairs of a folder."""
    from edmse_lite import systems

    generator = torch.Generator().manual_seed(0)
    for number in (1, 2):
        for side in ("clean", "noisy"):
            path = tmp_path / "pairs" / side / f"p232_{number:03}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sound("p232", number, side, 16_000))
    ours = systems.System("ours", lambda noisy, seed: 0.5 * noisy + 0 * torch.rand(
        1, generator=generator))  # fmt: skip
    monkeypatch.setattr(systems, "trained", lambda *_, **__: ours)
    words = ["evaluate", "--pairs", str(tmp_path / "pairs")]
    assert main([*words, "--out", str(tmp_path / "a.csv")]) == 0
    out, _ = capfd.readouterr()
    assert "pairs" in out and "ours" in out
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 5
    assert main(["evaluate", "--pairs", str(tmp_path / "none")]) == 2
    assert "no such folder" in capfd.readouterr().err
