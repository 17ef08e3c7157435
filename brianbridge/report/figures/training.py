"""How training went."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from brianbridge.figure_style import INK, OUTPUTS, figure_style, new_figure

from .arrays import same_length


@figure_style()
def loss_curve(updates, loss, accuracy=None):
    """
    Loss, and accuracy if given, against the number of updates.

    From 40 updates on, the running median is drawn over the single values.

    Parameters
    ----------
    updates : array (n,)
    loss : array (n,)
        On a logarithmic axis if it is positive and spans more than a factor of 20.
    accuracy : array (n,), optional
        Fraction of correct trials, from 0 to 1; NaN where it was not measured.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    updates, loss = same_length(updates=updates, loss=loss)
    figure = new_figure(height=2.3 if accuracy is None else 3.4)
    axes = figure.subplots(1 if accuracy is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    _loss_panel(axes[0], updates, loss)
    if accuracy is not None:
        updates, accuracy = same_length(updates=updates, accuracy=accuracy)
        measured = np.isfinite(accuracy)
        axes[1].plot(updates[measured], accuracy[measured], color=OUTPUTS[1], marker="o", markersize=2.5)
        axes[1].set(ylabel="accuracy", ylim=(-0.03, 1.03))
    axes[-1].set_xlabel("updates")
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    return figure


def _loss_panel(ax, updates, loss):
    finite = loss[np.isfinite(loss)]
    if len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("loss")
    if len(loss) < 40:
        ax.plot(updates, loss, color=INK, marker="o", markersize=2.5)
        return
    window = max(5, len(loss) // 40) | 1  # odd, so that the median sits on an update
    half = window // 2
    median = np.median(np.lib.stride_tricks.sliding_window_view(loss, window), axis=1)
    ax.plot(updates, loss, color=INK, alpha=0.3, linewidth=0.6, label="each update")
    ax.plot(updates[half : len(loss) - half], median, color=INK, label=f"median of {window} updates")
    ax.legend(loc="upper right")
