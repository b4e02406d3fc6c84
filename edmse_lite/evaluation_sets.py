"""The fixed evaluation sets: the same mixtures on every machine.

Chapter: 2 (The complex spectrogram as data); the data card lists them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from .augmentation import looped
from .corpora import Clip, Corpus, Pair
from .mixing import mix
from .spectrograms import SAMPLE_RATE

EVALUATION_SETS = {
    "matched": ("test", "test"),
    "unseen-noise": ("test", "test-unseen"),
    "unseen-voice": ("test-unseen", "test"),
    "unseen": ("test-unseen", "test-unseen"),
    "valid": ("valid", "valid"),
}
"""Name of a set: split of its speech, split of its noise. ``valid`` is for training decisions."""


def evaluation_set(name: str, size: int = 48, seconds: float = 4.0) -> tuple[Pair, ...]:
    """One of the fixed evaluation sets: the same mixtures on every machine.

    Mixture SNR cycles through 0, 5 and 10 dB; voices and noise types take turns. Short prompts of
    one voice are joined with pauses of 0.25 ... 0.5 s.

    Args:
        name: ``matched``, ``unseen-noise``, ``unseen-voice``, ``unseen``, or ``valid``.
        size: number of pairs.
        seconds: length of each, s.

    Returns:
        Pairs.

    Raises:
        ValueError: if there is no set of that name.

    Chapter: 2; the data card.
    """
    return _make_set(name, size, seconds, whole=False)


def whole_prompts(name: str, size: int = 48, seconds: float = 4.0) -> tuple[Pair, ...]:
    """The pairs of an evaluation set with the last prompt whole, for word error rates.

    The same prompts, noise recording, start and mixture SNR as in :func:`evaluation_set`, but a
    clip ends where its transcript ends, so it has at least `seconds`; the SNR is that of the
    whole clip. Cut words would count as errors of the system.

    Args:
        name, size, seconds: as for :func:`evaluation_set`; it raises the same.

    Chapter: 3 Judging an enhancement.
    """
    return _make_set(name, size, seconds, whole=True)


@lru_cache(maxsize=8)
def _make_set(name: str, size: int, seconds: float, whole: bool) -> tuple[Pair, ...]:
    if name not in EVALUATION_SETS:
        raise ValueError(f"no evaluation set {name!r}; there are {', '.join(EVALUATION_SETS)}")
    speech_split, noise_split = EVALUATION_SETS[name]
    corpus = Corpus.bundled()
    speech = _by_label(corpus.where(kind="speech", split=speech_split))
    noises = _by_label(corpus.where(kind="noise", split=noise_split))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    samples = round(seconds * SAMPLE_RATE)
    read = cache(Clip.audio)  # a recording that many pairs share is decoded once
    return tuple(
        _evaluation_pair(name, i, speech, noises, samples, rng, read, whole) for i in range(size)
    )


def _evaluation_pair(
    name: str,
    index: int,
    speech: list[list[Clip]],
    noises: list[list[Clip]],
    samples: int,
    rng: np.random.Generator,
    read: Callable[[Clip], Tensor],
    whole: bool,
) -> Pair:
    turn, rank = divmod(index, 3)
    snr = (0.0, 5.0, 10.0)[rank]
    cycle, noise_type = divmod(turn, len(noises))  # every SNR meets every noise type
    clean, texts, voice = _join_prompts(speech[(turn + cycle + rank) % len(speech)], samples, rng)
    recordings = noises[noise_type]
    clip = recordings[(3 * cycle + rank) % len(recordings)]
    noise = looped(read(clip), samples)
    start = int(rng.integers(0, len(noise) - samples + 1))
    length = len(clean) if whole else samples
    clean, noise = clean[:length], looped(noise, start + length)
    noisy = mix(clean, noise[start : start + length], snr)
    peak = float(noisy.abs().max())
    gain = min(1.0, 0.99 / peak)  # the pair as a 16-bit file would hold it: never clipped
    return Pair(
        f"{name}-{index:02d}", gain * clean, gain * noisy, snr, voice.label, clip.label,
        clip.path.stem, " ".join(texts), voice.language, whole,
    )


def _join_prompts(
    clips: list[Clip], samples: int, rng: np.random.Generator
) -> tuple[Tensor, list[str], Clip]:
    first = clips[int(rng.integers(len(clips)))]
    same = [clip for clip in clips if clip.language == first.language]
    wave, texts, clip = torch.zeros(0), [], first
    while len(wave) < samples:
        pause = torch.zeros(round(float(rng.uniform(0.25, 0.5)) * SAMPLE_RATE))
        wave = torch.cat([wave, clip.audio(), pause])
        texts.append(clip.text)
        clip = same[int(rng.integers(len(same)))]
    return wave, texts, first


def _by_label(corpus: Corpus) -> list[list[Clip]]:
    labels = sorted({clip.label for clip in corpus})
    return [list(corpus.where(label=label)) for label in labels]
