"""What estimates of timescales read from neurons whose timescale is known: their bias."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .timescales import fit_timescales

STEPS_PER_BIN = 10  # of the simulated rate


def fit_known_timescales(
    tau_ms, trials, *, bins=20, bin_ms=50, rate_hz=10, spread_hz=6, units=200, lags=13, rng=0
):
    """
    Fit simulated Poisson neurons whose rate is an Ornstein-Uhlenbeck process of a known correlation time.

    Parameters
    ----------
    tau_ms : float
        The truth.
    trials : int
        With 50, the published estimate reads far less than 150 ms for 150 ms.
    bins : int
    bin_ms : float
    rate_hz, spread_hz : float
        Mean and standard deviation of the rate over time; it is cut at zero.
    units : int
        Simulated neurons.
    lags : int
        See `fit_timescales`.
    rng : numpy Generator or int

    Returns
    -------
    Timescales
    """
    rng = np.random.default_rng(rng)
    decay = np.exp(-bin_ms / STEPS_PER_BIN / tau_ms)
    noise = rng.standard_normal((trials, bins * STEPS_PER_BIN, units))
    noise[:, 1:] *= np.sqrt(1 - decay**2)  # stationary from the first step on
    rates = np.maximum(rate_hz + spread_hz * lfilter([1], [1, -decay], noise, axis=1), 0)
    expected = rates.reshape(trials, bins, STEPS_PER_BIN, units).mean(axis=2) * bin_ms / 1000
    return fit_timescales(rng.poisson(expected), bin_ms, lags=lags)
