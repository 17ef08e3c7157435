"""What changes with the time step."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from brianbridge.figure_style import INK, OUTPUTS, UNSIGNED, figure_style, literal, new_figure

from .arrays import same_length


@figure_style()
def accuracy_by_dt(dt, accuracy, intervals):
    """
    Accuracy at each time step.

    Parameters
    ----------
    dt : array (n,)
        In ms.
    accuracy : array (n,)
    intervals : array (n, 2)

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    dt, accuracy, intervals = same_length(dt=dt, accuracy=accuracy, intervals=intervals)
    figure = new_figure(height=2.3)
    ax = figure.subplots()
    bars = np.abs(intervals.T - accuracy)
    ax.errorbar(dt, accuracy, bars, color=INK, marker="o", markersize=4, capsize=3, linewidth=1)
    ax.set(xlabel="time step (ms)", ylabel="fraction correct", ylim=(-0.03, 1.03))
    _step_axis(ax, dt)
    return figure


@figure_style()
def errors_by_dt(dt, errors, nominal, label="relative error"):
    """
    Errors against the time step on logarithmic axes, with the slopes that the methods promise.

    Parameters
    ----------
    dt : dict of str to array (n,)
        In ms.
    errors : dict of str to array (n,)
        NaN is left out.
    nominal : dict of str to float
        Order of each.
    label : str
        Of the axis of the errors.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.8)
    ax = figure.subplots()
    for number, (name, error) in enumerate(errors.items()):
        dt_seen, error = same_length(dt=dt[name], error=np.asarray(error, dtype=float))
        colour = OUTPUTS[number % len(OUTPUTS)]
        ax.loglog(dt_seen, error, "o-", color=colour, markersize=3.5, label=literal(name))
        known = np.flatnonzero(np.isfinite(error) & (error > 0))
        if len(known):
            at = known[np.argmax(dt_seen[known])]
            slope = error[at] * (dt_seen / dt_seen[at]) ** nominal[name]
            ax.loglog(dt_seen, slope, color=UNSIGNED, linewidth=0.8, linestyle="--")
    ax.set(xlabel="time step (ms)", ylabel=label)
    _step_axis(ax, np.concatenate(list(dt.values())))
    ax.legend(loc="best")
    return figure


@figure_style()
def attribution_of_rates(causes, rates, distances, null):
    """
    Rates and distances of spike trains, with one cause of a change after the other undone.

    Parameters
    ----------
    causes : sequence of str
    rates : array (n,)
        In Hz.
    distances : array (n,)
        To the first of them.
    null : float
        The distance between two draws of the noise.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    rates, distances = same_length(rates=rates, distances=distances)
    figure = new_figure(height=3.2)
    above, below = figure.subplots(2, 1, sharex=True)
    place = np.arange(len(rates))
    above.plot(place, rates, "o-", color=INK, markersize=4)
    above.axhline(rates[0], color=UNSIGNED, linewidth=0.8, linestyle="--")
    above.set(ylabel="mean rate (Hz)", ylim=(0, None))
    below.plot(place[1:], distances[1:], "o-", color=OUTPUTS[1], markersize=4)
    below.axhline(null, color=UNSIGNED, linewidth=0.8, linestyle="--")
    below.set(ylabel="distance", ylim=(0, None), xticks=place)
    below.set_xticklabels([literal(cause) for cause in causes], rotation=25, ha="right")
    return figure


def _step_axis(ax, dt):
    """A logarithmic axis with a tick at every time step."""
    ax.set_xscale("log")
    ax.set_xticks(np.unique(dt))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
