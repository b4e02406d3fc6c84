"""What is left of the drift towards y, as claims with margins: each is one function, repeated.

Chapter: 7 The shifted SDE and its perturbation kernel.

``python -m edmse_lite.remains NAME`` runs one again.  Denoisers are exact, or tiny models that are
compared with the exact one, so an effect is the sampler's or the training's, never luck.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from edmse_lite.drift import (
    limited_model_errors,
    nodes_errors,
    over_seeds,
    rms,
    share_near_mu,
    two_answers,
)
from edmse_lite.pages import Claim
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.processes import SDE
from edmse_lite.sdes import OUVE, VE, Cosine, RichterOUVE

SEEDS = 5
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Levels at which :func:`model_error` looks, in units of the compressed spectrogram."""


def _card(
    name: str,
    hypothesis: str,
    unit: str,
    margin: float,
    scores: tuple[Callable[[int], float], Callable[[int], float]],
    sample: str,
) -> Claim:
    """Return the card of "first minus second", where less is better."""
    return Claim(
        hypothesis, unit, margin, over_seeds(*scores, SEEDS), SEEDS,
        f"python -m edmse_lite.remains {name}", 0.1, higher_is_better=False,
        sample=f"{SEEDS} seeds of {sample}, paired",
    )  # fmt: skip


def steps() -> Claim:
    """Claim that a drift changes which answers steps in t reach.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    denoiser, y = two_answers(), torch.full((2000,), 0.3 + 0.1j, dtype=torch.complex128)

    def share(stiffness: float) -> Callable[[int], float]:
        return lambda seed: 100 * share_near_mu(denoiser, OUVE(stiffness), y, seed=seed)[0]

    hypothesis = (
        "The drift changes which answers 64 steps in t and x_t reach (share of the likelier one, "
        "stiffness 1.5 minus 0, same σ(t))"
    )
    scores = share(1.5), share(0.0)
    return _card("steps", hypothesis, "percentage points", 1.0, scores, "2,000 draws")


def largest_level() -> Claim:
    """Claim that a larger σ(1) makes the share of the likelier answer more exact.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    denoiser, y = two_answers(), torch.full((2000,), 0.3 + 0.1j, dtype=torch.complex128)

    def off(top: float) -> Callable[[int], float]:
        sde = VE(0.01, (top**2 + 0.01**2) ** 0.5)
        return lambda seed: 100 * abs(share_near_mu(denoiser, sde, y, seed=seed)[0] - 0.7)

    hypothesis = (
        "σ(1) = 1.7 brings the share of the likelier answer closer to its true 70 % than σ(1) = 0.1"
    )
    scores = off(1.7), off(0.1)
    return _card("largest_level", hypothesis, "percentage points", 1.0, scores, "2,000 draws")


def nodes() -> Claim:
    """Claim that the levels of the cosine schedule suit few steps better than OUVE's.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    denoiser, y = two_answers(), torch.full((300,), 0.3 + 0.1j, dtype=torch.complex128)
    unit = rms(denoiser.sample(y, torch.Generator().manual_seed(0)))

    def error(sde: SDE) -> Callable[[int], float]:
        def run(seed: int) -> float:
            errors = nodes_errors(denoiser, {"": sde}, y, OUVE().sigma_1, (16,), seed)
            return 100 * errors[""][0] / unit

        return run

    hypothesis = "16 steps, equal in t, of the cosine schedule are more exact than those of OUVE"
    scores = error(Cosine()), error(OUVE())
    return _card("nodes", hypothesis, "% of the rms of r", 1.0, scores, "300 draws")


def training(level: float = 1.0) -> Claim:
    """Claim about a small model's error at one level after training on Richter's or OUVE's levels.

    Args:
        level: σ at which to look.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """

    def error(sde: SDE) -> Callable[[int], float]:
        def run(seed: int) -> float:
            at = torch.tensor([level], dtype=torch.float64)
            return 100 * limited_model_errors(sde, at, draws=5000, seed=seed)[0]

        return run

    more = "more" if level > 0.5 else "less"
    hypothesis = f"Richter's levels make the small model {more} exact at σ = {level:g} than OUVE's"
    scores = error(RichterOUVE()), error(OUVE())
    unit = "% of the spread of r given y"
    return _card(f"training {level:g}", hypothesis, unit, 1.0, scores, "5,000 draws")


def model_error(chosen: Preconditioning, stiffness: float, seed: int = 0) -> float:
    """Return the error of the small model over :data:`LEVELS`, % of the spread of r given y.

    Args:
        chosen: preconditioning, which decides what the model is fed.
        stiffness: γ of the OUVE whose σ(t) does not contain it.
        seed: of the training examples.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    at = torch.tensor(LEVELS, dtype=torch.float64)
    errors = limited_model_errors(OUVE(stiffness), at, chosen, seed=seed)
    return 100 * rms(torch.tensor(errors))


def fed(name: str = "edm") -> Claim:
    """Claim that stiffness changes a trained model, for one of two inputs.

    Args:
        name: ``edm``, fed c_in x̃, or ``richter``, fed x_t.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    chosen = {"edm": Preconditioning.edm(), "richter": Preconditioning.richter()}[name]
    what = {"edm": "c_in x̃", "richter": "x_t, as in the original"}[name]
    hypothesis = f"Fed {what}, the model trained with stiffness 1.5 differs from that without drift"
    scores = (
        lambda seed: model_error(chosen, 1.5, seed),
        lambda seed: model_error(chosen, 0.0, seed),
    )
    unit = "% of the spread of r given y"
    return _card(f"fed {name}", hypothesis, unit, 1.0, scores, "20,000 draws")


if __name__ == "__main__":
    claims: dict[str, Callable[..., Claim]] = {
        "steps": steps, "largest_level": largest_level, "nodes": nodes,
        "training": lambda level="1": training(float(level)), "fed": fed,
    }  # fmt: skip
    if len(sys.argv) < 2 or sys.argv[1] not in claims:
        sys.exit(f"usage: python -m edmse_lite.remains {' | '.join(claims)} [value]")
    print(claims[sys.argv[1]](*sys.argv[2:])._repr_markdown_())
