"""Spike counts, rates, and how variable they are across trials and from spike to spike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from elephant.statistics import cv, cv2, isi, lv
from scipy.ndimage import gaussian_filter1d


def count_spikes(spikes, steps_per_bin):
    """
    Count spikes in adjacent bins.

    Parameters
    ----------
    spikes : bool array (trials, steps, units)
    steps_per_bin : int
        Steps after the last whole bin are left out.

    Returns
    -------
    int array (trials, bins, units)
    """
    spikes = np.asarray(spikes)
    trials, steps, units = spikes.shape
    bins = steps // steps_per_bin
    if not bins:
        raise ValueError(f"a bin of {steps_per_bin} steps is longer than the {steps} steps recorded")
    whole = spikes[:, : bins * steps_per_bin]
    return whole.reshape(trials, bins, steps_per_bin, units).sum(axis=2, dtype=int)


def count_spike_times(time_ms, trial, unit, edges_ms, trials, units):
    """
    Count spikes, given as times, in bins.

    Parameters
    ----------
    time_ms : array (spikes,)
    trial, unit : int array (spikes,)
        Which trial and unit a spike belongs to.
    edges_ms : array (bins + 1,)
        A bin holds its left edge, but not its right one.
    trials, units : int

    Returns
    -------
    int array (trials, bins, units)
    """
    time_ms, trial, unit = np.asarray(time_ms, dtype=float), np.asarray(trial), np.asarray(unit)
    bins = np.searchsorted(edges_ms, time_ms, side="right") - 1
    inside = (bins >= 0) & (bins < len(edges_ms) - 1)
    counts = np.zeros((trials, len(edges_ms) - 1, units), dtype=int)
    np.add.at(counts, (trial[inside], bins[inside], unit[inside]), 1)
    return counts


def firing_rates(counts, bin_ms):
    """Mean rates in Hz over all trials and bins of counts (trials, bins, units): array (units,)."""
    return np.mean(counts, axis=(0, 1)) * 1000 / bin_ms


def smooth_rates(spikes, step_ms, sigma_ms):
    """
    Rates from spikes, filtered with a Gaussian.

    Parameters
    ----------
    spikes : array (trials, steps, units)
        Spikes or counts in each step.
    step_ms : float
    sigma_ms : float
        Standard deviation of the Gaussian (published: 50 ms for discriminability and targeted axes, 4 ms for
        temporal components).

    Returns
    -------
    array (trials, steps, units)
        In Hz. Near both ends the Gaussian is cut off and scaled up, so that a constant rate stays constant.
    """
    spikes = np.asarray(spikes, dtype=float)
    shape = {"sigma": sigma_ms / step_ms, "mode": "constant"}
    inside = gaussian_filter1d(np.ones(spikes.shape[1]), **shape)
    return gaussian_filter1d(spikes, axis=1, **shape) / inside[:, None] * 1000 / step_ms


@dataclass(frozen=True)
class FanoFactor:
    """
    Variance over mean of spike counts across trials; 1 for Poisson spikes at a rate that does not vary.

    Attributes
    ----------
    values : array (bins, units)
        NaN where a unit has too few spikes in a bin.
    """

    values: np.ndarray
    _pooled: np.ndarray

    @property
    def of_units(self):
        """Mean over bins: array (units,), NaN for a unit with too few spikes throughout."""
        return _mean_of_known(self.values, axis=0)

    @property
    def over_time(self):
        """Mean over units: array (bins,)."""
        return _mean_of_known(self.values, axis=1)

    @property
    def mean(self):
        """Mean over bins and units."""
        return float(_mean_of_known(self.values.ravel(), axis=0))

    @property
    def pooled(self):
        """Summed variances over summed means of all bins and units; busy units count more than in `mean`."""
        variance, mean = self._pooled
        return float(variance / mean) if mean > 0 else np.nan


def fano_factor(counts, least=0.1):
    """
    Fano factors of spike counts, for each bin and unit.

    Parameters
    ----------
    counts : array (trials, bins, units)
        Trials of one condition: differences between conditions would count as variability. One bin for the
        whole trial (Lin & Huang 2024), bins of 100 ms (DePasquale, Churchland & Abbott 2016).
    least : float
        Mean number of spikes below which a unit has no Fano factor in a bin.

    Returns
    -------
    FanoFactor
        With n − 1 as divisor of the variance. Published values differ by 0.2 with the way of averaging, so
        name it: `mean` or `pooled`.
    """
    counts = np.asarray(counts, dtype=float)
    if len(counts) < 2:
        raise ValueError("a Fano factor needs two trials or more")
    mean, variance = counts.mean(axis=0), counts.var(axis=0, ddof=1)
    used = (mean >= least) & (mean > 0)
    values = np.divide(variance, mean, out=np.full(mean.shape, np.nan), where=used)
    return FanoFactor(values, np.array([variance[used].sum(), mean[used].sum()]))


@dataclass(frozen=True)
class IntervalVariability:
    """
    Variability of the intervals between spikes; NaN for trains with too few of them.

    Attributes
    ----------
    cv : array (trains,)
        Standard deviation over mean; 1 for Poisson spikes, larger also where the rate drifts.
    cv2 : array (trains,)
        Of neighbouring intervals only (Holt et al. 1996), so that slow drifts of the rate hardly count.
    lv : array (trains,)
        Local variation (Shinomoto et al. 2003).
    """

    cv: np.ndarray
    cv2: np.ndarray
    lv: np.ndarray


def interval_variability(trains, least=3):
    """
    Variability of the intervals between spikes, by the formulas of elephant.

    Parameters
    ----------
    trains : sequence of array (spikes,)
        Spike times of one unit each, ascending, without gaps in the recording.
    least : int
        Trains with fewer intervals have no value; at least 2.

    Returns
    -------
    IntervalVariability
    """
    values = np.full((3, len(trains)), np.nan)
    for column, train in enumerate(trains):
        intervals = isi(np.asarray(train, dtype=float)) if len(train) > max(least, 2) else []
        if len(intervals):
            values[:, column] = cv(intervals), cv2(intervals), lv(intervals)
    return IntervalVariability(*values)


def _mean_of_known(values, axis):
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
