"""Every plot of the book, from one place: ``from edmse_lite import figures``.

Chapter: 2 The complex spectrogram as data, and every chapter with a picture.
"""

from .answers import disagreement, traces, tradeoff
from .base import (
    COLOURS,
    DASHES,
    WIDTH,
    channels,
    cloud,
    curves,
    decibels,
    distributions,
    panels,
    png,
    spectrograms,
    style,
)
from .calls import over_calls, path
from .charts import over_axis, over_groups
from .hours import roofline
from .judging import caught, half_widths, over_delay
from .levels import arrow_fields, denoiser_curves, orders, paths, thumbnail
from .mismatch import shares, starts
from .processes import bands, smooth
from .samplers import against, beside, slopes, stops
from .training import influence, stages, unet

__all__ = [
    "COLOURS", "DASHES", "WIDTH", "against", "arrow_fields", "bands", "beside", "caught",
    "channels", "cloud", "curves", "decibels", "denoiser_curves", "disagreement", "distributions",
    "half_widths", "influence", "orders", "over_axis", "over_calls", "over_delay", "over_groups",
    "panels", "path", "paths", "png", "roofline", "shares", "slopes", "smooth", "spectrograms",
    "stages", "starts", "stops", "style", "thumbnail", "traces", "tradeoff", "unet",
]  # fmt: skip
