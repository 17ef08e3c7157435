"""
Figures of the analyses, in the one style of `brianbridge.figure_style`.

Each function takes results of `brianbridge.analysis` and returns a `matplotlib.figure.Figure`. None touches
pyplot, so a figure leaves no trace in the user's own plotting.
"""

from .decisions import accuracy_curves, chronometric_curve, psychometric_curves
from .groups import network_dots, sign_dots
from .populations import (
    component_shares,
    discriminability_map,
    mode_ranking,
    sorted_weights,
    state_space,
    tuning_over_time,
)
from .spiking import autocorrelation_decay, fano_over_time, paired_timescales, timescale_histograms

__all__ = [
    "accuracy_curves",
    "autocorrelation_decay",
    "chronometric_curve",
    "component_shares",
    "discriminability_map",
    "fano_over_time",
    "mode_ranking",
    "network_dots",
    "paired_timescales",
    "psychometric_curves",
    "sign_dots",
    "sorted_weights",
    "state_space",
    "timescale_histograms",
    "tuning_over_time",
]
