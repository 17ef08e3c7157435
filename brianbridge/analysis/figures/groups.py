"""One dot a network: groups side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from brianbridge.figure_style import EXCITATORY, INHIBITORY, INK, figure_style, literal, new_figure


@figure_style()
def sign_dots(comparisons, units=None):
    """
    Mean parameters of excitatory and inhibitory neurons, one dot a network, joined by lines.

    Parameters
    ----------
    comparisons : dict of str to SignComparison
        From `compare_signs`. Above each panel stands P of the signed-rank test, corrected for the number of
        parameters.
    units : dict of str to str, optional
        Text of the unit of each parameter.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    columns = min(len(comparisons), 6)
    rows = -(-len(comparisons) // columns)
    figure = new_figure(height=2.3 * rows, width=0.4 + 1.25 * columns)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, (name, found) in zip(axes.flat, comparisons.items(), strict=False):
        ax.plot([0, 1], found.network_means.T, color=INK, alpha=0.25, linewidth=0.6, zorder=1)
        for position, colour in enumerate((EXCITATORY, INHIBITORY)):
            _dots(ax, position, found.network_means[:, position], colour)
        unit = (units or {}).get(name)
        ax.set(ylabel=literal(f"{name} ({unit})" if unit else name), xlim=(-0.5, 1.5))
        ax.set_xticks([0, 1], ["E", "I"])
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.set_title(p_text(found.p_signed_rank_holm))
    for ax in axes.flat[len(comparisons) :]:
        ax.set_axis_off()
    return figure


@figure_style()
def network_dots(groups, quantity="timescale (ms)"):
    """
    A value of each network, group by group, with the mean of each group.

    Parameters
    ----------
    groups : dict of str to array (networks,)
        Such as mean timescales of the networks of each task.
    quantity : str
        What the axis shows.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=0.9 + 0.8 * len(groups))
    ax = figure.subplots()
    for position, values in enumerate(groups.values()):
        values = np.asarray(values, dtype=float)
        values = values[np.isfinite(values)]
        _dots(ax, position + 0.16 * _spread(values), values, INK)
        ax.plot([position - 0.25, position + 0.25], 2 * [values.mean()], color=EXCITATORY, linewidth=1.6)
    ax.set_xticks(range(len(groups)), [literal(name) for name in groups])
    ax.set(ylabel=literal(quantity), xlim=(-0.5, len(groups) - 0.5))
    return figure


def p_text(p_value):
    """How a P value is written above a panel."""
    if not np.isfinite(p_value):
        return "P not known"
    return "P < 0.0001" if p_value < 1e-4 else f"P = {p_value:.2g}"


def _dots(ax, position, values, colour):
    position = np.broadcast_to(position, len(values))
    ax.plot(position, values, marker="o", markersize=3.5, color=colour, alpha=0.75, linestyle="none")


def _spread(values):
    """Places from −1 to 1 for dots beside each other, the same in every run; the golden ratio avoids rows."""
    rank = np.argsort(np.argsort(values, kind="stable"))
    return 2 * ((rank * 0.6180339887) % 1) - 1
