"""Checks of what readers write: they name the property that fails, and show no answer.

Chapter: 5 to 8. Each check has its own room; here are all of them.
"""

from __future__ import annotations

from .kernel import check_kernel, check_levels
from .report import Report
from .steps import check_denoiser, check_step

__all__ = ["Report", "check_denoiser", "check_kernel", "check_levels", "check_step"]
