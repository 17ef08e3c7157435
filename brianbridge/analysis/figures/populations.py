"""What a population says, and in which directions of its state space."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from brianbridge.figure_style import EXCITATORY, INK, OUTPUTS, figure_style, literal, new_figure


@figure_style()
def discriminability_map(time_ms, found, events=()):
    """
    Fisher z of cross-temporal discriminability, with the outlines of significant clusters.

    Parameters
    ----------
    time_ms : array (time,)
    found : Discriminability
    events : sequence of float
        Times in ms, such as the begin and the end of a stimulus, drawn as lines.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.9, width=3.6)
    ax = figure.subplots()
    most = np.abs(found.fisher_z).max() or 1.0
    mesh = ax.pcolormesh(
        time_ms, time_ms, found.fisher_z, cmap="RdBu_r", vmin=-most, vmax=most, rasterized=True
    )
    significant = found.clusters.significant()
    if significant.any() and not significant.all():
        ax.contour(time_ms, time_ms, significant, levels=[0.5], colors=INK, linewidths=0.9)
    for event in events:
        ax.axvline(event, color=INK, linewidth=0.5, alpha=0.6)
        ax.axhline(event, color=INK, linewidth=0.5, alpha=0.6)
    ax.set(xlabel="time of half B (ms)", ylabel="time of half A (ms)", aspect="equal")
    figure.colorbar(mesh, ax=ax, label="Fisher z", shrink=0.8)
    return figure


@figure_style()
def sorted_weights(weights, d_prime, order, excitatory=None):
    """
    Recurrent weights between the most selective units, sorted by their preference.

    Parameters
    ----------
    weights : array (units, units)
        From column to row; those of inhibitory units are negative.
    d_prime : array (units,)
        Drawn beside the matrix.
    order : int array (chosen units,)
        From `sort_by_selectivity`.
    excitatory : bool array (units,), optional
        A line is drawn between excitatory and inhibitory units.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=3.0, width=4.2)
    bars, ax = figure.subplots(1, 2, width_ratios=(1, 4), sharey=True)
    shown = np.asarray(weights)[np.ix_(order, order)]
    most = np.abs(shown).max() or 1.0
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest", aspect="auto")
    bars.barh(range(len(order)), np.asarray(d_prime)[order], color=INK, height=0.7)
    bars.set(xlabel="d′", ylabel="to unit, sorted")
    bars.xaxis.set_major_locator(MaxNLocator(2))
    bars.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set(xlabel="from unit, sorted")
    if excitatory is not None:
        border = np.asarray(excitatory)[order].sum() - 0.5
        ax.axvline(border, color=INK, linewidth=0.6)
        ax.axhline(border, color=INK, linewidth=0.6)
    figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    return figure


@figure_style()
def state_space(trajectories, labels, groups=None, ends=None):
    """
    Trajectories in two dimensions of state space, such as modes, targeted axes or principal components.

    Parameters
    ----------
    trajectories : array (trajectories, time, 2)
        A circle marks where each starts, a dot where it ends.
    labels : tuple of str
        What the two axes show.
    groups : array (trajectories,), optional
        Each group, such as a combination of context and choice, has its colour; up to four.
    ends : array (clusters, 2), optional
        Centroids of end points, drawn as crosses.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    trajectories = np.asarray(trajectories, dtype=float)
    if trajectories.ndim != 3 or trajectories.shape[2] != 2:
        raise ValueError(f"trajectories needs the shape (trajectories, time, 2), not {trajectories.shape}")
    figure = new_figure(height=3.0, width=3.6)
    ax = figure.subplots()
    names, which = np.unique(np.zeros(len(trajectories)) if groups is None else groups, return_inverse=True)
    for number, name in enumerate(names):
        colour = OUTPUTS[number % len(OUTPUTS)]
        for path in trajectories[which == number]:
            ax.plot(*path.T, color=colour, linewidth=0.7, alpha=0.7)
        x, y = trajectories[which == number, 0].T
        ax.plot(x, y, marker="o", markersize=3, markerfacecolor="none", color=colour, linestyle="none")
        x, y = trajectories[which == number, -1].T
        ax.plot(x, y, marker="o", markersize=3, color=colour, linestyle="none", label=literal(name))
    if ends is not None:
        ax.plot(*np.asarray(ends).T, marker="x", markersize=7, color=EXCITATORY, linestyle="none", zorder=4)
    ax.set(xlabel=literal(labels[0]), ylabel=literal(labels[1]))
    if groups is not None:
        figure.legend(loc="outside upper center", ncols=min(len(names), 4))
    return figure


@figure_style()
def tuning_over_time(time_ms, tuning, references):
    """
    Correlation of tuning with that at reference times, and below the share of tuned units.

    Parameters
    ----------
    time_ms : array (time,)
    tuning : LinearTuning
    references : dict of str to int
        Steps with which to correlate, such as the middle of the first stimulus and of the delay.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=3.4, width=4.2)
    above, below = figure.subplots(2, 1, sharex=True)
    for colour, (name, step) in zip(OUTPUTS, references.items(), strict=False):
        above.plot(time_ms, tuning.correlation_with(step), color=colour, label=literal(name))
    above.axhline(0, color=INK, linewidth=0.5, alpha=0.5)
    above.set(ylabel="correlation of tuning", ylim=(-1.05, 1.05))
    above.legend(loc="lower left")
    below.plot(time_ms, tuning.fraction_tuned(), color=INK)
    below.set(xlabel="time (ms)", ylabel="share tuned", ylim=(-0.03, 1.03))
    below.margins(x=0)
    return figure


@figure_style()
def component_shares(components, explained=None, most=50):
    """
    Cumulative variance against the number of principal components.

    Parameters
    ----------
    components : dict of str to PrincipalComponents
    explained : dict of str to array (components,), optional
        Results of `variance_explained`, such as that of muscle activity, drawn dashed.
    most : int
        Components to show.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.4, width=3.6)
    ax = figure.subplots()
    curves = [(name, np.cumsum(found.share), "-") for name, found in components.items()]
    curves += [(name, values, "--") for name, values in (explained or {}).items()]
    for number, (name, values, line) in enumerate(curves):
        shown = values[:most]
        colour = OUTPUTS[number % len(OUTPUTS)]
        ax.plot(range(1, len(shown) + 1), shown, color=colour, linestyle=line, label=literal(name))
    ax.set(xlabel="components", ylabel="share of variance", ylim=(0, 1.03))
    ax.legend(loc="lower right")
    return figure


@figure_style()
def mode_ranking(fit, quantity="importance"):
    """
    Ranked values with both power laws, on logarithmic axes.

    Parameters
    ----------
    fit : PiecewisePowerLaw
    quantity : str
        What the axis shows.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=3.4)
    ax = figure.subplots()
    ax.plot(fit.rank, fit.value, marker="o", markersize=3, color=INK, linestyle="none")
    parts = (fit.rank <= fit.break_rank, fit.rank > fit.break_rank)
    for colour, part, exponent in zip(OUTPUTS[1:], parts, fit.exponents):
        ax.plot(fit.rank[part], fit(fit.rank[part]), color=colour, label=f"exponent {exponent:.2f}")
    ax.set(xscale="log", yscale="log", xlabel="rank", ylabel=literal(quantity))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
        axis.set_minor_formatter(
            FuncFormatter(lambda level, _: f"{level:g}" if f"{level:e}"[0] in "25" else "")
        )
    ax.legend(loc="lower left")
    return figure
