"""
The figures of a report, in one style.

Each function takes plain numpy arrays and returns a `matplotlib.figure.Figure`. None touches pyplot, so
a figure leaves no trace in the user's own plotting. Times are in ms, rates in Hz.
"""

from brianbridge.figure_style import EXCITATORY, INHIBITORY, INK, TARGET, figure_style, new_figure

from .parameters import parameter_distributions
from .spiking import raster
from .time_steps import accuracy_by_dt, attribution_of_rates, errors_by_dt
from .training import loss_curve
from .trials import example_trial

__all__ = [
    "EXCITATORY",
    "INHIBITORY",
    "INK",
    "TARGET",
    "accuracy_by_dt",
    "attribution_of_rates",
    "errors_by_dt",
    "example_trial",
    "figure_style",
    "loss_curve",
    "new_figure",
    "parameter_distributions",
    "raster",
]
