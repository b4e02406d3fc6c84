"""Speed, memory and size of the compact model on two CPU cores, each beside its limit.

Prints a table and ends with the exit code 1 if a limit is passed. `--quick` leaves out the file of
one hour, which takes most of the time. Run it on a machine that does nothing else.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = 2
os.environ.setdefault("OMP_NUM_THREADS", str(CORES))

IMPORT = """
import time, torch
start = time.perf_counter()
import edmse_lite
print(time.perf_counter() - start)
"""
ENHANCE = """
import resource, sys
from edmse_lite.enhancement import Enhancer, enhance_file
from edmse_lite.samplers import EDM
enhancer = Enhancer.from_pretrained(sys.argv[1], EDM(steps=1), "cpu")
enhance_file(enhancer, sys.argv[2], sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # KB to MB
"""


@dataclass(frozen=True)
class Line:
    """A measurement beside its limit, both in one unit."""

    what: str
    found: float
    limit: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; NaN is not."""
        return self.found <= self.limit

    def __str__(self) -> str:
        word = "pass" if self.passed else "FAIL"
        return f"{self.what:58} {self.found:9.3f} {self.limit:9.3f} {self.unit:8} {word}"


def recording(seconds: float):
    """Real noisy speech of so many seconds, shape (T,): the evaluation set *matched* in a row."""
    import torch

    from edmse_lite.evaluation_sets import evaluation_set

    samples = round(seconds * 16_000)
    clips = [pair.noisy for pair in evaluation_set("matched", 12)]
    return torch.cat(clips).repeat(math.ceil(samples / (12 * 64_000)))[:samples]


@contextmanager
def timed_calls(network) -> Iterator[list[float]]:
    """Collect how long each call of a network takes, s."""
    starts, spent = [], []
    hooks = [
        network.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter())),
        network.register_forward_hook(lambda *_: spent.append(time.perf_counter() - starts[-1])),
    ]
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()


def speed(model: str, runs: int = 5, seconds: float = 10.0) -> list[Line]:
    """Real-time factors, and the whole time over that of the network's calls."""
    import torch

    from edmse_lite.enhancement import Enhancer
    from edmse_lite.samplers import EDM

    enhancer = Enhancer.from_pretrained(model, EDM(steps=8), "cpu")
    default = Enhancer.from_pretrained(model, device="cpu")
    if {p.dtype for p in enhancer.denoiser.network.parameters()} != {torch.float32}:
        raise RuntimeError("the network does not compute in float32, which the limit is for")
    noisy, whole, usual, shares = recording(seconds), [], [], []
    for run in range(runs + 1):
        with timed_calls(enhancer.denoiser.network) as calls:
            start = time.perf_counter()
            enhancer(noisy, 16_000)
            spent = time.perf_counter() - start
        if run:  # the first run warms up
            whole.append(spent / seconds)
            shares.append(spent / sum(calls))
        start = time.perf_counter()
        default(noisy, 16_000)
        if run:
            usual.append((time.perf_counter() - start) / seconds)
    return [
        Line("real-time factor, EDM 8 steps, float32", statistics.median(whole), 0.35),
        Line("real-time factor, the default", statistics.median(usual), 0.35),
        Line("whole enhancement over its network calls", statistics.median(shares), 1.1),
    ]


def size(model: str, seconds: float = 10.0) -> list[Line]:
    """Parameters, and FLOPs of one evaluation per second of audio (batch 1, a MAC is 2 FLOPs)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from edmse_lite import checkpoints

    found = checkpoints.load(model)
    y = found.spectrogram.forward(recording(seconds)[None])
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        found.model(y, y, 0.5)
    parameters = sum(p.numel() for p in found.model.network.parameters())
    flops = counter.get_total_flops() / seconds
    return [
        Line("parameters", parameters / 1e6, 1.25, "million"),
        Line("one evaluation of one second of audio", flops / 1e9, 2.1, "GFLOP"),
    ]


def python(code: str, *arguments: str) -> float:
    """Run code in a fresh Python and return the number that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def imports(runs: int = 5) -> list[Line]:
    """Time of `import edmse_lite` once torch is there."""
    found = statistics.median(python(IMPORT) for _ in range(runs))
    return [Line("import edmse_lite, over import torch", found, 0.3, "s")]


def memory(model: str, lengths: tuple[float, float] = (60.0, 3_600.0)) -> list[Line]:
    """Peak memory of a file of one hour over that of one minute, one step each."""
    import soundfile

    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.wav"), Path(folder, "clean.wav")
        for seconds in lengths:
            soundfile.write(source, recording(seconds).numpy(), 16_000)
            start = time.perf_counter()
            peaks.append(python(ENHANCE, model, str(source), str(target)))
            spent = time.perf_counter() - start
            if soundfile.info(target).frames != round(seconds * 16_000):
                raise RuntimeError(f"a file of {seconds:g} s came out with another length")
            print(f"{seconds:g} s of audio: {peaks[-1]:.0f} MB, {spent:.0f} s", file=sys.stderr)
    return [Line("peak memory of one hour over one minute", peaks[1] - peaks[0], 200.0, "MB")]


def take_cores() -> None:
    """Stay on two cores; say so where there are fewer."""
    import torch

    torch.set_num_threads(CORES)
    if hasattr(os, "sched_setaffinity"):
        free = sorted(os.sched_getaffinity(0))
        if len(free) < CORES:
            print(f"only {len(free)} core is free: the limits are those of two", file=sys.stderr)
        os.sched_setaffinity(0, free[:CORES])


def main() -> int:
    """Measure, print, and return 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="compact", help="name or folder of a checkpoint")
    parser.add_argument("--quick", action="store_true", help="leave the file of one hour out")
    args = parser.parse_args()
    take_cores()
    lines = [*size(args.model), *imports(), *speed(args.model)]
    lines += [] if args.quick else memory(args.model)
    print(f"{'what, on 2 CPU cores':58} {'found':>9} {'limit':>9} {'unit':8}")
    print(*lines, sep="\n")
    broken = [line.what for line in lines if not line.passed]
    if broken:
        print(f"\nover the limit: {'; '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
