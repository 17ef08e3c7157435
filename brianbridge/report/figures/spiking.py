"""Spikes and firing rates."""

from __future__ import annotations

import numpy as np

from brianbridge.figure_style import figure_style, new_figure

from .arrays import by_sign, same_length

MOST_DRAWN_SPIKES = 4000  # more are drawn as pixels: one mark each would make a page of many megabytes

_LETTERS = {"excitatory": "E", "inhibitory": "I", "all": ""}


@figure_style()
def raster(time_ms, spikes, excitatory=None):
    """
    Spikes of all neurons, and below the population rate of each sign in about 60 bins.

    Parameters
    ----------
    time_ms : array (steps,)
        The time of each step, evenly spaced.
    spikes : bool array (steps, n)
    excitatory : bool array (n,), optional
        Excitatory neurons are drawn above the inhibitory ones. Without it, neurons keep their order.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    time_ms, spikes = same_length(time_ms=time_ms, spikes=spikes)
    if len(time_ms) < 2 or spikes.ndim != 2:
        raise ValueError(
            f"A raster needs spikes of shape (steps, n) and two steps or more, not {spikes.shape}."
        )
    spikes = spikes.astype(bool)
    figure = new_figure(height=3.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    size = float(np.clip(150 / max(spikes.shape[1], 1), 1.0, 6.0))
    as_pixels = int(spikes.sum()) > MOST_DRAWN_SPIKES
    first_row, ticks = 0, []
    for name, colour, chosen in by_sign(excitatory, spikes.shape[1]):
        step, neuron = np.nonzero(spikes[:, chosen])
        above.plot(
            time_ms[step],
            first_row + neuron,
            linestyle="none",
            marker="|",
            markersize=size,
            markeredgewidth=0.8,
            color=colour,
            rasterized=as_pixels,
        )
        below.stairs(
            *_population_rate(time_ms, spikes[:, chosen]),
            color=colour,
            baseline=None,
            label=name,
            linewidth=1.1,
        )
        middle = first_row + (chosen.sum() - 1) / 2
        ticks.append((middle, f"{chosen.sum()} {_LETTERS[name]}".strip(), colour))
        first_row += chosen.sum()
    above.set_ylabel("neurons")
    above.set_yticks([middle for middle, _, _ in ticks], [text for _, text, _ in ticks])
    for label, (_, _, colour) in zip(above.get_yticklabels(), ticks, strict=True):
        label.set_color(colour)  # the letters are the legend of both panels
    above.tick_params(axis="y", length=0)
    above.set_ylim(max(first_row, 1) - 0.5, -0.5)
    below.set(xlabel="time (ms)", ylabel="rate (Hz)", xlim=(time_ms[0], time_ms[-1]))
    below.set_ylim(0, 1.05 * max(below.dataLim.ymax, 1))
    return figure


def _population_rate(time_ms, spikes):
    """Mean rate (Hz) in bins of whole steps, of which the last may be shorter, and the bins' edges (ms)."""
    steps = len(time_ms)
    dt = (time_ms[-1] - time_ms[0]) / (steps - 1)
    first_steps = np.arange(0, steps, max(1, round(steps / 60)))
    edges = np.append(first_steps, steps)
    spikes_per_cell = np.add.reduceat(spikes.sum(axis=1), first_steps) / spikes.shape[1]
    return 1000 * spikes_per_cell / (np.diff(edges) * dt), time_ms[0] + dt * edges
