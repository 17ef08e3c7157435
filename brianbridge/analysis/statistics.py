"""Intervals and tests that all analyses share."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


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
