"""The shifted process in one dimension: what its explorable has to read out, from closed forms.

Chapter: 7 The shifted SDE and its perturbation kernel.

The noisy value is y = 0.6.  One clean value fits it, r = x0 − y = −1.2, or a second one does too,
r = 0.4, three times out of ten.  The values have no spread, so each kernel is one Gaussian.
"""

from __future__ import annotations

import torch

from edmse_lite.processes import SDE

Y = 0.6
"""The noisy value, in units of the picture."""

RESIDUALS, WEIGHTS = (-1.2, 0.4), (0.7, 0.3)
"""r of the two clean values, and their probabilities."""


def moments(sde: SDE, t: float) -> tuple[float, float]:
    """Return mean and spread of x_t, from the clean value −0.6: s x0 + (1 − s) y and s σ.

    Args:
        sde: the schedule.
        t: diffusion time in [0, 1].

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    y = torch.tensor(Y, dtype=torch.float64)
    mean, std = sde.kernel(y + RESIDUALS[0], y, t)
    return float(mean), float(std)


def share_of_first(sde: SDE, nodes: int = 2001) -> float:
    """Return how many backward walks from y + s(1) σ(1) ε end at the likelier of two clean values.

    A backward walk ends at a clean value with the probability that this value has once x̃_1 is
    known.  So the share is that probability, by Bayes' rule, averaged over x̃_1 ~ N(0, σ(1)²); a
    start from the process itself would give 0.7.  The average is a sum over a fine grid.

    Args:
        sde: the schedule; only σ(1) matters.
        nodes: of the grid, over ± 9 spreads.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    z = torch.linspace(-9, 9, nodes, dtype=torch.float64)
    r = torch.tensor(RESIDUALS, dtype=torch.float64) / sde.sigma_1  # in units of σ(1)
    log_prior = torch.tensor(WEIGHTS, dtype=torch.float64).log()
    first = torch.softmax(log_prior - 0.5 * (z[:, None] - r).square(), dim=1)[:, 0]
    weight = torch.exp(-0.5 * z.square())
    return float((weight * first).sum() / weight.sum())
