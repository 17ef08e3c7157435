"""Autocorrelations, timescales and variability of spikes."""

from __future__ import annotations

import numpy as np

from brianbridge.figure_style import INK, OUTPUTS, UNSIGNED, figure_style, literal, new_figure


@figure_style()
def autocorrelation_decay(groups):
    """
    Mean autocorrelation of the accepted units of each group, with its standard error.

    Parameters
    ----------
    groups : dict of str to Timescales
        Such as one for each task.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.4, width=3.6)
    ax = figure.subplots()
    for colour, (name, found) in zip(OUTPUTS, groups.items(), strict=False):
        rho = found.autocorrelation[:, found.accepted]
        if not rho.shape[1]:
            ax.plot([], color=colour, label=literal(f"{name}: no unit accepted"))
            continue
        mean, error = rho.mean(axis=1), rho.std(axis=1) / np.sqrt(rho.shape[1])
        ax.fill_between(found.lag, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(found.lag, mean, color=colour, marker="o", markersize=3, label=literal(name))
    ax.set(xlabel="lag (ms)", ylabel="autocorrelation")
    ax.legend(loc="upper right")
    return figure


@figure_style()
def timescale_histograms(groups):
    """
    Distributions of timescales, published estimate above and corrected one below, with their medians.

    Parameters
    ----------
    groups : dict of str to Timescales

    Returns
    -------
    `matplotlib.figure.Figure`
        Fractions of the units that have an estimate, on a logarithmic axis.
    """
    figure = new_figure(height=3.6, width=4.2)
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    edges = np.geomspace(5, 2000, 27)
    for ax, kind in zip(axes, ("published", "corrected")):
        for colour, (name, found) in zip(OUTPUTS, groups.items(), strict=False):
            values = getattr(found, kind)
            values = values[np.isfinite(values)]
            heights = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
            median = np.median(values) if len(values) else np.nan
            label = f"{name}: {median:.0f} ms" if len(values) else f"{name}: none"
            ax.stairs(heights, edges, color=colour, label=literal(label))
            ax.plot(
                median,
                1.04,
                marker="v",
                markersize=4.5,
                color=colour,
                clip_on=False,
                transform=ax.get_xaxis_transform(),
            )
        ax.set(ylabel=f"fraction ({kind})", xscale="log")
        ax.legend(loc="upper right")
    ticks = [5, 20, 50, 100, 200, 500, 2000]
    axes[1].set_xticks(ticks, [str(tick) for tick in ticks])
    axes[1].set_xticks([], minor=True)
    axes[1].set_xlabel("timescale (ms)")
    return figure


@figure_style()
def paired_timescales(first, second, labels):
    """
    Timescales of the same units measured twice, one dot each, with the line on which they are equal.

    Parameters
    ----------
    first, second : array (units,)
        In ms; pairs with NaN are left out.
    labels : tuple of str
        What the two measurements are called.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.8, width=3)
    ax = figure.subplots()
    ax.axline((100, 100), (200, 200), color=UNSIGNED, linewidth=0.8)
    ax.plot(first, second, "o", color=INK, markersize=3, alpha=0.7)
    ax.set(xscale="log", yscale="log", xlim=(5, 2000), ylim=(5, 2000), aspect="equal")
    ax.set(xlabel=literal(f"timescale {labels[0]} (ms)"), ylabel=literal(f"timescale {labels[1]} (ms)"))
    return figure


@figure_style()
def fano_over_time(time_ms, factors):
    """
    Mean Fano factor over time.

    Parameters
    ----------
    time_ms : array (bins,)
    factors : dict of str to FanoFactor
        Such as one for each condition.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.2, width=4.2)
    ax = figure.subplots()
    ax.axhline(1, color=OUTPUTS[0], linewidth=0.5, linestyle=(0, (4, 3)), alpha=0.5)
    for colour, (name, found) in zip(OUTPUTS, factors.items(), strict=False):
        ax.plot(time_ms, found.over_time, color=colour, label=literal(name))
    ax.set(xlabel="time (ms)", ylabel="Fano factor", ylim=(0, None))
    ax.margins(x=0)
    ax.legend(loc="best")
    return figure
