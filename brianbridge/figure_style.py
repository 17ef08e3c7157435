"""The one style of all figures: small, quiet, readable by the colour-blind, on white and on dark pages."""

from __future__ import annotations

from contextlib import contextmanager

import matplotlib.style
from matplotlib.figure import Figure

INK = "#23272d"  # text, axes and outputs; on a page it takes the colour of the page's text
# Red and blue as in Li, Kim & Sejnowski (2020); no common colour blindness confuses them.
EXCITATORY = "#d2473d"
INHIBITORY = "#3575c8"
TARGET = "#e08a00"
UNSIGNED = "#7d8590"  # cells without a sign; a grey that shows on white and on dark
OUTPUTS = (INK, "#2a9d8f", "#9b5fc0", "#b5651d")

WIDTH = 5.5  # inches: letters of 9 points are then still readable on a phone

_STYLE = {
    "figure.facecolor": "none",
    "savefig.facecolor": "auto",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.1,
    "axes.prop_cycle": matplotlib.cycler(color=OUTPUTS),
}


@contextmanager
def figure_style():
    """
    The style of brianbridge for everything that matplotlib draws inside; also usable as a decorator.

    It starts from matplotlib's defaults, so a user's own ``matplotlibrc`` does not change a report.
    """
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(height, width=WIDTH):
    """An empty figure (sizes in inches) that does not touch pyplot's list of open figures."""
    return Figure(figsize=(width, height), layout="constrained")


def literal(text, longest=40):
    """A text from a user's file, set as it is: ``$`` starts no formula, and a long text is cut."""
    text = str(text)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")
