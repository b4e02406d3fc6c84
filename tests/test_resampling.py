"""torchaudio loads next to any torch."""

import subprocess
import sys

import torch

BROKEN = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            raise OSError("libc10_cuda.so: cannot open shared object file")

for name in [name for name in sys.modules if name.startswith("torchaudio")]:
    del sys.modules[name]
sys.meta_path.insert(0, Broken())
"""
USE = """
import torch
from edmse_lite.resampling import torchaudio
resample = torchaudio().functional.resample
assert torchaudio() is torchaudio() and torchaudio().transforms.Resample
print(float(resample(torch.sin(torch.arange(4800) / 40.0), 48000, 16000)[400]))
"""


def test_resampling_does_not_need_the_compiled_part() -> None:
    values = []
    for code in (USE, BROKEN + USE):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        values.append(float(result.stdout))
    assert values[0] == values[1]
    expected = torch.sin(torch.tensor(1200 / 40.0))
    torch.testing.assert_close(torch.tensor(values[0]), expected, atol=1e-3, rtol=0)
