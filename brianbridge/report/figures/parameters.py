"""Distributions of trained parameters."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from brianbridge.figure_style import figure_style, literal, new_figure

from .arrays import by_sign


@figure_style()
def parameter_distributions(parameters, excitatory=None):
    """
    Histograms of parameters, excitatory and inhibitory side by side, each as a fraction of its own number.

    Parameters
    ----------
    parameters : dict of str to (values, unit)
        The values of a parameter as an array, and the text of its unit (`''` if it has none).
    excitatory : dict of str to bool array, optional
        For each parameter which values belong to an excitatory neuron (for synapses: a presynaptic one).
        A parameter that is not in it is drawn as one histogram.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    columns = 2 if len(parameters) <= 4 else 3
    rows = max(1, -(-len(parameters) // columns))
    figure = new_figure(height=0.4 + 1.65 * rows)
    figure.get_layout_engine().set(h_pad=0.08)  # inches; the medians stand above the panels
    axes = figure.subplots(rows, columns, squeeze=False)
    handles = {}
    for ax, (name, (values, unit)) in zip(axes.flat, parameters.items(), strict=False):
        _histogram_panel(ax, name, np.ravel(values), unit, (excitatory or {}).get(name))
        handles.update({bars.get_label(): bars for bars in ax.containers})
    for ax in axes.flat[len(parameters) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("fraction")
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
    return figure


def _histogram_panel(ax, name, values, unit, excitatory):
    values = np.asarray(values, dtype=float)
    kinds = by_sign(excitatory, len(values))
    finite = np.isfinite(values)
    edges = np.histogram_bin_edges(values[finite], bins=13)  # odd: equal values stand in the middle
    width = np.diff(edges)[0]
    for number, (kind, colour, chosen) in enumerate(kinds):
        shown = values[chosen & finite]
        fractions = np.histogram(shown, edges)[0] / max(len(shown), 1)
        share = 0.86 * width / len(kinds)
        left = edges[:-1] + 0.07 * width + number * share
        ax.bar(left, fractions, width=share, align="edge", color=colour, label=kind, linewidth=0)
        if len(shown):
            ax.plot(
                np.median(shown),
                1.03,
                marker="v",
                markersize=4.5,
                color=colour,
                clip_on=False,
                transform=ax.get_xaxis_transform(),
            )
    ax.set_xlabel(literal(f"{name} ({unit})" if unit else name))
    ax.set_ylim(bottom=0)
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_locator(MaxNLocator(3))
