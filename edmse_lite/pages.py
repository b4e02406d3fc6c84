"""What a notebook page needs: sound at one loudness, predictions, claims, sentences with numbers.

Chapter: 1 A noisy recording, enhanced.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .intervals import Interval, minus, verdict
from .spectrograms import SAMPLE_RATE
from .widgets import Explorable

TARGET_LEVEL = -23.0
"""Active level that clips are brought to, dB re a full-scale constant."""

PEAK = 0.95
"""Largest sample of a clip on a page."""


def active_level(wave: Tensor) -> float:
    """Level of the active parts of a waveform, dB: pauses do not count.

    Blocks of 400 ms every 100 ms; those more than 10 dB below the mean of all are left out, as the
    relative gate of ITU-R BS.1770-4 does (without its K weighting, so this is a level, not LUFS).

    Args:
        wave: waveform at 16 kHz, shape (T,), full scale is 1.

    Returns:
        10 log10 of the mean square of the active blocks; -inf for silence.

    Chapter: 1 A noisy recording, enhanced.
    """
    size, hop = 2 * SAMPLE_RATE // 5, SAMPLE_RATE // 10
    wave = wave.double()
    if len(wave) < size:
        wave = torch.nn.functional.pad(wave, (0, size - len(wave)))
    power = wave.unfold(0, size, hop).square().mean(dim=1)  # (blocks,)
    active = power[power >= 0.1 * power.mean()]
    return float(10 * active.mean().log10())


def match_loudness(waves: Sequence[Tensor]) -> list[Tensor]:
    """Bring waveforms to one active level, so that the louder one does not win by being louder.

    All get the level of -23 dB, or less where a peak would pass 0.95: then all get less alike.

    Args:
        waves: waveforms at 16 kHz, shapes (T_i,). Silent ones stay as they are.

    Returns:
        Waveforms of the same shapes.

    Chapter: 1 A noisy recording, enhanced.
    """
    levels = [active_level(wave) for wave in waves]
    gains = [10 ** ((TARGET_LEVEL - lv) / 20) if lv > -100 else 1.0 for lv in levels]
    scaled = [gain * wave for gain, wave in zip(gains, waves, strict=True)]
    peak = max((float(wave.abs().max()) for wave in scaled if len(wave)), default=0.0)
    return [wave * min(1.0, PEAK / max(peak, 1e-9)) for wave in scaled]


def data_uri(wave: Tensor, form: str = "MP3") -> str:
    """Audio as a ``data:`` address that a page can hold.

    Args:
        wave: waveform at 16 kHz, shape (T,), within ±1.
        form: ``MP3`` (plays everywhere, about 5 KB a second) or ``WAV`` (exact, 32 KB a second).

    Raises:
        ValueError: if the waveform is not 1-D, is not finite, or clips.

    Chapter: 1 A noisy recording, enhanced.
    """
    import soundfile

    if wave.ndim != 1 or not wave.isfinite().all() or float(wave.abs().max()) > 1:
        raise ValueError(
            f"expected one channel of finite samples within ±1, found shape {tuple(wave.shape)} "
            f"and peak {float(wave.abs().max()):.2f}: pass it through match_loudness first"
        )
    kind = {"MP3": "audio/mpeg", "WAV": "audio/wav"}[form]
    file = io.BytesIO()
    soundfile.write(file, wave.numpy(), SAMPLE_RATE, format=form)
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True)
class Sound:
    """One clip of a player.

    Args:
        label: on its button, short.
        wave: waveform at 16 kHz, shape (T,).
        heard: one sentence on what is heard.

    Chapter: 1 A noisy recording, enhanced.
    """

    label: str
    wave: Tensor
    heard: str


def clip(label: str, wave: Tensor, transcript: str, heard: str = "", form: str = "MP3") -> dict:
    """Describe one clip as the explorables read it: label, src, transcript, heard.

    Args:
        label: short name.
        wave: waveform at 16 kHz, shape (T,), within ±1; used as it is.
        transcript: what is said.
        heard: one sentence on what is heard.
        form: see :func:`data_uri`.

    Chapter: 1 A noisy recording, enhanced.
    """
    return {"label": label, "src": data_uri(wave, form), "transcript": transcript, "heard": heard}


def explorable(name: str, title: str, **options: Any) -> Explorable:
    """Explorable with a title; a reader without JavaScript gets its tasks as a list.

    Args:
        name: module in ``edmse_lite/explorables``.
        title: name on the page.
        options: what the module reads; ``tasks`` is a list of sentences.

    Raises:
        ValueError: if there is no such module.

    Chapter: 2 The complex spectrogram as data.
    """
    tasks = "".join(f"<li>{html.escape(task)}</li>" for task in options.get("tasks", ()))
    head = f"<p><strong>{html.escape(title)}</strong> (it moves with JavaScript)</p>"
    return Explorable(name, {"title": title, **options}, f"{head}<ol>{tasks}</ol>")


def player(title: str, sounds: Sequence[Sound], transcript: str, note: str = "") -> Explorable:
    """Player that switches between clips at the same moment; clips are loudness-matched.

    Args:
        title: name of the player.
        sounds: clips, one for each button.
        transcript: what is said; every clip of one player says the same, or the text tells them
            apart.
        note: for example that headphones help.

    Chapter: 1 A noisy recording, enhanced.
    """
    waves = match_loudness([sound.wave.detach().cpu().float() for sound in sounds])
    clips = [
        clip(s.label, wave, transcript, s.heard) for s, wave in zip(sounds, waves, strict=True)
    ]
    options = {"title": title, "clips": clips, **({"note": note} if note else {})}
    plain = [
        f"<p>{html.escape(each['label'])}. {html.escape(each['heard'])}<br>"
        f'<audio controls preload="none" aria-label="{html.escape(each["label"])}" '
        f'src="{each["src"]}"></audio></p>'
        for each in clips
    ]
    words = f"<p>Transcript: “{html.escape(transcript)}”</p>"
    head = f"<p><strong>{html.escape(title)}</strong></p>"
    return Explorable("player", options, head + "".join(plain) + words)


def predict(key: str, question: str, choices: Sequence[tuple[str, str]], right: int) -> Explorable:
    """Prediction to commit to before the page gives the answer; it stays in the reader's browser.

    Args:
        key: name of the stored answer, unique in the book.
        question: the question.
        choices: pairs of a choice and what to say to those who chose it.
        right: index of the right choice.

    Raises:
        ValueError: if `right` is no index of `choices`.

    Chapter: 1 A noisy recording, enhanced.
    """
    if not 0 <= right < len(choices):
        raise ValueError(f"right={right} is no index of {len(choices)} choices")
    listed = [
        {"text": text, "feedback": feedback, "correct": index == right}
        for index, (text, feedback) in enumerate(choices)
    ]
    options = {"key": key, "question": question, "choices": listed}
    items = "".join(f"<li>{html.escape(text)}</li>" for text, _ in choices)
    answer = html.escape(f"{choices[right][0]}: {choices[right][1]}")
    plain = (
        f"<p><strong>{html.escape(question)}</strong></p><ul>{items}</ul>"
        f"<details><summary>Answer</summary><p>{answer}</p></details>"
    )
    return Explorable("predict", options, plain, answers=("answer",))


@dataclass(frozen=True)
class Text:
    """Markdown that a cell shows: sentences and tables whose numbers come from the run.

    Chapter: 1 A noisy recording, enhanced.
    """

    markdown: str

    def _repr_markdown_(self) -> str:
        return self.markdown


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Text:
    """Markdown table; its first column names the rows.

    Args:
        header: one title for each column.
        rows: cells, shown by ``str``.

    Chapter: 1 A noisy recording, enhanced.
    """
    lines = [header, [":--"] + ["--:"] * (len(header) - 1), *rows]
    cells = [[_typeset(str(cell)) for cell in line] for line in lines]
    return Text("\n".join("| " + " | ".join(line) + " |" for line in cells))


def _typeset(cell: str) -> str:
    """Write a minus sign, and keep an interval's ends on one line where a column is narrow."""
    cell = cell if "$" in cell or "`" in cell else minus(cell)
    return cell.replace(", ", ",\u00a0") if cell.endswith("]") else cell


@dataclass(frozen=True)
class Claim:
    """A claim as a card: what was expected, how it was run, what came out, and the verdict.

    Args:
        hypothesis: the sentence that the run may contradict.
        unit: unit of effect and margin.
        margin: smallest difference that matters, stated before the run.
        effect: paired interval of "this minus that".
        seeds: number of seeds.
        command: what runs it again.
        minutes: how long that takes on two CPU cores.
        clusters: what the interval's clusters are.
        higher_is_better: direction of the score.
        sample: what the interval is over, where it is not clips.

    Chapter: 1 A noisy recording, enhanced.
    """

    hypothesis: str
    unit: str
    margin: float
    effect: Interval
    seeds: int
    command: str
    minutes: float
    clusters: str = "noise recordings"
    higher_is_better: bool = True
    sample: str = ""

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``equivalent`` or ``inconclusive at this scale``."""
        found = verdict(self.effect, self.margin, higher_is_better=self.higher_is_better)
        return "inconclusive at this scale" if found == "inconclusive" else found

    def _repr_markdown_(self) -> str:
        effect = self.effect
        clips = f"{effect.n} clips × {self.seeds} seeds, {effect.clusters} {self.clusters}"
        size = self.sample or clips
        minutes = f"{self.minutes:.0f}" if self.minutes >= 10 else f"{self.minutes:.2g}"
        lines = [
            f"**Claim.** {self.hypothesis}",
            f"Margin, set before the run: {self.margin:g} {self.unit}",
            f"Command: `{self.command}`, about {minutes} min on 2 CPU cores",
            f"Effect and 95 % interval: {effect} {self.unit} ({size})",
            f"Verdict: **{self.verdict}**",
        ]
        return "\n".join(f"- {line}" for line in lines)  # a list reflows on a phone
