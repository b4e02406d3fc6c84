"""Every command of the README is run, or, where it takes long, checked as far as it goes."""

import contextlib
import re
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT

SETTING = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["edmse-book"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


LINES = [line.split("  #")[0].rstrip() for block in blocks("bash") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line]


def noisy(path: Path, rate: int = 16_000, seconds: float = 1.5) -> None:
    """Write a harmonic tone in hiss."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(int(rate * seconds)) / rate
    tone = sum(torch.sin(2 * torch.pi * 150 * k * time) / k for k in range(1, 9))
    wave = 0.1 * tone + 0.03 * torch.randn(time.shape, generator=generator)
    soundfile.write(path, wave.numpy(), rate)


def run(command: str, folder: Path) -> None:
    program, *arguments = command.split()
    whole = [str(Path(sys.executable).parent / program), *arguments]
    result = subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


def enhance_file(command: str, folder: Path) -> None:
    noisy(folder / "noisy.wav", rate=22_050)
    run(command, folder)
    before, after = (soundfile.info(folder / name) for name in ("noisy.wav", "clean.wav"))
    assert (after.frames, after.samplerate) == (before.frames, before.samplerate)


def enhance_folder(command: str, folder: Path) -> None:
    (folder / "folder").mkdir()
    for name in ("a.wav", "b.wav"):
        noisy(folder / "folder" / name)
    run(command, folder)
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.wav", "b.wav"]


def train(command: str, folder: Path) -> None:
    """Training takes hours: see that its words are known (tests/test_training.py trains)."""
    from edmse_lite.compact import RECIPES

    run(f"{command} --help", folder)
    _, _, name, *options = command.split()
    stages = list(RECIPES)
    assert name in stages
    if "--corpus" in options:  # tests/test_shards.py trains on pairs
        return
    if options == ["--chain"]:  # tests/test_train_command.py trains one
        assert name == stages[-1]
    elif options and options != ["--profile"]:  # it begins where the stage before it wrote
        assert options == ["--warm-start", f"runs/{stages[stages.index(name) - 1]}"]


def launch(command: str, folder: Path) -> None:
    """Many processes: the launcher takes its words, and so does the program that it starts.

    tests/test_distributed.py trains with both launchers.
    """
    from torch.distributed.run import get_args_parser

    from edmse_lite import cli, parallel

    launcher, program = command.split(" -m edmse_lite ")
    program, options = program.split(), launcher.split()
    args = cli._parser().parse_args(program)
    if options[0] == "torchrun":
        known = get_args_parser().parse_args([*options[1:], "-m", "edmse_lite", *program])
        processes = int(known.nnodes.split(":")[-1]) * int(known.nproc_per_node)
    else:
        from accelerate.commands.launch import launch_command_parser

        known = launch_command_parser().parse_args([*options[2:], "-m", "edmse_lite", *program])
        processes = known.num_processes
    batch = args.batch or 6
    plan = parallel.Plan(args.accumulate, args.parts)
    shares = [plan.share(batch, rank, processes) for rank in range(processes)]
    assert [item for share in shares for item in share] == list(range(batch))


def run_here(command: str, folder: Path) -> None:
    """Run a command in this process, which has loaded what it needs."""
    from edmse_lite.cli import main

    with contextlib.chdir(folder):
        assert main(command.split()[1:]) == 0, command


def fetch(command: str, folder: Path) -> None:
    """Fetch from a mirror on this machine; tests/test_voicebank.py does all else."""
    import test_downloads
    import test_voicebank

    server = test_downloads.Server()
    server.files = {f"/{name}": data for name, data in test_voicebank.ZIPS.items()}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("no_proxy", "127.0.0.1")
            run_here(f"{command} --from {server.address}", folder)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(list((folder / "voicebank-demand" / "valid" / "noisy").iterdir())) == 4


def with_pairs(command: str, folder: Path) -> None:
    """Run a command that takes the pairs of a folder."""
    place = folder / re.search(r"voicebank-demand\S*", command)[0]
    for side in ("clean", "noisy"):
        (place / side).mkdir(parents=True)
        noisy(place / side / "p232_001.wav", seconds=1.5)
    run_here(command + " --steps 1" * (" evaluate " in command), folder)


def take(command: str, folder: Path) -> None:
    """Copy a folder of pairs; tests/test_copies.py does all else."""
    place, to = re.search(r"take (\S+) --to (\S+)", command).groups()
    for side in ("clean", "noisy"):
        (folder / place / side).mkdir(parents=True)
        noisy(folder / place / side / "00001.wav", seconds=1.5)
    run_here(command, folder)
    assert (folder / to / "clean" / "00001.wav").is_file()


def clone(command: str, folder: Path) -> None:
    address = SETTING["repository"]
    assert command == f"git clone {address} && cd {address.split('/')[-1]}"


def install(command: str, folder: Path) -> None:
    """The wheel is built and looked into by tests/test_repository.py."""
    assert f"edmse-lite @ git+{SETTING['repository']}@{SETTING['tag']}" in command


def make(command: str, folder: Path) -> None:
    """`.ci/run` runs book and test themselves; here make must know each target."""
    subprocess.run([*command.split(), "-n"], cwd=ROOT, check=True, capture_output=True)
    target = command.split()[1]
    if target in ("book", "test"):
        assert command in (ROOT / ".ci" / "run").read_text()


RULES: list[tuple[str, Callable[[str, Path], None]]] = [
    (r"edmse enhance \S+\.wav \S+\.wav", enhance_file),
    (r"edmse enhance \S+/ \S+/.*", enhance_folder),
    (r"edmse train .*", train),
    (r"edmse corpus get .*", fetch),
    (r"edmse corpus take .*", take),
    (r"edmse (corpus check|corpus pack|evaluate --pairs) .*", with_pairs),
    (r"(torchrun|accelerate launch) .* -m edmse_lite train .*", launch),
    (r"git clone .*", clone),
    (r"pip install .*", install),
    (r"make \w+", make),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, tmp_path: Path) -> None:
    rules = [check for pattern, check in RULES if re.fullmatch(pattern, command)]
    assert rules, f"no test knows the README's command: {command}"
    rules[0](command, tmp_path)


def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy(tmp_path / "noisy.wav")
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    before, _ = soundfile.read("noisy.wav")
    after, _ = soundfile.read("clean.wav")
    assert before.shape == after.shape and np.isfinite(after).all() and np.abs(after).max() > 0


def test_make_read_serves_the_book(site: Path) -> None:
    import serve

    server = serve.serve(0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://localhost:{server.server_port}/book/index.html"
    try:
        request = urllib.request.Request(address, headers={"Range": "bytes=0-99"})
        with urllib.request.urlopen(address) as whole, urllib.request.urlopen(request) as part:
            page = whole.read()
            assert b"<h1>" in page and part.status == 206 and part.read() == page[:100]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_make_read_prints_the_address(site: Path) -> None:
    command = [sys.executable, "-u", str(ROOT / "scripts" / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert re.search(r"http://localhost:\d+/", process.stdout.readline())
        finally:
            process.terminate()
