"""Ten questions before the first chapter, each with a word on every choice and a refresher.

Chapter: Before you start.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .widgets import Explorable


@dataclass(frozen=True)
class Question:
    """One question of the self-test.

    Args:
        name: short and unique; the stored answer has it.
        text: the question.
        choices: pairs of a choice and what to say to those who chose it.
        right: index of the right choice.
        refresher: title of the refresher, whose anchor on the page is ``r-`` and the name.

    Raises:
        ValueError: if `right` is no index of `choices`, or a choice has no feedback.

    Chapter: Before you start.
    """

    name: str
    text: str
    choices: tuple[tuple[str, str], ...]
    right: int
    refresher: str

    def __post_init__(self) -> None:
        if not 0 <= self.right < len(self.choices):
            raise ValueError(f"{self.name}: right={self.right} is no index of the choices")
        if not all(feedback for _, feedback in self.choices):
            raise ValueError(f"{self.name}: every choice needs a sentence on it")

    @property
    def link(self) -> str:
        """Address of the refresher on the page."""
        return f"#r-{self.name}"


QUESTIONS = (
    Question(
        "complex-gaussian",
        "Diffusion noise ε is a complex Gaussian with mean 0 and E|ε|² = 1, alike in all "
        "directions. What is the variance of its real part?",
        (
            ("1", "Then |ε|², a sum of two squares, would have the mean 2."),
            ("1/2", "Real and imaginary part share the 1."),
            ("1/√2", "That is its standard deviation. The variance is the square of it."),
        ),
        1,
        "1 The complex Gaussian",
    ),
    Question(
        "score",
        "A complex Gaussian has the mean m, and E|x − m|² = v. What is its score at x, in the "
        "convention of this book?",
        (
            ("(m − x)/v", "It points to the mean, and has the same form for real x."),
            (
                "2 (m − x)/v",
                "That is what automatic differentiation returns: twice the score, for complex x.",
            ),
            ("(x − m)/v", "This points away from the mean. A score points to where p grows."),
        ),
        0,
        "2 The score",
    ),
    Question(
        "bayes",
        "You know that r has mean 0 and variance 1 (Gaussian). You see x = r + σε = 2, with σ = 1. "
        "What is the mean of r now?",
        (
            ("2", "The observation is noisy, and what was known before pulls the mean back."),
            ("0", "That was the mean before. The observation counts as much as the prior here."),
            ("1", "Prior and observation have the same variance: the mean lies half way."),
        ),
        2,
        "3 Bayes' rule for Gaussians",
    ),
    Question(
        "kl",
        "Two Gaussians of real numbers have the same standard deviation, and their means are one "
        "standard deviation apart. How large is the Kullback-Leibler divergence?",
        (
            ("1/2 nat", "It is d²/(2σ²). For complex numbers the 2 falls away."),
            ("1 nat", "So it would be for complex numbers. Real ones have a factor 1/2."),
            ("0, as the spreads are equal", "It compares whole densities; the means differ."),
        ),
        0,
        "4 The divergence of two Gaussians",
    ),
    Question(
        "root-dt",
        "A random walk makes n independent steps in one unit of time. At the end its variance "
        "is 1, for any n. How large is a typical step?",
        (
            ("1/n", "Then n variances of 1/n² would add up to 1/n: fine steps would not move it."),
            ("1", "Then n variances of 1 would add up to n."),
            ("1/√n", "Variances add up: n · 1/n = 1. This is the √Δ of every SDE here."),
        ),
        2,
        "5 The root of a time step",
    ),
    Question(
        "integrating-factor",
        "x starts at 1 and obeys dx/dt = −2 (x − 3). Where is it at t = 0.5? (1/e is about 0.37.)",
        (
            ("At 3", "It comes closer and closer to 3, and never arrives."),
            ("At about 2.26", "The distance to 3 was 2 and shrinks by the factor 1/e."),
            ("At about 0.37", "That would be the way to 0. Here the distance to 3 shrinks."),
        ),
        1,
        "6 The integrating factor",
    ),
    Question(
        "scaling",
        "x = y + s·x̃ with s = 1/2, and y is fixed. At some point the slope of log p(x̃) is −4. "
        "What is the slope of log p(x) at the point that belongs to it?",
        (
            ("−2", "The other way round: where x moves by 1, x̃ moves by 2."),
            ("−4", "y drops out, but s does not: a slope is per unit of x."),
            ("−8", "Slopes are divided by s. The factor 1/s of the density drops out."),
        ),
        2,
        "7 A shifted and scaled variable",
    ),
    Question(
        "overlap-add",
        "A signal is cut into frames that overlap by half. Each is multiplied by a window, "
        "transformed, transformed back, multiplied by the window again, and all are added. When "
        "does this give the signal back?",
        (
            ("If the windows add up to 1", "So it would be if the window were used only once."),
            ("If the squared windows add up to 1", "Each sample is weighted by their sum."),
            ("Always: the transform is exact", "Each frame is. But frames overlap and add up."),
        ),
        1,
        "8 STFT and overlap-add",
    ),
    Question(
        "decibel",
        "The environmental noise in a recording has a tenth of the energy of the speech. What is "
        "the mixture SNR?",
        (
            ("10 dB", "10 times the base-10 logarithm of the ratio of energies, which is 10."),
            ("20 dB", "The factor 20 is for amplitudes. Energies take the factor 10."),
            ("1 dB", "A decibel is a tenth of a factor of ten."),
        ),
        0,
        "9 Decibels",
    ),
    Question(
        "bootstrap",
        "On 24 clips a method gains 0.20 on average; the 95 % interval is −0.03 to 0.43. Gains "
        "below 0.05 do not matter to you. What may you say?",
        (
            (
                "It helps: the mean is above 0",
                "No gain at all is compatible with these clips, too.",
            ),
            ("It does not help", "A gain of 0.4 is compatible with these clips, too."),
            ("These clips do not decide it", "Both no gain and a clear gain lie in the interval."),
        ),
        2,
        "10 The bootstrap interval",
    ),
)
"""The ten questions, in the order of the refreshers."""


def ten_questions(questions: Sequence[Question] = QUESTIONS) -> Explorable:
    """Return the self-test; without JavaScript each question has a folded answer.

    Args:
        questions: what to ask, in this order.

    Chapter: Before you start.
    """
    listed = [{**asdict(each), "link": each.link} for each in questions]
    plain = []
    for number, each in enumerate(questions, 1):
        items = "".join(f"<li>{html.escape(text)}</li>" for text, _ in each.choices)
        answer = html.escape("{}: {}".format(*each.choices[each.right]))
        more = f'<a href="{each.link}">{html.escape(each.refresher)}</a>'
        plain.append(
            f"<p><strong>{number}. {html.escape(each.text)}</strong></p><ul>{items}</ul>"
            f"<details><summary>Answer</summary><p>{answer} {more}</p></details>"
        )
    options = {"key": "before-you-start", "title": "Ten questions", "questions": listed}
    return Explorable("selftest", options, "".join(plain), answers=("answers",))
