"""
How long a neuron's rate stays correlated with itself: timescales from spike counts of many trials.

Two estimates stand side by side. The *published* one fits an exponential to the autocorrelation and keeps a
unit by three rules (Murray et al. 2014; Kim & Sejnowski 2019). It reads too short when trials are few: the
free offset takes up the slow part of a decay that is not over within the window, a noisy first lag looks like
a fast decay, and the cut at 500 ms drops long estimates only. The *corrected* one is the maximum of the
likelihood of the counts' covariance over time, which weighs every pair of bins by what it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import least_squares
from scipy.stats import chi2

LONGEST = 500.0  # ms, of an accepted published timescale
LATEST_START = 3  # the autocorrelation must fall from its third lag at the latest
SHORTEST_OFFERED, LONGEST_OFFERED = 0.1, 40  # times the width of a bin, of the corrected estimate
EVIDENCE = 4.0  # gain in log likelihood over counts without memory
SHARES = np.linspace(0, 0.99, 100) ** 2  # of variance that has a memory: fine where it is small
REGULARITIES = (0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
REGULARITY_PENALTY = 2.0  # in log likelihood: spikes count as Poisson spikes unless the counts say otherwise
PHASE_MEMORY = 0.53  # in bins, of what is left of a neuron's regularity


@dataclass(frozen=True)
class Timescales:
    """
    Timescales of units, with and without correction.

    Attributes
    ----------
    lag : array (lags,)
        In ms.
    autocorrelation : array (lags, units)
        Pearson's ρ of the counts of two bins across trials, averaged over all pairs of bins with this lag.
    published : array (units,)
        σ of ρ(Δ) = A(exp(−Δ/σ) + B) in ms; NaN for units that the inclusion rules leave out.
    exclusion : array of str (units,)
        Which rule left a unit out, or an empty text.
    corrected : array (units,)
        τ of the likelihood in ms; NaN where the counts show no memory or one that outlasts the window by far.
    interval : array (units, 2)
        95 % profile likelihood interval of `corrected` in ms; its upper end may be infinite.
    log_likelihood_ratio : array (units,)
        Gain in log likelihood over counts without memory.
    """

    lag: np.ndarray
    autocorrelation: np.ndarray
    published: np.ndarray
    exclusion: np.ndarray
    corrected: np.ndarray
    interval: np.ndarray
    log_likelihood_ratio: np.ndarray

    @property
    def accepted(self):
        """Units that pass the published rules: bool array (units,)."""
        return self.exclusion == ""


def fit_timescales(counts, bin_ms, *, lags=13, drift=False, condition=None):
    """
    Estimate the timescale of each unit from spike counts, as published and corrected.

    Parameters
    ----------
    counts : array (trials, bins, units)
        Spikes in adjacent bins of a stationary period; published: 50 trials (recordings: 11 or more)
        of 20 bins of 50 ms.
    bin_ms : float
        Width of a bin in ms.
    lags : int
        The autocorrelation is fitted up to this many bins; published: 13.
    drift : bool
        Leave slow changes from trial to trial, such as those of a recording, out of the corrected estimate,
        by looking only at differences between bins of one trial. This costs most of what the window says
        about long timescales: leave it off for simulated trials, which are independent.
    condition : array (trials,), optional
        What is shown in each trial, where that is not the same in all: the mean count of each condition is
        taken out, since a difference between conditions is not a memory. Each needs two trials or more.

    Returns
    -------
    Timescales

    Notes
    -----
    Published: the fit (Levenberg-Marquardt) starts at the last point before the first decrease of ρ. A unit
    is left out if a lag has no ρ at all, if that point lies beyond the third lag, if the fit fails, if A ≤ 0,
    or if σ is not between 0 and 500 ms.

    Corrected: the covariance of two bins k apart is taken as v·[α·exp(−k·bin/τ) + (1 − α)·n(k)]. The first
    term holds exactly for a rate that is an Ornstein-Uhlenbeck process, whatever the width of the bins. The
    second is what counts vary at a constant rate: n(k) is 0 beyond k = 0 for Poisson spikes; the more regular
    spikes are, the more negative is n(1), since a late spike is missing in one bin and found in the next.
    Without this, neurons with regular spikes seem to remember for seconds. With the mean of each bin removed,
    the sample covariance has one degree of freedom less than there are trials (restricted likelihood), or one
    for each condition. The likelihood is that of Gaussian counts; for others it remains consistent. It is
    searched over a grid of α, τ (0.1 to 40 bins) and regularity. Zeraati et al. (2022) give the reasons to
    fit a generative model in place of an autocorrelation; this one is simple enough not to need their
    simulations.
    """
    counts = np.asarray(counts, dtype=float)
    if counts.ndim != 3:
        raise ValueError(f"counts needs the shape (trials, bins, units), not {counts.shape}")
    if not 4 <= lags < counts.shape[1]:
        raise ValueError(
            f"lags must lie between 4 and {counts.shape[1] - 1} (one less than there are bins), not {lags}"
        )
    if len(counts) < 3:
        raise ValueError(f"an autocorrelation across trials needs three trials or more, not {len(counts)}")
    counts, freedom = _deviations(counts, condition)
    rho = spike_count_autocorrelation(counts, lags)
    fits = [_published_fit(values, bin_ms) for values in rho.T]
    corrected, interval, ratio = _likelihood_fit(counts, freedom, bin_ms, drift)
    return Timescales(
        lag=bin_ms * np.arange(1, lags + 1),
        autocorrelation=rho,
        published=np.array([sigma for sigma, _ in fits]),
        exclusion=np.array([reason for _, reason in fits], dtype=str),
        corrected=corrected,
        interval=interval,
        log_likelihood_ratio=ratio,
    )


def _deviations(counts, condition):
    """Counts without the mean of their condition, and the degrees of freedom that are left."""
    labels = np.zeros(len(counts), dtype=int) if condition is None else np.asarray(condition)
    if labels.shape != (len(counts),):
        raise ValueError(
            f"condition needs one value for each of the {len(counts)} trials, not {labels.shape}"
        )
    known, place, trials = np.unique(labels, return_inverse=True, return_counts=True)
    if trials.min() < 2:
        lonely = known[trials.argmin()]
        raise ValueError(f"the condition {lonely!s} has one trial only, so nothing varies in it")
    means = np.stack([counts[place == k].mean(axis=0) for k in range(len(known))])
    return counts - means[place], len(counts) - len(known)


def spike_count_autocorrelation(counts, lags=13):
    """
    Correlate spike counts of two bins across trials, averaged over all pairs of bins with the same lag.

    Parameters
    ----------
    counts : array (trials, bins, units)
    lags : int

    Returns
    -------
    array (lags, units)
        For lags of 1, 2, ... bins. Pairs with a bin whose count never varies are left out; NaN if none
        remains.
    """
    counts = np.asarray(counts, dtype=float)
    spread = counts.std(axis=0)
    scores = (counts - counts.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    averages = []
    for lag in range(1, lags + 1):
        rho = np.mean(scores[:, lag:] * scores[:, :-lag], axis=0)
        pairs = np.isfinite(rho).sum(axis=0)
        averages.append(np.where(pairs > 0, np.nansum(rho, axis=0) / np.maximum(pairs, 1), np.nan))
    return np.array(averages)


def _published_fit(rho, bin_ms):
    """σ in ms and an empty text, or NaN and the rule that leaves the unit out."""
    if not np.isfinite(rho).all():
        return np.nan, "a lag without autocorrelation"
    decreases = np.flatnonzero(np.diff(rho) < 0)
    if not len(decreases) or decreases[0] >= LATEST_START:
        return np.nan, "no early decrease"
    rho = rho[decreases[0] :]
    lag = bin_ms * np.arange(1, len(rho) + 1)
    start = rho[0] - rho[-1], 3 * bin_ms, 0
    fit = least_squares(_misfit, start, _slopes, method="lm", max_nfev=500, args=(lag, rho))
    a, sigma, _ = fit.x
    if fit.status <= 0:
        return np.nan, "no fit"
    if a <= 0:
        return np.nan, "A not positive"
    if not 0 < sigma <= LONGEST:
        return np.nan, "σ out of range"
    return sigma, ""


def _misfit(values, lag, rho):
    a, sigma, b = values
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return a * (np.exp(-lag / sigma) + b) - rho


def _slopes(values, lag, rho):
    a, sigma, b = values
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        decay = np.exp(-lag / sigma)
        return np.stack([decay + b, a * decay * lag / sigma**2, np.full(len(lag), a)], axis=1)


def _likelihood_fit(deviations, freedom, bin_ms, drift):
    """τ, its interval (both in ms) and the gain in log likelihood over α = 0, for each unit."""
    _, bins, units = deviations.shape
    covariance = np.einsum("tau,tbu->uab", deviations, deviations) / freedom
    # Differences within a trial: an orthonormal basis of all that is orthogonal to its mean.
    basis = np.linalg.svd(np.ones((1, bins)))[2][1:] if drift else np.eye(bins)
    covariance = basis @ covariance @ basis.T
    distance = np.abs(np.subtract.outer(np.arange(bins), np.arange(bins)))
    tau = np.geomspace(SHORTEST_OFFERED, LONGEST_OFFERED, 80)  # in bins
    kernels = [basis @ np.exp(-distance / value) @ basis.T for value in tau]
    profile, memoryless = np.full((len(tau), units), -np.inf), np.full(units, -np.inf)
    for regularity in REGULARITIES:
        noise = basis @ _count_noise(distance, regularity) @ basis.T
        for row, kernel in zip(profile, kernels):
            fits = _log_likelihoods(covariance, kernel, noise, freedom)
            fits -= REGULARITY_PENALTY * (regularity > 0)
            np.maximum(row, fits.max(axis=1), out=row)
        np.maximum(memoryless, fits[:, 0], out=memoryless)  # α = 0, the same with every kernel
    return _summit(profile, tau * bin_ms, memoryless)


def _count_noise(distance, regularity):
    """
    Correlation over bins of counts at a constant rate, from Poisson (0) to perfectly regular (1) spikes.

    A late spike is missing in one bin and found in the next: counts of regular neurons are differences of a
    phase, which is forgotten within about a bin.
    """
    phase = np.exp(-distance / PHASE_MEMORY)
    ahead, behind = (np.exp(-np.abs(distance + step) / PHASE_MEMORY) for step in (1, -1))
    differences = (2 * phase - ahead - behind) / (2 - 2 * np.exp(-1 / PHASE_MEMORY))
    return (1 - regularity) * (distance == 0) + regularity * differences


def _log_likelihoods(covariance, kernel, noise, freedom):
    """
    For each unit and share α of variance that has a memory, at the best total variance: (units, shares).
    """
    eigenvalues, vectors = eigh(kernel, noise)
    products = vectors[:, None] * vectors  # (bins, bins, eigenvectors): all units by one matrix product
    variances = covariance.reshape(len(covariance), -1) @ products.reshape(-1, len(kernel))
    expected = 1 + SHARES * (eigenvalues[:, None] - 1)
    scale = variances @ (1 / expected) / len(kernel)
    size = np.linalg.slogdet(noise)[1] + np.log(expected).sum(axis=0)
    with np.errstate(divide="ignore"):
        return -freedom / 2 * (len(kernel) * np.log(scale) + size)


def _summit(profile, tau, memoryless):
    """
    The highest point of each column, the interval around it, and its height above counts without memory.
    """
    silent = ~np.isfinite(memoryless)
    profile = np.where(silent, 0.0, profile)
    best, unit = profile.argmax(axis=0), np.arange(profile.shape[1])
    ratio = np.where(silent, 0.0, profile[best, unit] - memoryless)
    plausible = profile > profile[best, unit] - chi2.ppf(0.95, 1) / 2
    lower = np.where(plausible[0], 0.0, tau[plausible.argmax(axis=0)])
    upper = np.where(plausible[-1], np.inf, tau[::-1][plausible[::-1].argmax(axis=0)])
    inside = np.clip(best, 1, len(tau) - 2)
    left, middle, right = (profile[inside + step, unit] for step in (-1, 0, 1))
    curvature = np.where(best == inside, left - 2 * middle + right, 0.0)
    shift = np.divide((left - right) / 2, curvature, out=np.zeros(len(unit)), where=curvature < 0)
    shift = np.clip(shift, -0.5, 0.5) * np.log(tau[1] / tau[0])
    known = (ratio > EVIDENCE) & (best < len(tau) - 1)
    estimate = np.where(known, tau[best] * np.exp(shift), np.nan)
    return estimate, np.where(known, [lower, upper], np.nan).T, ratio
