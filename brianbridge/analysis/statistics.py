"""Intervals and tests that all analyses share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm, ttest_1samp, ttest_ind


def wilson_interval(successes, trials, level=0.95):
    """
    Wilson's score interval of a proportion; it stays inside 0 and 1 and holds for few trials (Wilson 1927).

    Parameters
    ----------
    successes, trials : int or int array
        Counts, of any shape.
    level : float
        Coverage.

    Returns
    -------
    array (..., 2)
        Lower and upper end; NaN where there is no trial.
    """
    successes, trials = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    z = norm.isf((1 - level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = successes / trials
        centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
        half = z / (1 + z**2 / trials) * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    return np.stack([centre - half, centre + half], axis=-1)


def holm(p_values):
    """
    Correct a family of tests for their number by Holm's step-down method.

    Parameters
    ----------
    p_values : array (tests,)

    Returns
    -------
    array (tests,)
        Adjusted P values: a test is significant in its family where its value is below the level.
        NaN (a test that could not be done) stays NaN and does not count.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    done = np.flatnonzero(np.isfinite(p_values))
    order = done[np.argsort(p_values[done])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


@dataclass(frozen=True)
class Equivalence:
    """
    Two one-sided tests of whether a difference is smaller than a margin.

    Attributes
    ----------
    difference : float
        First minus second.
    interval : tuple of float
        Of the difference, with coverage 1 − 2·level (90 % for a level of 5 %).
    margin : float
        The largest difference that counts as none.
    p_value : float
        The larger of the two one-sided P values of "the difference is at least the margin".
    equivalent : bool
        Whether `p_value` is below the level, that is, whether `interval` lies inside ±margin.
    """

    difference: float
    interval: tuple[float, float]
    margin: float
    p_value: float
    equivalent: bool


def equivalence_of_means(first, second, margin, *, paired=False, level=0.05):
    """
    Show that two means do not differ by a margin or more (TOST, Schuirmann 1987).

    A test of difference that finds none shows nothing; this one can fail for too few samples.

    Parameters
    ----------
    first, second : array (samples,)
        One value of each independent unit, such as a network.
    margin : float
        Largest difference that counts as none, chosen before looking, in the unit of the values.
    paired : bool
        Whether the values belong together pairwise; otherwise variances may differ (Welch).
    level : float

    Returns
    -------
    Equivalence
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if paired:
        difference = first - second
        tests = [ttest_1samp(difference, end, alternative=side) for end, side in _one_sided(margin)]
        interval = ttest_1samp(difference, 0).confidence_interval(1 - 2 * level)
    else:
        tests = [
            ttest_ind(first - end, second, equal_var=False, alternative=side)
            for end, side in _one_sided(margin)
        ]
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(1 - 2 * level)
    p_value = float(max(test.pvalue for test in tests))
    return Equivalence(
        difference=float(first.mean() - second.mean()),
        interval=(float(interval.low), float(interval.high)),
        margin=margin,
        p_value=p_value,
        equivalent=p_value < level,
    )


def equivalence_of_median(differences, margin, *, level=0.05):
    """
    Show that the median of paired differences does not reach a margin: two one-sided sign tests.

    Nothing is assumed of how differences are distributed; some of them may be infinite.

    Parameters
    ----------
    differences : array (pairs,)
        Of independent pairs.
    margin : float
        Largest median that counts as none.
    level : float

    Returns
    -------
    Equivalence
        Its interval is that between order statistics, infinite for fewer than five pairs (at a level of 5 %).
    """
    ordered = np.sort(np.asarray(differences, dtype=float))
    n = len(ordered)
    rank = int(binom.ppf(level, n, 0.5))  # of the ends: fewer values than that lie outside by chance
    interval = (ordered[rank - 1], ordered[n - rank]) if rank > 0 else (-np.inf, np.inf)
    inside = np.sum(ordered < margin), np.sum(ordered > -margin)
    p_value = float(max(binom.sf(count - 1, n, 0.5) for count in inside))
    return Equivalence(
        difference=float(np.median(ordered)) if n else np.nan,
        interval=(float(interval[0]), float(interval[1])),
        margin=margin,
        p_value=p_value,
        equivalent=p_value <= level,
    )


def equivalence_of_proportions(first, second, margin, *, level=0.05):
    """
    Show that two proportions, such as shares of correct trials, do not differ by a margin or more.

    Parameters
    ----------
    first, second : tuple of int
        Successes and trials.
    margin : float
        Largest difference that counts as none, such as 0.02 for two percentage points.
    level : float

    Returns
    -------
    Equivalence
        Its interval is that of Newcombe (1998, method 10) from Wilson's score intervals; P is the level at
        which the interval just touches the margin.
    """
    low, high = _newcombe(first, second, level)
    difference = first[0] / first[1] - second[0] / second[1]

    def outside(level):
        return max(np.abs(_newcombe(first, second, level))) - margin

    if abs(difference) >= margin:
        p_value = 1.0
    else:  # the interval shrinks as the level grows
        p_value = brentq(outside, 1e-12, 0.5 - 1e-12) if outside(1e-12) > 0 else 0.0
    return Equivalence(difference, (float(low), float(high)), margin, float(p_value), p_value < level)


def equivalence_of_paired_proportions(first, second, margin, *, level=0.05):
    """
    Show that two proportions of the same trials do not differ by a margin or more.

    Parameters
    ----------
    first, second : bool array (trials,)
        Such as which trials are answered correctly by two networks.
    margin : float
    level : float

    Returns
    -------
    Equivalence
        Its interval is that of Agresti & Min (2005) for matched pairs: half a trial is added to each of the
        four combinations, so that it has a width even where all trials agree.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"paired trials are needed, not {first.size} and {second.size}")
    only_first, only_second = np.sum(first & ~second) + 0.5, np.sum(~first & second) + 0.5
    n = first.size + 2
    centre = (only_first - only_second) / n
    error = np.sqrt(only_first + only_second - (only_first - only_second) ** 2 / n) / n
    half = norm.isf(level) * error
    p_value = float(max(norm.sf((margin - centre) / error), norm.sf((margin + centre) / error)))
    return Equivalence(
        difference=float(first.mean() - second.mean()),
        interval=(float(centre - half), float(centre + half)),
        margin=margin,
        p_value=p_value,
        equivalent=p_value < level,
    )


def _one_sided(margin):
    return (-margin, "greater"), (margin, "less")


def _newcombe(first, second, level):
    """Interval of a difference of proportions with coverage 1 − 2·level."""
    p, q = first[0] / first[1], second[0] / second[1]
    (p_low, p_high), (q_low, q_high) = (wilson_interval(*group, 1 - 2 * level) for group in (first, second))
    return p - q - np.hypot(p - p_low, q_high - q), p - q + np.hypot(p_high - p, q - q_low)


def sign_test(first, second):
    """
    Test whether one of two paired values is larger more often than the other (two-sided; ties are left out).

    Parameters
    ----------
    first, second : array (pairs,)
        Such as the Fano factor of each unit before and during a task. Pairs with NaN are left out.

    Returns
    -------
    larger : int
        Pairs in which the first value is larger.
    pairs : int
        Pairs without tie.
    p_value : float
        1 if there is no such pair.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    larger, smaller = int(np.sum(difference > 0)), int(np.sum(difference < 0))
    pairs = larger + smaller
    return larger, pairs, float(binomtest(larger, pairs).pvalue) if pairs else 1.0
