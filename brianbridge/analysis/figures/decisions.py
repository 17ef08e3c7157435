"""Choices and reaction times."""

from __future__ import annotations

import numpy as np

from brianbridge.figure_style import OUTPUTS, figure_style, literal, new_figure


@figure_style()
def psychometric_curves(fits, stimulus="stimulus", choice="choice 1"):
    """
    Share of choice 1 against the stimulus, with Wilson intervals and the fitted curves.

    Parameters
    ----------
    fits : PsychometricFit, or dict of str to PsychometricFit
        Up to four, such as one for each modality.
    stimulus, choice : str
        What the axes show.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=3.6)
    ax = figure.subplots()
    named = fits if isinstance(fits, dict) else {"": fits}
    for colour, (name, fit) in zip(OUTPUTS, named.items(), strict=False):
        reach = np.linspace(fit.stimulus[0], fit.stimulus[-1], 200)
        ax.plot(reach, fit(reach), color=colour, label=literal(name))
        _points_with_intervals(ax, fit.stimulus, fit.proportion, fit.proportion_interval, colour)
    ax.axhline(0.5, color=OUTPUTS[0], linewidth=0.5, linestyle=(0, (4, 3)), alpha=0.5, zorder=0)
    ax.set(xlabel=literal(stimulus), ylabel=literal(f"P({choice})"), ylim=(-0.03, 1.03))
    if isinstance(fits, dict):
        ax.legend(loc="upper left")
    return figure


@figure_style()
def chronometric_curve(fit, strength="stimulus strength", time="reaction time (ms)"):
    """
    Mean reaction times of correct trials against the strength of the stimulus, with the fitted diffusion.

    Parameters
    ----------
    fit : Chronometric
        Bars are standard errors. The axis of strength is logarithmic unless a strength is 0.
    strength, time : str
        What the axes show.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=3.6)
    ax = figure.subplots()
    ax.errorbar(
        fit.strength, fit.mean, fit.sem, color=OUTPUTS[0], marker="o", markersize=3.5, linestyle="none"
    )
    if fit.strength[0] > 0:
        ax.set_xscale("log")
        ax.set_xticks(fit.strength, [f"{level:g}" for level in fit.strength])
        ax.set_xticks([], minor=True)
        reach = np.geomspace(fit.strength[0], fit.strength[-1], 200)
    else:
        reach = np.linspace(0, fit.strength[-1], 200)
    if np.isfinite(fit.bound):
        ax.plot(reach, fit(reach), color=OUTPUTS[0])
    ax.set(xlabel=literal(strength), ylabel=literal(time))
    return figure


@figure_style()
def accuracy_curves(curves, duration="stimulus duration (ms)"):
    """
    Share of correct trials against the duration of the stimulus.

    Parameters
    ----------
    curves : dict of str to (duration, accuracy, interval)
        Results of `accuracy_by_duration`, such as one for each coherence, the strongest first.
    duration : str
        What the axis shows.

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=4.2)
    ax = figure.subplots()
    strength = np.linspace(1, 0.3, len(curves))
    for alpha, (name, (durations, accuracy, interval)) in zip(strength, curves.items()):
        ax.plot(durations, accuracy, color=OUTPUTS[1], alpha=alpha, label=literal(name))
        _points_with_intervals(ax, durations, accuracy, interval, OUTPUTS[1], alpha)
    ax.set(xlabel=literal(duration), ylabel="correct", ylim=(None, 1.03))
    figure.legend(loc="outside right center")
    return figure


def _points_with_intervals(ax, x, y, interval, colour, alpha=1.0):
    below, above = np.maximum(y - interval[:, 0], 0), np.maximum(interval[:, 1] - y, 0)
    ax.errorbar(
        x,
        y,
        [below, above],
        color=colour,
        alpha=alpha,
        marker="o",
        markersize=3,
        linestyle="none",
        elinewidth=0.8,
    )
