"""Named settings: what the Enhancer and the command line use unless told otherwise.

Chapter: 1 (A noisy recording, enhanced); 14 (EDM against PC, hands on) compares them.
"""

from __future__ import annotations

import math

from edmse_lite.samplers import EDM, PC

MODEL = "compact"
"""The checkpoint that comes with the package."""

SAMPLER = EDM(steps=16, s_churn=math.inf)
"""The default sampler: 31 calls of the network."""

FAST = EDM(steps=8, s_churn=math.inf)
"""About half the time of the default: 15 calls."""

PREDICTOR_CORRECTOR = PC(steps=15, corrector_steps=1, snr=0.5)
"""SGMSE's sampler at nearly the same cost as the default: 30 calls."""
