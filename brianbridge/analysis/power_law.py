"""Do ranked values fall as a power of their rank, with one exponent or with two?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_POINTS = 3  # of a segment


@dataclass(frozen=True)
class PiecewisePowerLaw:
    """
    Straight lines through log(value) against log(rank).

    Attributes
    ----------
    rank, value : array (values,)
        Values in descending order; the first rank is 1.
    break_rank : int
        Last rank of the first segment.
    exponents : tuple of float
        Slopes of the two segments; negative where values fall.
    factors : tuple of float
        Value = factor·rank^exponent in each segment.
    single_exponent, single_factor : float
        Of one line through all ranks.
    aic_gain : float
        AIC of one line minus AIC of two; above 0 two segments are the better description.
    """

    rank: np.ndarray
    value: np.ndarray
    break_rank: int
    exponents: tuple[float, float]
    factors: tuple[float, float]
    single_exponent: float
    single_factor: float
    aic_gain: float

    def __call__(self, rank):
        """Values of the two segments at these ranks."""
        rank, part = np.asarray(rank, dtype=float), (np.asarray(rank) > self.break_rank).astype(int)
        return np.take(self.factors, part) * rank ** np.take(self.exponents, part)


def fit_power_law(values, break_rank=None):
    """
    Rank positive values and fit two power laws, one after the other.

    Parameters
    ----------
    values : array (values,)
        Such as `mode_importance`, averaged over networks after ranking each.
    break_rank : int, optional
        Last rank of the first segment; by default the one with the smallest squared error of the logarithms.
        Lin & Huang (2024) choose it by eye and leave the last ranks out; do so by
        ``np.sort(values)[::-1][:19]``.

    Returns
    -------
    PiecewisePowerLaw

    Notes
    -----
    AIC = n·log(squared error/n) + 2k, with k = 3 parameters for one line and 6 for two (the break counts).
    """
    value = np.sort(np.asarray(values, dtype=float))[::-1]
    n = len(value)
    if n < 2 * LEAST_POINTS or not value[-1] > 0:
        raise ValueError(f"two power laws need {2 * LEAST_POINTS} values or more, all positive")
    x, y = np.log(np.arange(1, n + 1)), np.log(value)
    candidates = range(LEAST_POINTS, n - LEAST_POINTS + 1) if break_rank is None else [break_rank]
    if not LEAST_POINTS <= candidates[0] <= n - LEAST_POINTS:
        raise ValueError(
            f"break_rank must leave {LEAST_POINTS} values or more on both sides, it is {break_rank}"
        )
    pairs = {last: (_line(x[:last], y[:last]), _line(x[last:], y[last:])) for last in candidates}
    errors = {last: first[2] + second[2] for last, (first, second) in pairs.items()}
    best = min(errors, key=errors.get)
    single = _line(x, y)
    floor = n * np.finfo(float).eps ** 2  # an exact fit has no logarithm
    gain = n * np.log(max(single[2], floor) / max(errors[best], floor)) + 2 * (3 - 6)
    return PiecewisePowerLaw(
        rank=np.arange(1, n + 1),
        value=value,
        break_rank=best,
        exponents=tuple(line[0] for line in pairs[best]),
        factors=tuple(line[1] for line in pairs[best]),
        single_exponent=single[0],
        single_factor=single[1],
        aic_gain=float(gain),
    )


def _line(x, y):
    """Slope, exponential of the intercept, and squared error."""
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(np.exp(intercept)), float(np.sum((y - intercept - slope * x) ** 2))
