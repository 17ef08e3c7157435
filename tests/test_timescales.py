"""Timescales of doubly stochastic Poisson counts whose rate has a known correlation time."""

import numpy as np
import pytest
from scipy.signal import lfilter

from brianbridge.analysis import fit_timescales, spike_count_autocorrelation

BINS, BIN_MS = 20, 50


def cox_counts(tau_ms, units, trials=50, rate=10, spread=6, drift=0, shape=None, seed=0):
    """
    Counts (trials, bins, units) of neurons whose rate in Hz is an Ornstein-Uhlenbeck process.

    Spikes are those of a Poisson process, or of a gamma process of this shape, which is more regular.
    """
    rng = np.random.default_rng(seed)
    step = 5
    decay = np.exp(-step / tau_ms)
    noise = rng.standard_normal((trials, BINS * BIN_MS // step, units)) * np.sqrt(1 - decay**2)
    noise[:, 0] /= np.sqrt(1 - decay**2)  # stationary from the start
    rates = rate + spread * lfilter([1], [1, -decay], noise, axis=1)
    rates = np.maximum(rates + drift * rng.standard_normal((trials, 1, units)), 0)
    expected = rates.reshape(trials, BINS, -1, units).mean(axis=2) * BIN_MS / 1000
    if shape is None:
        return rng.poisson(expected)
    intervals = rng.gamma(shape, 1 / shape, (trials, 60, units))  # in expected spikes
    spikes = np.cumsum(intervals, axis=1) - 5 * rng.random((trials, 1, units))
    edges = np.cumsum(np.insert(expected, 0, 0, axis=1), axis=1)
    return np.diff((spikes[:, None] < edges[:, :, None]).sum(axis=2), axis=1)


def test_the_autocorrelation_is_the_mean_of_pearson_coefficients():
    counts = cox_counts(100, units=2, trials=30)
    rho = spike_count_autocorrelation(counts, lags=5)
    table = np.corrcoef(counts[:, :, 1].T)
    np.testing.assert_allclose(rho[:, 1], [np.diagonal(table, lag).mean() for lag in range(1, 6)])


def test_bins_that_never_vary_are_left_out():
    counts = cox_counts(100, units=2, trials=30)
    counts[:, 3, 0] = 0
    counts[:, :, 1] = 0
    rho = spike_count_autocorrelation(counts, lags=5)
    expected = np.corrcoef(counts[:, [0, 1, 2, *range(4, BINS)], 0].T)
    later = [i for i in range(BINS - 5) if 3 not in (i, i + 5)]
    pairs = [expected[i - (i > 3), i + 5 - 1 * (i + 5 > 3)] for i in later]
    assert np.isfinite(rho[:, 0]).all() and np.isnan(rho[:, 1]).all()
    assert rho[4, 0] == pytest.approx(np.mean(pairs))
    found = fit_timescales(counts, BIN_MS)
    assert found.exclusion[1] == "a lag without autocorrelation"
    assert np.isnan(found.corrected[1]) and found.log_likelihood_ratio[1] == 0


@pytest.mark.parametrize("tau", [50, 100, 150])
def test_with_many_trials_both_estimates_are_right(tau):
    found = fit_timescales(cox_counts(tau, units=40, trials=500), BIN_MS)
    assert found.accepted.mean() > 0.9
    assert np.nanmedian(found.published) == pytest.approx(tau, rel=0.15)
    assert np.nanmedian(found.corrected) == pytest.approx(tau, rel=0.1)


@pytest.mark.slow
def test_with_fifty_trials_the_published_estimate_is_short_and_the_corrected_one_is_not():
    truth = np.array([100, 150, 250])
    found = [fit_timescales(cox_counts(tau, units=110), BIN_MS) for tau in truth]
    published = np.array([np.nanmedian(result.published) for result in found])
    corrected = np.array([np.nanmedian(result.corrected) for result in found])
    assert (published < 0.85 * truth).all()
    np.testing.assert_allclose(corrected, truth, rtol=0.2)
    for tau, result in zip(truth, found):
        lower, upper = result.interval[np.isfinite(result.corrected)].T
        assert np.mean((lower <= tau) & (tau <= upper)) > 0.88


@pytest.mark.parametrize("tau, shape", [(100, 3), (200, 8)])
def test_regular_spikes_do_not_seem_to_remember_longer(tau, shape):
    counts = cox_counts(tau, units=60, trials=100, shape=shape)
    assert np.nanmedian(fit_timescales(counts, BIN_MS).corrected) == pytest.approx(tau, rel=0.2)


def test_counts_without_memory_have_no_corrected_timescale():
    counts = np.random.default_rng(2).poisson(0.5, (50, BINS, 120))
    found = fit_timescales(counts, BIN_MS)
    assert np.isfinite(found.corrected).mean() < 0.05
    assert found.accepted.mean() > 0.3  # the published rules let noise pass


def test_differences_within_a_trial_leave_drift_between_trials_out():
    counts = cox_counts(100, units=80, trials=200, drift=4)
    assert np.nanmedian(fit_timescales(counts, BIN_MS).corrected) > 200
    assert np.nanmedian(fit_timescales(counts, BIN_MS, drift=True).corrected) == pytest.approx(100, rel=0.2)


def test_differences_between_conditions_are_no_memory():
    counts, condition = cox_counts(60, units=40, trials=200, seed=1), np.arange(200) % 2
    shown = counts + 2 * condition[:, None, None]
    plain, mixed = fit_timescales(counts, BIN_MS), fit_timescales(shown, BIN_MS)
    apart = fit_timescales(shown, BIN_MS, condition=condition)
    assert np.isfinite(mixed.corrected).mean() < 0.1  # they outlast the window
    assert mixed.log_likelihood_ratio.min() > 4
    assert np.nanmedian(apart.corrected) == pytest.approx(np.nanmedian(plain.corrected), rel=0.1)
    assert np.nanmedian(apart.published) == pytest.approx(np.nanmedian(plain.published), rel=0.1)
    with pytest.raises(ValueError, match="one trial only"):
        fit_timescales(counts[:4], BIN_MS, condition=[0, 0, 0, 1])


def test_an_autocorrelation_that_rises_first_is_fitted_from_its_summit_or_left_out():
    from brianbridge.analysis.timescales import _published_fit

    lag = BIN_MS * np.arange(1, 14)
    decay = 0.3 * (np.exp(-lag / 120) + 0.1)
    assert _published_fit(decay, BIN_MS)[0] == pytest.approx(120, rel=1e-3)
    late = np.concatenate([[0.01, 0.02], decay[:11]])
    assert _published_fit(late, BIN_MS)[0] == pytest.approx(120, rel=1e-3)
    assert _published_fit(np.concatenate([[0.005, 0.01, 0.02], decay[:10]]), BIN_MS)[1] == "no early decrease"
    assert _published_fit(0.3 * np.exp(-lag / 900), BIN_MS)[1] == "σ out of range"
    assert _published_fit(np.linspace(0, 1, 13), BIN_MS)[1] == "no early decrease"


@pytest.mark.parametrize(
    "shape, lags, message",
    [((50, 20), 13, "shape"), ((50, 10, 2), 13, "lags must"), ((2, 20, 2), 13, "three trials")],
)
def test_counts_that_say_nothing_are_refused(shape, lags, message):
    with pytest.raises(ValueError, match=message):
        fit_timescales(np.ones(shape), BIN_MS, lags=lags)
