"""Figure of the outcomes under perturbations."""

import numpy as np

from brianbridge.analysis import wilson_interval
from brianbridge.figure_style import INK, OUTPUTS, UNSIGNED, figure_style, literal, new_figure
from brianbridge.simulation.result import OUTCOMES

__all__ = ["outcome_figure"]

COLOURS = {"correct": OUTPUTS[1], "incorrect": OUTPUTS[3], "no response": UNSIGNED}


@figure_style()
def outcome_figure(found):
    """Shares of the three outcomes, as in figure 4 of Li, Kim & Sejnowski (2020): one panel a perturbation.

    Parameters
    ----------
    found : Outcomes

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    names = list(dict.fromkeys(name for name, _ in found.counts if name != "none")) or ["none"]
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = new_figure(height=2.4 * rows + 0.3, width=2.9 * columns)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, name in zip(axes.flat, names):
        _panel(ax, found, name)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for row in axes:
        row[0].set_ylabel("share of trials")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _panel(ax, found, name):
    keys = [("none", "")] + [key for key in found.counts if key[0] == name and name != "none"]
    for place, key in enumerate(keys):
        counts, bottom = found.counts[key], 0.0
        for outcome, count in zip(OUTCOMES, counts.sum(axis=0) / counts.sum()):
            label = outcome if place == 0 else None
            ax.bar(place, count, 0.7, bottom=bottom, color=COLOURS[outcome], alpha=0.75, label=label)
            bottom += count
        correct, total = counts[:, 0].sum(), counts.sum()
        low, high = wilson_interval(correct, total)
        ax.plot([place, place], [low, high], color=INK, linewidth=1.2)
        share = counts[:, 0] / counts.sum(axis=1)
        if len(share) > 1:
            ax.plot(place + np.linspace(-0.2, 0.2, len(share)), share, ".", color=INK, markersize=3)
    labels = ["none", *(literal(epoch) for _, epoch in keys[1:])]
    ax.set_xticks(range(len(keys)), labels, rotation=30, ha="right")
    ax.set(ylim=(0, 1.02), title=literal(name))
