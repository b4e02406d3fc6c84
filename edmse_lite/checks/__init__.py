"""Checks of what readers write: they name the property that fails, and show no answer.

Chapter: 3 to 14. Each check has its own room; here are all of them.
"""

from __future__ import annotations

from .answers import check_split, check_wiener
from .budget import check_budget
from .judging import check_interval, check_si_sdr
from .kernel import check_bridge, check_design, check_kernel, check_levels
from .mismatch import check_kl, check_start
from .report import Report
from .samplers import check_corrector, check_edm, check_grid
from .scales import check_preconditioning, check_sigma_data
from .steps import check_denoiser, check_sampler, check_score, check_step
from .training import check_average, check_loss

__all__ = [
    "Report",
    "check_average",
    "check_bridge",
    "check_budget",
    "check_corrector",
    "check_denoiser",
    "check_design",
    "check_edm",
    "check_grid",
    "check_interval",
    "check_kernel",
    "check_kl",
    "check_levels",
    "check_loss",
    "check_preconditioning",
    "check_sampler",
    "check_score",
    "check_si_sdr",
    "check_sigma_data",
    "check_start",
    "check_split",
    "check_step",
    "check_wiener",
]
