"""Three models of listeners: PESQ, ESTOI and DNSMOS, each with its conditions made explicit.

The packages that compute them fail in many ways on silence, NaN and short or long clips; here each
such case is one ``ValueError`` that names the mend.

Chapter: 3 Judging an enhancement
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .signals import Audio, checked_pair, checked_wave, refuse_silence
from .spectrograms import SAMPLE_RATE

PESQ_LIMITS = (SAMPLE_RATE // 4, 20 * SAMPLE_RATE)  # samples
DNSMOS_SECONDS = 9.01  # the length of the model's input


def pesq(clean: Audio, estimate: Audio) -> float:
    """Wide-band PESQ as MOS-LQO, ITU-T P.862.2, by the package ``pesq``.

    The raw score r is mapped by 0.999 + 4 / (1 + exp(3.8224 − 1.3669 r)); equal signals have
    r = 4.5, hence 4.64. It aligns levels and delays, so it hears neither. Swapped arguments give
    another value, mostly a slightly higher one, and PESQ alone cannot tell: see `looks_swapped`.

    Args:
        clean: reference, shape (samples,), 0.25 … 20 s. Above 20 s the package may hold more
            utterances than its buffer has room for (50), and crash the process.
        estimate: estimate, shape (samples,).

    Raises:
        ValueError: silence, no utterance found, wrong duration, other lengths, NaN.

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_pair(clean, estimate)
    refuse_silence(y, "PESQ")
    shortest, longest = PESQ_LIMITS
    if not shortest <= x.size <= longest:
        raise ValueError(
            f"PESQ needs 0.25 … 20 s of audio, found {x.size / SAMPLE_RATE:.2f} s: "
            "score pieces of 4 … 20 s"
        )
    import pesq as package

    try:
        return float(package.pesq(SAMPLE_RATE, x, y, "wb"))
    except package.NoUtterancesError:
        raise ValueError("PESQ found no utterance in clean: pass a clip with speech") from None
    except (package.PesqError, ValueError) as error:
        raise ValueError(f"PESQ failed ({error}): listen to clean and estimate") from None


def estoi(clean: Audio, estimate: Audio) -> float:
    """Extended short-time objective intelligibility, by the package ``pystoi``.

    The mean over 384 ms segments of the correlation between the band envelopes (15 third-octave
    bands from 150 Hz, at 10 kHz), normalised in rows and columns (Jensen and Taal 2016).

    Args:
        clean: reference, shape (samples,), at least 0.4 s of speech once pauses are cut out.
        estimate: estimate, shape (samples,).

    Raises:
        ValueError: silence, too little speech, other lengths, NaN.

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_pair(clean, estimate)
    refuse_silence(y, "ESTOI")
    from pystoi import stoi

    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # it adds noise of a fixed, tiny level
    state = np.random.get_state()
    np.random.seed(0)  # ... from numpy's global generator: hold it still, then give it back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return float(stoi(x, y, SAMPLE_RATE, extended=True))
    except (RuntimeWarning, ValueError, IndexError):  # too few frames
        raise ValueError(
            "ESTOI needs 0.4 s of speech once its pauses are cut out, found less in "
            f"{x.size / SAMPLE_RATE:.2f} s: pass a longer clip"
        ) from None
    finally:
        np.random.set_state(state)


class DNSMOS(NamedTuple):
    """Three mean opinion scores, 1 … 5. Chapter: 3 Judging an enhancement."""

    ovrl: float
    sig: float
    bak: float


@cache
def _dnsmos_model(threads: int) -> Any:
    from importlib.util import find_spec
    from pathlib import Path

    package = find_spec("speechmos")
    if find_spec("onnxruntime") is None or package is None:
        raise ModuleNotFoundError(
            "DNSMOS needs speechmos and onnxruntime: "
            'install the extra with pip install "edmse-lite[dnsmos]"'
        )
    import onnxruntime

    path = Path(package.submodule_search_locations[0], "dnsmos_models", "sig_bak_ovr.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _dnsmos_windows(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows that Microsoft's script scores, each distinct one once, (W, 144160), and counts.

    A short clip is appended to itself until it fills a window; windows start every second.
    """
    span = int(DNSMOS_SECONDS * SAMPLE_RATE)
    copies = 1
    while copies * wave.size < span:
        copies *= 2
    long = np.tile(wave, copies)
    hops = int(long.size // SAMPLE_RATE - DNSMOS_SECONDS) + 1
    ends = [int((i + DNSMOS_SECONDS) * SAMPLE_RATE) for i in range(hops)]
    full = [end - span for i, end in enumerate(ends) if end - span == i * SAMPLE_RATE]
    starts, counts = np.unique(np.array(full) % wave.size, return_counts=True)  # long is periodic
    return np.stack([long[start : start + span] for start in starts]), counts


def dnsmos(estimate: Audio, *, max_windows: int | None = None, threads: int = 1) -> DNSMOS:
    """DNSMOS P.835 (overall, speech, background): a network's guess of a listening panel's scores.

    It needs no clean signal. As in Microsoft's script, which the package ``speechmos`` follows, a
    clip under 9.01 s is appended to itself (doubled) until it is long enough, 9.01 s windows start
    at every second, and their scores are averaged (rounding there drops the windows that start at
    7 … 23 s; the same here). Windows that repeat are computed once: same score, less time. The
    score depends on the level: compare systems at the same level.

    Args:
        estimate: audio, shape (samples,).
        max_windows: score only this many distinct windows, the first ones; None: all, as the
            script. One window of a 4 s clip takes a quarter of the time.
        threads: threads of the network.

    Raises:
        ValueError: silence or NaN (the network would score silence, with 1.9 overall).
        ModuleNotFoundError: ``speechmos`` or ``onnxruntime`` is missing.

    Chapter: 3 Judging an enhancement
    """
    wave = checked_wave(estimate, "estimate")
    refuse_silence(wave, "DNSMOS")
    windows, counts = _dnsmos_windows(wave.astype(np.float32))
    windows, counts = windows[:max_windows], counts[:max_windows]
    model = _dnsmos_model(threads)
    raw = np.concatenate([model.run(None, {"input_1": w[None]})[0] for w in windows])  # (W, 3)
    sig, bak, ovrl = raw.astype(np.float64).T
    sig = np.polyval((-0.08397278, 1.22083953, 0.0052439), sig)  # fits of the P.835 scores,
    bak = np.polyval((-0.13166888, 1.60915514, -0.39604546), bak)  # from Microsoft's script
    ovrl = np.polyval((-0.06766283, 1.11546468, 0.04602535), ovrl)
    return DNSMOS(*(float(np.average(score, weights=counts)) for score in (ovrl, sig, bak)))
