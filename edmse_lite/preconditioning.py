"""Preconditioning scales what the network sees and makes, so that neither depends on σ.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edmse_lite.processes import SDE, as_level

COLUMNS = ("edm", "richter", "predictive")
CHOICES = {
    "c_skip": COLUMNS,
    "c_out": COLUMNS,
    "c_in": COLUMNS,
    "c_shift": (*COLUMNS, "edm-scaled-shift"),
    "c_noise": COLUMNS,
    "weight": COLUMNS,
}


@dataclass(frozen=True)
class Coefficients:
    """The five numbers in D = c_skip x̃ + c_out F(c_in x̃ + c_shift y, y; c_noise).

    Chapter: 9 Preconditioning, c_shift and the choice of σ.
    """

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_shift: Tensor
    c_noise: Tensor


@dataclass(frozen=True)
class Preconditioning:
    """Scale what the network sees and makes, each coefficient chosen on its own.

    D(x̃; y, σ) = c_skip x̃ + c_out F(c_in x̃ + c_shift y, y; c_noise), trained with weight λ:

    ========  ====================  ===========================  ================
    name      ``"richter"``         ``"edm"``                    ``"predictive"``
    ========  ====================  ===========================  ================
    c_skip    1                     σ_d² / (σ² + σ_d²)           0
    c_out     −s σ² / t             σ σ_d / √(σ² + σ_d²)         σ_d
    c_in      s                     1 / √(σ² + σ_d²)             0
    c_shift   1                     0                            0
    c_noise   ln t                  ¼ ln σ                       0
    weight    1 / σ²                (σ² + σ_d²) / (σ σ_d)²       1 / σ_d²
    ========  ====================  ===========================  ================

    The predictive column sees neither x̃ nor σ: the same network as a discriminative model, whose
    first call is its answer.

    ``c_shift`` may also be ``"edm-scaled-shift"``, c_in / s: the input is then c_in x_t / s.
    Sources: Karras et al. 2022, table 1; Richter et al. 2023; Gonzalez et al. 2024, section III.

    Args:
        c_skip, c_out, c_in, c_shift, c_noise, weight: a column of the table, by name.
        sigma_data: σ_d, the root mean square of r = x0 − y in compressed STFT units (not of x0).

    Raises:
        ValueError: a choice that is not in the table, or ``sigma_data`` is no number above 0.

    Chapter: 9 Preconditioning, c_shift and the choice of σ.
    """

    c_skip: str = "edm"
    c_out: str = "edm"
    c_in: str = "edm"
    c_shift: str = "edm"
    c_noise: str = "edm"
    weight: str = "edm"
    sigma_data: float = 0.1

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            found = getattr(self, name)
            if found not in known:
                raise ValueError(f"{name}={found!r} is not known; choose one of {', '.join(known)}")
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(
                f"sigma_data={self.sigma_data} must be > 0; measure it as the rms of x0 - y"
            )

    @classmethod
    def edm(cls, sigma_data: float = 0.1, **choices: str) -> Preconditioning:
        """Return the EDM column; name single coefficients to mix, as ``c_shift="richter"``.

        Args:
            sigma_data: σ_d, rms of r, in compressed STFT units.
            choices: coefficients that are taken from another column.

        Raises:
            ValueError: an unknown choice.

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        return cls(sigma_data=sigma_data, **choices)

    @classmethod
    def richter(cls, sigma_data: float = 0.1, **choices: str) -> Preconditioning:
        """Return the column that equals SGMSE+: the score is −F(x_t, y; ln t) / t.

        Args:
            sigma_data: σ_d, used only where a choice is ``"edm"``.
            choices: coefficients that are taken from another column.

        Raises:
            ValueError: an unknown choice.

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        return cls(sigma_data=sigma_data, **(dict.fromkeys(CHOICES, "richter") | choices))

    @classmethod
    def predictive(cls, sigma_data: float = 0.1) -> Preconditioning:
        """Return the column that makes D = σ_d F(0, y; 0): a discriminative model of r.

        Args:
            sigma_data: σ_d, rms of r, in compressed STFT units.

        Raises:
            ValueError: ``sigma_data`` is no number above 0.

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        return cls(sigma_data=sigma_data, **dict.fromkeys(CHOICES, "predictive"))

    @property
    def needs_t(self) -> bool:
        """True where a coefficient depends on t or s(t), so that σ must lie on the schedule."""
        return "richter" in (self.c_out, self.c_in, self.c_noise) or (
            self.c_shift == "edm-scaled-shift"
        )

    def coefficients(self, sigma: float | Tensor, sde: SDE) -> Coefficients:
        """Return c_skip, c_out, c_in, c_shift and c_noise, each of the shape of ``sigma``.

        Args:
            sigma: unscaled noise level(s) σ > 0, any shape.
            sde: gives t = σ⁻¹(σ) and s(t) to the coefficients that need them.

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        sigma = as_level(sigma)
        t = sde.sigma_inv(sigma) if self.needs_t else torch.ones_like(sigma)
        s = sde.s(t) if self.needs_t else torch.ones_like(sigma)
        zero, one = torch.zeros_like(sigma), torch.ones_like(sigma)
        total = sigma.square() + self.sigma_data**2  # σ² + σ_d², the power of x̃
        c_in = {"richter": s, "edm": total.rsqrt(), "predictive": zero}[self.c_in]
        return Coefficients(
            c_skip={"richter": one, "edm": self.sigma_data**2 / total, "predictive": zero}[
                self.c_skip
            ],
            c_out={
                "richter": -s * sigma.square() / t,
                "edm": sigma * self.sigma_data * total.rsqrt(),
                "predictive": self.sigma_data * one,
            }[self.c_out],
            c_in=c_in,
            c_shift={
                "richter": one, "edm": zero, "predictive": zero, "edm-scaled-shift": c_in / s
            }[self.c_shift],
            c_noise={"richter": t.log(), "edm": sigma.log() / 4, "predictive": zero}[self.c_noise],
        )  # fmt: skip

    def loss_weight(self, sigma: float | Tensor) -> Tensor:
        """Return λ(σ), the weight of |D − r|² in the training loss, of the shape of ``sigma``.

        Args:
            sigma: unscaled noise level(s) σ > 0, any shape.

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        sigma = as_level(sigma)
        if self.weight == "richter":
            return sigma.square().reciprocal()
        if self.weight == "predictive":
            return torch.full_like(sigma, self.sigma_data**-2)
        return sigma.square().reciprocal() + self.sigma_data**-2  # (σ² + σ_d²) / (σ σ_d)²
