"""One trial of a task: inputs, target and output."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from brianbridge.figure_style import INK, OUTPUTS, TARGET, figure_style, literal, new_figure

from .arrays import as_columns, same_length

MOST_STACKED_CHANNELS = 12


@figure_style()
def example_trial(time, inputs, target, output, epochs, bound=None, channel_names=None):
    """
    One trial: the input channels above, the output and its target below, epochs shaded in turn.

    Parameters
    ----------
    time : array (steps,)
        In ms.
    inputs : array (steps,) or (steps, channels)
        Drawn to one common scale; more than 12 channels are drawn as an image.
    target, output : array (steps,) or (steps, outputs)
        NaN in the target (where nothing is asked for) leaves a gap. The target may be None.
    epochs : dict of str to (start, stop)
        In ms.
    bound : float, optional
        The decision bound, drawn at ``+bound`` and ``-bound``.
    channel_names : sequence of str, optional

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    time, inputs, output = same_length(time=time, inputs=inputs, output=output)
    inputs, output = as_columns(inputs), as_columns(output)
    rows = min(inputs.shape[1], MOST_STACKED_CHANNELS)
    figure = new_figure(height=2.0 + 0.3 * max(rows, 2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.3 * max(rows, 2), 1.4))
    _input_panel(above, time, inputs, channel_names)
    if target is not None:
        _, target = same_length(time=time, target=target)
        target = as_columns(target)
    _output_panel(below, time, output, target, bound)
    _shade_epochs(epochs, above, below)
    below.set(xlabel="time (ms)", xlim=(time[0], time[-1]))
    return figure


def _input_panel(ax, time, inputs, channel_names):
    channels = inputs.shape[1]
    ax.set_ylabel("inputs")
    if channel_names is None:
        channel_names = [str(channel) for channel in range(channels)]
    if len(channel_names) != channels:
        raise ValueError(f"There are {channels} input channels, but {len(channel_names)} channel names.")
    if channels > MOST_STACKED_CHANNELS:
        ax.imshow(inputs.T, aspect="auto", extent=(time[0], time[-1], channels - 0.5, -0.5), cmap="Greys")
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        return
    largest = np.nanmax(np.abs(inputs), initial=0) or 1.0
    offsets = -np.arange(channels, dtype=float)
    for offset, values in zip(offsets, inputs.T, strict=True):
        ax.axhline(offset, color=INK, linewidth=0.5, alpha=0.25)
        ax.plot(time, offset + 0.5 * values / largest, color=INK, linewidth=0.7)
    ax.set_yticks(offsets, [literal(name, longest=24) for name in channel_names])
    ax.set_ylim(-channels + 0.4, 0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _output_panel(ax, time, output, target, bound):
    for number, values in enumerate(output.T):
        colour = OUTPUTS[number % len(OUTPUTS)]
        label = "output" if output.shape[1] == 1 else f"output {number}"
        ax.plot(time, values, color=colour, label=label, zorder=3)
    for number, values in enumerate([] if target is None else target.T):
        colour = TARGET if target.shape[1] == 1 else OUTPUTS[number % len(OUTPUTS)]
        ax.plot(time, values, color=colour, linestyle=(0, (4, 2)), label="target" if number == 0 else None)
    for number, level in enumerate([] if bound is None else (bound, -bound)):
        label = f"bound ±{bound:g}" if number == 0 else None
        ax.axhline(level, color=INK, linewidth=0.7, linestyle=":", alpha=0.7, label=label)
    ax.set_ylabel("output")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, borderaxespad=0.2)


def _shade_epochs(epochs, above, below):
    # A delay may last 0 ms: there is nothing to shade, and its name would cover another's.
    lasting = [(name, start, stop) for name, (start, stop) in epochs.items() if stop > start]
    for number, (name, start, stop) in enumerate(lasting):
        for ax in (above, below) if number % 2 else ():
            ax.axvspan(start, stop, color=INK, alpha=0.07, linewidth=0, zorder=-1)
        above.annotate(
            literal(name, longest=18),
            ((start + stop) / 2, 1),
            xytext=(0, 3),
            ha="center",
            va="bottom",
            xycoords=above.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=8,
        )
