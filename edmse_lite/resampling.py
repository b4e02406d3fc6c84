"""Resampling is torchaudio's, also where its compiled part does not fit the torch beside it.

torchaudio's Linux wheel is built for CUDA: next to a CPU build of torch its import stops at a
missing library.  Only the Python parts are needed here, so a stand-in says "not compiled" then.

Chapter: 1 A noisy recording, enhanced.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def torchaudio() -> ModuleType:
    """Return torchaudio, its functional and transforms loaded, compiled part or not.

    Raises:
        ModuleNotFoundError: torchaudio is not installed.

    Chapter: 1 A noisy recording, enhanced.
    """
    try:
        importlib.import_module("torchaudio")
    except OSError:  # libc10_cuda.so and the like
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _not_compiled()
    importlib.import_module("torchaudio.functional")
    importlib.import_module("torchaudio.transforms")
    return sys.modules["torchaudio"]


def _not_compiled() -> ModuleType:
    """Stand in for torchaudio._extension where its library cannot be loaded."""

    def fail_if_no_align(function: object) -> object:
        return function

    module = ModuleType("torchaudio._extension")
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = fail_if_no_align
    return module
