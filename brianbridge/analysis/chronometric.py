"""How long decisions take, and what more time is good for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import skew, spearmanr

from .statistics import wilson_interval


@dataclass(frozen=True)
class Chronometric:
    """
    Reaction times of correct trials by the strength of the stimulus.

    Attributes
    ----------
    strength : array (levels,)
        Absolute stimulus strength, each once, ascending.
    trials : int array (levels,)
        Correct trials with a reaction time.
    mean, sem : array (levels,)
        Reaction time and its standard error, in the unit of the reaction times.
    rank_correlation : float
        Spearman's ρ of the mean reaction time with strength over levels; −1 where it falls throughout.
    skewness : array (levels,)
        Of the reaction times; positive for a tail of slow decisions.
    bound, drift, residual : float
        A, k and t_R of t(x) = A/(k·x)·tanh(A·k·x) + t_R, the mean decision time of a diffusion with bounds
        ±A, drift k·x and unit variance in a unit of time, plus a residual time. NaN with fewer than three
        levels.
    """

    strength: np.ndarray
    trials: np.ndarray
    mean: np.ndarray
    sem: np.ndarray
    rank_correlation: float
    skewness: np.ndarray
    bound: float
    drift: float
    residual: float

    def __call__(self, strength):
        """Mean reaction time of the fitted diffusion at these strengths."""
        return _decision_time(np.asarray(strength, dtype=float), self.bound, self.drift, self.residual)


def fit_chronometric(strength, reaction_time, correct):
    """
    Average reaction times by stimulus strength and fit the proportional-rate diffusion model.

    Parameters
    ----------
    strength : array (trials,)
        Stimulus strength; its sign does not matter.
    reaction_time : array (trials,)
        NaN where no decision was reached (the trial is left out).
    correct : bool array (trials,)
        Only correct trials count, as in Song, Yang & Wang (2016), figure 2.

    Returns
    -------
    Chronometric

    Notes
    -----
    The model is that of Palmer, Huk & Shadlen (2005), fitted by least squares in which each level weighs by
    its standard error. At strength 0 the decision takes A².
    """
    strength, reaction_time = np.abs(np.asarray(strength, float)), np.asarray(reaction_time, float)
    used = np.asarray(correct, dtype=bool) & np.isfinite(reaction_time)
    levels = np.unique(strength[used])
    times = [reaction_time[used & (strength == level)] for level in levels]
    if not len(levels) or min(map(len, times)) < 2:
        raise ValueError("every stimulus strength needs two correct trials or more with a reaction time")
    mean = np.array([values.mean() for values in times])
    sem = np.array([values.std(ddof=1) / np.sqrt(len(values)) for values in times])
    return Chronometric(
        levels,
        np.array([len(values) for values in times]),
        mean,
        sem,
        float(spearmanr(levels, mean).statistic) if len(levels) > 1 else np.nan,
        np.array([skew(values) if np.ptp(values) else 0.0 for values in times]),
        *_fit_diffusion(levels, mean, sem),
    )


def accuracy_by_duration(duration, correct, bins=10):
    """
    Share of correct trials by stimulus duration, in bins of about equally many trials.

    Parameters
    ----------
    duration : array (trials,)
    correct : bool array (trials,)
    bins : int
        Published: 10 for each coherence (Song, Yang & Wang 2016, figure 2).

    Returns
    -------
    duration : array (bins,)
        Mean of each bin.
    accuracy : array (bins,)
    interval : array (bins, 2)
        Wilson's 95 % interval of the accuracy.
    """
    duration, correct = np.asarray(duration, dtype=float), np.asarray(correct, dtype=bool)
    parts = np.array_split(np.argsort(duration, kind="stable"), bins)
    if not len(parts[-1]):
        raise ValueError(f"{len(duration)} trials cannot fill {bins} bins")
    successes, trials = (
        np.array([correct[part].sum() for part in parts]),
        np.array([len(part) for part in parts]),
    )
    means = np.array([duration[part].mean() for part in parts])
    return means, successes / trials, wilson_interval(successes, trials)


def _decision_time(strength, bound, drift, residual):
    argument = bound * drift * strength
    # tanh(z)/z is 1 at zero
    ratio = np.divide(np.tanh(argument), argument, out=np.ones_like(argument), where=np.abs(argument) > 1e-9)
    return bound**2 * ratio + residual


def _fit_diffusion(levels, mean, sem):
    if len(levels) < 3:
        return np.nan, np.nan, np.nan
    longest = max(np.ptp(mean), 1e-3 * mean.max())
    start = np.sqrt(longest), 2 / (np.sqrt(longest) * np.median(levels[levels > 0])), mean.min()
    weights = np.maximum(sem, 1e-6 * mean.max())
    fit = least_squares(
        lambda values: (_decision_time(levels, *values) - mean) / weights, start, method="lm", max_nfev=5000
    )
    if fit.status <= 0:
        return np.nan, np.nan, np.nan
    bound, drift, residual = map(float, fit.x)
    return abs(bound), abs(drift), residual
