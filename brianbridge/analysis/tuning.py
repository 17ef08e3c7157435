"""How a unit's rate depends on a stimulus, and how this changes in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t


@dataclass(frozen=True)
class LinearTuning:
    """
    Lines r(t) = a₀(t) + a₁(t)·stimulus for each unit.

    Attributes
    ----------
    intercept, slope : array (time, units)
        a₀ in the unit of the rates, a₁ in that unit per unit of the stimulus.
    p_value : array (time, units)
        Two-sided, for a₁ = 0; NaN where the rate does not vary.
    """

    intercept: np.ndarray
    slope: np.ndarray
    p_value: np.ndarray

    def correlation_with(self, step):
        """
        Correlation across units of the slopes at every time with those at one step: array (time,).

        It stays high where units keep their tuning, and falls where the stimulus is held by other units or by
        a changed sign (Romo et al. 1999; Song, Yang & Wang 2016, figure 7).
        """
        slopes = self.slope - self.slope.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(slopes, axis=1)
        product = lengths * lengths[step]
        return np.divide(slopes @ slopes[step], product, out=np.full(len(slopes), np.nan), where=product > 0)

    def fraction_tuned(self, level=0.05):
        """
        Share of units whose slope differs from 0 at this level, uncorrected as published: array (time,).
        """
        return np.mean(self.p_value < level, axis=1)


def fit_linear_tuning(rates, stimulus):
    """
    Regress rates on a stimulus, for every unit at every time.

    Parameters
    ----------
    rates : array (stimuli, time, units)
        Averages over the correct trials with each stimulus, or single trials.
    stimulus : array (stimuli,)
        Such as the first frequency in Hz.

    Returns
    -------
    LinearTuning
    """
    rates, stimulus = np.asarray(rates, dtype=float), np.asarray(stimulus, dtype=float)
    if len(stimulus) != len(rates) or len(rates) < 3 or not np.ptp(stimulus):
        raise ValueError(
            "a line needs three conditions or more, each with its stimulus, and stimuli that differ"
        )
    centred = stimulus - stimulus.mean()
    slope = np.tensordot(centred, rates, axes=1) / (centred @ centred)
    mean = rates.mean(axis=0)
    residual = rates - mean - centred[:, None, None] * slope
    freedom = len(rates) - 2
    variance = np.sum(residual**2, axis=0) / freedom / (centred @ centred)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * student_t.sf(np.abs(slope) / np.sqrt(variance), freedom)
    return LinearTuning(mean - slope * stimulus.mean(), slope, p_value)


def tuning_similarity(rates):
    """
    Correlate rates at two times over conditions, averaged over units.

    Parameters
    ----------
    rates : array (stimuli, time, units)
        Averages over the trials of each stimulus or other condition.

    Returns
    -------
    array (time, time)
        Near 1 where units prefer the same conditions at both times, near 0 where their preferences are
        unrelated (DePasquale, Churchland & Abbott 2016, figure 4). A unit counts at times at which its rate
        varies over conditions; NaN where none does.
    """
    rates = np.asarray(rates, dtype=float)
    centred = rates - rates.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    scores = np.divide(
        centred, length, out=np.zeros_like(centred), where=length > 1e-12 * np.abs(rates).max()
    )
    varies = (np.abs(scores).max(axis=0) > 0).astype(float)
    counts = varies @ varies.T
    total = np.einsum("ctu,csu->ts", scores, scores, optimize=True)
    return np.divide(total, counts, out=np.full_like(total, np.nan), where=counts > 0)
