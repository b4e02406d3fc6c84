"""The command: what it writes, what it says when something is wrong, what it never damages."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import band_limited, tiny_model

from edmse_lite import checkpoints
from edmse_lite.cli import main
from edmse_lite.networks import CompactUNet
from edmse_lite.spectrograms import Spectrogram

ROOT = Path(__file__).resolve().parent.parent
EARLIER = b"an earlier output"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    checkpoints.save(folder, tiny_model(), Spectrogram(), {})
    return str(folder)


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """Work in an empty folder that has one good recording, noisy.wav."""
    monkeypatch.chdir(tmp_path)
    write("noisy.wav")
    return tmp_path


def write(name: str, samples: int = 20_000, rate: int = 16_000, **kind: str) -> None:
    soundfile.write(name, band_limited(samples, rate).numpy(), rate, **kind)


def enhance(model: str, *arguments: str) -> int:
    return main(["enhance", "--model", model, "--device", "cpu", "--steps", "1", *arguments])


def one_line(capsys: pytest.CaptureFixture) -> str:
    """Return the error that was printed; it must be one line."""
    printed = capsys.readouterr().err
    assert printed.startswith("edmse: error: ") and printed.count("\n") == 1
    return printed.removeprefix("edmse: error: ").strip()


def test_a_file_is_enhanced(here: Path, model: str) -> None:
    assert enhance(model, "noisy.wav", "clean.wav") == 0
    noisy, clean = soundfile.read("noisy.wav")[0], soundfile.read("clean.wav")[0]
    assert clean.shape == noisy.shape and not np.allclose(clean, noisy, atol=1e-3)
    assert sorted(os.listdir()) == ["clean.wav", "noisy.wav"]


def test_a_seed_and_a_sampler_can_be_chosen(here: Path, model: str) -> None:
    options = {
        "a": ["--seed", "1"], "b": ["--seed", "1"], "c": ["--seed", "2"],
        "d": ["--seed", "1", "--churn", "0"], "e": ["--seed", "1", "--churn", "inf"],
        "f": ["--seed", "1", "--sampler", "pc"],
    }  # fmt: skip
    for name, given in options.items():
        assert enhance(model, "noisy.wav", f"{name}.wav", "--steps", "2", *given) == 0
    data = {name: Path(f"{name}.wav").read_bytes() for name in options}
    assert data["a"] == data["b"] == data["e"]
    assert len({data[name] for name in "acdf"}) == 4


def test_an_output_folder_takes_the_name(here: Path, model: str) -> None:
    Path("out").mkdir()
    assert enhance(model, "noisy.wav", "out") == 0
    assert os.listdir("out") == ["noisy.wav"]


def test_a_folder_is_enhanced(here: Path, model: str, capsys: pytest.CaptureFixture) -> None:
    """One bad file does not stop the others, and is named in the end."""
    Path("in/deep").mkdir(parents=True)
    write("in/a.wav")
    write("in/deep/b.flac", rate=44_100)
    write("in/c.ogg")
    Path("in/bad.wav").touch()
    Path("in/notes.txt").write_text("no audio")
    assert enhance(model, "in", "out") == 2
    made = sorted(str(path) for path in Path("out").rglob("*") if path.is_file())
    assert made == ["out/a.wav", "out/c.ogg", "out/deep/b.flac"]
    first, last = capsys.readouterr().err.splitlines()
    assert first == (
        "edmse: error: in/bad.wav: is empty (0 bytes) — record or copy it again"
    )
    assert last == "edmse: error: 1 of 4 files were not enhanced: bad.wav"
    Path("in/bad.wav").unlink()
    Path("in/Old.AIFF").touch()
    capsys.readouterr()
    assert enhance(model, "in", "in/out") == 0
    assert "edmse: left out: in/Old.AIFF — convert it to one of .wav" in capsys.readouterr().err
    assert enhance(model, "in", "in/out") == 0  # what is already there is no input
    assert not Path("in/out/out").exists()


def truncated(source: str, target: str, share: float = 0.6) -> None:
    data = Path(source).read_bytes()
    Path(target).write_bytes(data[: int(share * len(data))])


def make_bad(name: str) -> None:
    """Write a bad file; its name says in which way it is bad."""
    kind, suffix = name.split(".")
    if kind == "zero":
        Path(name).touch()
    elif kind == "junk":
        Path(name).write_bytes(np.random.default_rng(0).bytes(5_000))
    elif kind == "header":
        truncated("noisy.wav", name, 0.0005)
    elif kind == "empty":
        soundfile.write(name, np.zeros(0, np.float32), 16_000)
    elif kind == "nan":
        soundfile.write(name, np.array([0, np.nan] * 50, np.float32), 16_000, subtype="FLOAT")
    elif kind == "infinite":
        soundfile.write(name, np.array([0, np.inf] * 50, np.float32), 16_000, subtype="FLOAT")
    elif kind == "folder":
        Path(name).mkdir()
    elif kind == "cut":
        opus = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
        write(f"whole.{suffix}", 48_000, **opus)
        truncated(f"whole.{suffix}", name)
    elif kind == "stream":  # an MP3 of a radio station: no first frame with the number of bytes
        write("whole.mp3", 48_000)
        data = Path("whole.mp3").read_bytes()
        Path(name).write_bytes(data[data.index(data[:2], 2) : -30])
    elif kind == "other":
        write(name, 16_000)


BAD = {
    "zero.wav": "is empty (0 bytes)",
    "zero.mp3": "is empty (0 bytes)",
    "junk.wav": "is not audio",
    "junk.mp3": "is not audio",
    "junk.ogg": "is not audio",
    "header.wav": "is not audio",
    "empty.wav": "holds no samples",
    "nan.wav": "holds 50 NaN",
    "infinite.wav": "holds 50 NaN or infinite",
    "cut.wav": "is cut short",
    "cut.flac": "is cut short",
    "cut.ogg": "is cut short",
    "cut.opus": "is cut short",
    "cut.mp3": "is cut short",
    "cut.aiff": "is cut short",
    "cut.rf64": "is cut short",
    "cut.w64": "is cut short",
    "cut.au": "is cut short",
    "cut.nist": "is cut short",
    "stream.mp3": "is cut short",
    "other.voc": "is VOC audio",
    "missing.wav": "no such file",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_named(name: str, here: Path, model: str, capfd) -> None:
    make_bad(name)
    Path("clean.wav").write_bytes(EARLIER)
    before = set(os.listdir())
    assert enhance(model, name, "clean.wav") == 2
    error = one_line(capfd)
    assert error.startswith(f"{name}: {BAD[name]}") and " — " in error
    assert Path("clean.wav").read_bytes() == EARLIER
    assert set(os.listdir()) == before


OUTPUTS = {
    "none/clean.wav": "the folder none does not exist — make it first",
    "/proc/clean.wav": "cannot be written",
    "noisy.wav": "is the input as well",
    "link.wav": "is the input as well",
    "clean.xyz": "ends in '.xyz' — choose one of .wav, .flac",
    "clean": "has no suffix",
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_bad_output_is_named(name: str, here: Path, model: str, capfd) -> None:
    os.link("noisy.wav", "link.wav")
    recording = Path("noisy.wav").read_bytes()
    before = set(os.listdir())
    assert enhance(model, "noisy.wav", name) == 2
    error = one_line(capfd)
    assert error.startswith(f"{name}: {OUTPUTS[name]}")
    assert Path("noisy.wav").read_bytes() == recording
    assert set(os.listdir()) == before


@pytest.mark.parametrize(
    ("options", "calls"),
    [("", 8), ("--spins 2", 2), ("--steps 1", 1), ("--churn 0", 1), ("--steps 2 --spins 3", 9)],
)
def test_options_decide_how_often_the_network_is_asked(
    options: str, calls: int, here: Path, monkeypatch
) -> None:
    asked = []
    forward = CompactUNet.forward
    monkeypatch.setattr(
        CompactUNet, "forward", lambda *args: asked.append(1) or forward(*args)
    )
    assert main(["enhance", "noisy.wav", "clean.wav", "--device", "cpu", *options.split()]) == 0
    assert len(asked) == calls


ENHANCE = "enhance noisy.wav clean.wav"
OPTIONS = {
    f"{ENHANCE} --steps 0": "steps=0 must be a whole number >= 1",
    f"{ENHANCE} --spins 0": "--spins 0 must be 1 ... 256",
    f"{ENHANCE} --limit 0": "--limit 0 must be above 0 dB",
    f"{ENHANCE} --limit nan": "--limit nan must be above 0 dB",
    f"{ENHANCE} --churn -1": "s_churn=-1.0 must be >= 0",
    f"{ENHANCE} --churn nan": "s_churn=nan must be >= 0",
    f"{ENHANCE} --sampler pc --churn 1": "--churn belongs to --sampler edm",
    f"{ENHANCE} --seed -1": "--seed -1 must be",
    f"{ENHANCE} --device abacus": "--device abacus: not on this machine",
    f"{ENHANCE} --device meta": "--device meta: not on this machine",
    f"{ENHANCE} --model nobody": "nobody: no such folder; give a folder that `edmse train` wrote",
    "evaluate --seeds 0": "--seeds 0 must be at least 1",
    "evaluate --workers -1": "--workers -1 must be at least 1",
    "evaluate --curve --size -1": "--size -1 must be at least 1",
    "evaluate --curve --minutes -1": "--minutes -1.0 must be at least 0",
    "evaluate --size 3": "--size and --minutes belong to --curve",
    "evaluate --curve --standard": "--curve and --standard are two studies",
    "evaluate --standard --pairs .": "--standard and --curve have their own recordings",
    "evaluate --standard --steps 4": "--standard and --curve have their own samplers",
    "evaluate --curve --sampler pc": "--standard and --curve have their own samplers",
    "evaluate --standard --limit 20": "--standard and --curve have their own samplers",
    **{
        f"evaluate --model nobody {given}": "--standard and --curve have their own sets, seeds and"
        for given in (
            "--standard --seeds 5", "--standard --sets valid", "--standard --baselines",
            "--thorough --seeds 1", "--curve --seeds 9", "--curve --sets valid",
            "--curve --baselines",
        )
    },
    "evaluate --model nobody --standard --bad skip": "--bad skip belongs to --pairs",
    "evaluate --model nobody --pairs . --sets valid": "--pairs stands in place of --sets",
    "evaluate --out none/rows.csv": "--out none/rows.csv: no such folder",
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_bad_options_are_named(command: str, here: Path, capfd) -> None:
    assert main(command.split()) == 2
    assert one_line(capfd).startswith(OPTIONS[command])
    assert os.listdir() == ["noisy.wav"]


def test_bad_folders_are_named(here: Path, model: str, capfd) -> None:
    Path("in").mkdir()
    for arguments, words in (
        (("in", "out"), "in: holds no audio"),
        (("in", "in"), "in: is the input as well"),
        (("in", "noisy.wav"), "noisy.wav: is a file, but the input is a folder"),
        ((".", "none/out"), "none/out: cannot be made"),
    ):
        assert enhance(model, *arguments) == 2
        assert one_line(capfd).startswith(words)
    assert sorted(os.listdir()) == ["in", "noisy.wav"]


def test_one_bad_rate_does_not_stop_a_folder(here: Path, model: str, capfd) -> None:
    for name, rate in (("in/a.wav", 16_000), ("in/deep/b.wav", 999), ("in/c.wav", 8_000)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, 0.1 * np.random.default_rng(0).standard_normal(4_000), rate)
    assert enhance(model, "in", "out") == 2
    assert sorted(os.listdir("out")) == ["a.wav", "c.wav"]
    said = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert "in/deep/b.wav: has 999 samples a second, expected 1000 or more" in said[0]
    assert said[1].endswith("1 of 3 files were not enhanced: deep/b.wav")


def test_any_file_name_will_do(here: Path, model: str) -> None:
    for name in (b"bytes\xff.wav", b"a" * 251 + b".wav", "音".encode() * 83 + b".wav"):
        os.link("noisy.wav", name)
        Path("out").mkdir(exist_ok=True)
        assert enhance(model, os.fsdecode(name), "out") == 0
        assert soundfile.info(b"out/" + name).frames == 20_000
        assert len(os.listdir(b"out")) == 1
        os.remove(b"out/" + name)


def test_nobody_need_read_on(here: Path) -> None:
    command = f"{sys.executable} -m edmse_lite corpus | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_a_full_disk_leaves_the_earlier_output(here: Path, model: str, capfd) -> None:
    Path("clean.wav").write_bytes(EARLIER)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
        assert enhance(model, "noisy.wav", "clean.wav") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert one_line(capfd).startswith("clean.wav: cannot be written")
    assert Path("clean.wav").read_bytes() == EARLIER
    assert sorted(os.listdir()) == ["clean.wav", "noisy.wav"]


def test_odd_recordings_are_enhanced(here: Path, model: str) -> None:
    soundfile.write("silent.wav", np.zeros(8_000), 16_000)
    write("eight.wav", subtype="PCM_U8")
    loud = (20 * band_limited(20_000, 44_100)).clamp(-1, 1)
    soundfile.write("clipped.wav", torch.stack([loud, loud]).T.numpy(), 44_100)
    for name in ("silent", "eight", "clipped"):
        assert enhance(model, f"{name}.wav", f"{name}-out.wav") == 0
        out, _ = soundfile.read(f"{name}-out.wav")
        assert np.isfinite(out).all() and np.abs(out).max() < 0.995  # nothing clipped
        assert (out == 0).all() == (name == "silent")


def process(model: str, *arguments: str, **options) -> subprocess.Popen:
    threads = str(torch.get_num_threads())  # as many as here: their number changes the rounding
    return subprocess.Popen(
        [sys.executable, "-m", "edmse_lite", "enhance", *arguments, "--model", model],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads},
        stderr=subprocess.PIPE, text=True, **options,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background
    )  # fmt: skip


def test_another_process_writes_the_same(here: Path, model: str) -> None:
    started = process(model, "noisy.wav", "a.wav", "--steps", "2", "--seed", "5")
    assert enhance(model, "noisy.wav", "b.wav", "--steps", "2", "--seed", "5") == 0
    assert started.communicate()[1] == ""  # no bar where nobody looks
    assert started.returncode == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_an_interrupt_leaves_no_part(here: Path, model: str) -> None:
    started = {}
    for name in ("SIGINT", "SIGTERM"):
        Path(name).mkdir()
        Path(name, "clean.wav").write_bytes(EARLIER)
        arguments = ("noisy.wav", f"{name}/clean.wav", "--steps", "100000")
        started[name] = process(model, *arguments)
    for name, one in started.items():
        until = time.monotonic() + 60
        while not list(Path(name).glob(".clean.*.partial.wav")) and time.monotonic() < until:
            time.sleep(0.05)
        began = bool(list(Path(name).glob(".clean.*.partial.wav")))
        time.sleep(0.2)
        one.send_signal(getattr(signal, name))
        try:
            error = one.communicate(timeout=60)[1]
        finally:
            one.kill()
        assert began, "it never began to write"
        assert one.returncode == 130
        assert error == (
            "edmse: error: interrupted; unfinished files are removed, and what was saved stays\n"
        )
        assert Path(name, "clean.wav").read_bytes() == EARLIER
        assert os.listdir(name) == ["clean.wav"]


def test_help_and_version_load_nothing(capsys: pytest.CaptureFixture) -> None:
    code = "import sys; from edmse_lite.cli import main\ntry: main(['{}'])\nexcept SystemExit: "
    code += "assert not {{'torch', 'soundfile', 'numpy'}} & set(sys.modules)"
    for option, words in (("--help", "enhance an audio file"), ("--version", "edmse ")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(option)], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert words in done.stdout
    with pytest.raises(SystemExit):
        main(["enhance", "--help"])
    assert "edmse enhance folder/ out/" in capsys.readouterr().out


def test_the_corpus_is_shown(capsys: pytest.CaptureFixture) -> None:
    assert main(["corpus"]) == 0
    printed = capsys.readouterr().out
    assert "CC-BY-SA-3.0" in printed and "ivrvoice" in printed
    from edmse_lite.corpora import Corpus

    lines = [line.split() for line in printed.splitlines()]
    counts = [int(line[3]) for line in lines if line and line[0] in ("speech", "noise")]
    assert sum(counts) == len(Corpus.bundled())


@pytest.fixture
def few(monkeypatch) -> list:
    """Cut the evaluation set *valid* to three short pairs, and return them."""
    from edmse_lite import evaluation_sets

    pairs = evaluation_sets.evaluation_set("valid", 3, 2.0)
    monkeypatch.setattr(evaluation_sets, "evaluation_set", lambda name: pairs)
    return pairs


def test_evaluation_sets_are_written(here: Path, few: list) -> None:
    assert main(["corpus", "--write", "sets", "--sets", "valid"]) == 0
    assert len(os.listdir("sets/valid/noisy")) == len(os.listdir("sets/valid/clean")) == 3
    noisy, rate = soundfile.read(f"sets/valid/noisy/{few[1].key}.wav", dtype="float32")
    assert rate == 16_000
    torch.testing.assert_close(torch.from_numpy(noisy), few[1].noisy, rtol=0, atol=1e-4)
    assert len(Path("sets/valid/pairs.csv").read_text().splitlines()) == 4


def test_rows_need_a_file_and_not_a_folder(here: Path, capfd) -> None:
    Path("rows").mkdir()
    assert main(["evaluate", "--sets", "valid", "--out", "rows"]) == 2
    assert one_line(capfd).startswith("--out rows: is a folder")


def test_an_unknown_set_is_named(here: Path, capfd) -> None:
    assert main(["corpus", "--write", "sets", "--sets", "none"]) == 2
    assert one_line(capfd).startswith("--sets none: no such set")


def test_a_model_is_evaluated(here: Path, model: str, few: list, capfd, monkeypatch) -> None:
    from edmse_lite import studies

    monkeypatch.setattr(studies, "METRICS", ("pesq", "si_sdr"))
    arguments = ["evaluate", "--sets", "valid", "--out", "rows.csv", "--model", model]
    assert main([*arguments, "--steps", "1", "--device", "cpu"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("valid ") for line in lines[1:])
    first = Path("rows.csv").read_text().splitlines()
    assert len(first) == 1 + 2 * 3
    checkpoints.save(here / "other", tiny_model(1), Spectrogram(), {})
    other = ["evaluate", "--sets", "valid", "--out", "rows.csv", "--model", "other", "--steps", "1"]
    assert main(other) == 0
    both = Path("rows.csv").read_text().splitlines()
    assert set(first) <= set(both) and len(both) == 1 + 3 * 3  # noisy, and two models
    assert len(capfd.readouterr().out.splitlines()) == 3  # of this model


@pytest.fixture
def plain(monkeypatch) -> None:
    """Hide what the extras bring."""
    from edmse_lite import perceptual

    for name in ("speechmos", "onnxruntime", "noisereduce", "pyrnnoise"):
        monkeypatch.setitem(sys.modules, name, None)
    perceptual._dnsmos_model.cache_clear()


def test_a_plain_install_evaluates(here: Path, model: str, few: list, plain, capfd) -> None:
    from edmse_lite import studies

    words = ["evaluate", "--sets", "valid", "--out", "rows.csv", "--model", model, "--steps", "1"]
    assert main([*words, "--device", "cpu"]) == 0
    said = capfd.readouterr()
    assert said.err.startswith("edmse: left out: DNSMOS, which needs speechmos and onnxruntime")
    assert said.err.count("\n") == 1 and len(said.out.splitlines()) == 3
    rows = studies.read("rows.csv")
    assert {row.seed for row in rows} == {1} and len(rows) == 6  # rows of seed 0 have all scores
    assert all(np.isfinite(row.si_sdr) and np.isnan(row.dnsmos_ovrl) for row in rows)


@pytest.mark.parametrize(
    ("option", "first", "extra"),
    [
        ("--standard", "speechmos", "dnsmos"), ("--curve", "speechmos", "dnsmos"),
        ("--baselines", "noisereduce", "baselines"),
    ],
)  # fmt: skip
def test_what_needs_an_extra_says_so(
    option: str, first: str, extra: str, here: Path, model: str, few: list, plain, capfd
) -> None:
    assert main(["evaluate", option, "--model", model]) == 2
    error = one_line(capfd)
    assert error.startswith(f"{option} needs {first} and ")
    assert error.endswith(f'pip install "edmse-lite[{extra}]"')
    assert os.listdir() == ["noisy.wav"]


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--baselines", "studies.evaluate"), ("--curve", "curves.run"),
        ("--standard", "evaluation.evaluate_checkpoint"),
    ],
)  # fmt: skip
def test_a_broken_package_is_named(
    option: str, place: str, here: Path, model: str, few: list, capfd, monkeypatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("onnxruntime: wrong version")

    monkeypatch.setattr(f"edmse_lite.{place}", broken)
    assert main(["evaluate", option, "--model", model]) == 2
    assert one_line(capfd) == "onnxruntime: wrong version"


def test_a_corpus_may_lie_elsewhere(here: Path) -> None:
    from edmse_lite.commands.common import CommandError, check_place

    for place in (None, "noisy.wav", "pipe:cat /data/shards/{}", "s3://a/b", "https://a/b"):
        check_place(place)
    with pytest.raises(CommandError, match="--corpus pipes: does not exist"):
        check_place("pipes")


def test_scores_are_not_those_of_other_recordings(
    here: Path, model: str, few: list, capfd, monkeypatch
) -> None:
    from dataclasses import replace

    from edmse_lite import evaluation_sets, studies

    monkeypatch.setattr(studies, "METRICS", ("si_sdr",))
    words = ["evaluate", "--sets", "valid", "--out", "rows.csv", "--model", model, "--steps", "1"]
    assert main(words) == 0
    before = Path("rows.csv").read_bytes()
    others = [replace(pair, snr=pair.snr - 3) for pair in few]
    monkeypatch.setattr(evaluation_sets, "evaluation_set", lambda name: others)
    capfd.readouterr()
    assert main(words) == 2
    assert "rows.csv: has scores of another valid/" in capfd.readouterr().err
    assert Path("rows.csv").read_bytes() == before


@pytest.mark.parametrize("text", ['{"a": 1}', "one line\n", "x" * 500, "\x80\n"])
def test_a_file_of_another_kind_is_not_replaced(text: str, here: Path, model: str, capfd) -> None:
    Path("notes.txt").write_text(text, encoding="latin-1")
    words = ["evaluate", "--sets", "valid", "--out", "notes.txt", "--model", model]
    assert main([*words, "--steps", "1"]) == 2
    assert "notes.txt: expected the columns system, checkpoint" in capfd.readouterr().err
    assert Path("notes.txt").read_text(encoding="latin-1") == text


def test_the_command_line_names_every_recipe() -> None:
    from edmse_lite import cli, compact

    assert set(compact.RECIPES) == set(cli.TRAINABLE)
