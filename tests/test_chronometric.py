"""Reaction times against a simulated diffusion to a bound."""

import numpy as np
import pytest
from scipy.stats import norm

from brianbridge.analysis import accuracy_by_duration, fit_chronometric

STRENGTHS = np.array([3.2, 6.4, 12.8, 25.6, 51.2]) / 100


def diffusion(bound, drift, residual, repeats, seed=0, dt=0.001):
    """Trials of a diffusion of unit variance per second that ends at ±bound: strength, time in s, correct."""
    rng = np.random.default_rng(seed)
    strength = np.repeat(STRENGTHS, repeats)
    position, time = np.zeros(len(strength)), np.full(len(strength), np.nan)
    barrier = bound - 0.5826 * np.sqrt(dt)  # looking once a step finds a crossing late (Siegmund 1979)
    for step in range(1, 4000):
        position += drift * strength * dt + np.sqrt(dt) * rng.standard_normal(len(strength))
        crossed = np.isnan(time) & (np.abs(position) >= barrier)
        time[crossed] = step * dt + residual
        position[crossed] = np.inf * np.sign(position[crossed])
    return strength, time, position > 0


def test_the_fit_finds_the_diffusion():
    found = fit_chronometric(*diffusion(bound=0.7, drift=12, residual=0.3, repeats=800))
    assert found.bound == pytest.approx(0.7, rel=0.06)
    assert found.drift == pytest.approx(12, rel=0.12)
    assert found.residual == pytest.approx(0.3, abs=0.05)
    assert found.rank_correlation == pytest.approx(-1)
    assert (found.skewness > 0.5).all()
    argument = 0.7 * 12 * STRENGTHS
    np.testing.assert_allclose(found(STRENGTHS), 0.49 * np.tanh(argument) / argument + 0.3, atol=0.02)
    assert found([0.0]) == pytest.approx(found.bound**2 + found.residual)


def test_errors_and_trials_without_decision_do_not_count():
    strength = [1, 1, 1, -1, 2, 2, 2]
    found = fit_chronometric(
        strength, [3, 5, 99, 4, 1, 2, np.nan], [True, True, False, True, True, True, True]
    )
    np.testing.assert_array_equal(found.trials, [3, 2])
    np.testing.assert_allclose(found.mean, [4, 1.5])
    np.testing.assert_allclose(found.sem, [1 / np.sqrt(3), 0.5])
    assert np.isnan(found.bound)
    with pytest.raises(ValueError, match="two correct trials"):
        fit_chronometric([1, 1, 2, 2], [1, 2, 3, 4], [True, True, True, False])


def test_accuracy_grows_with_duration_where_evidence_is_added_up():
    rng = np.random.default_rng(1)
    duration = rng.uniform(0.1, 1.5, 20_000)
    correct = rng.normal(duration, np.sqrt(duration)) > 0
    mean, accuracy, interval = accuracy_by_duration(duration, correct)
    assert len(mean) == 10 and (np.diff(mean) > 0).all()
    expected = norm.cdf(np.sqrt(mean))
    np.testing.assert_allclose(accuracy, expected, atol=0.03)
    assert np.mean((interval[:, 0] < expected) & (expected < interval[:, 1])) >= 0.8
    with pytest.raises(ValueError, match="3 trials cannot fill 10 bins"):
        accuracy_by_duration([1, 2, 3], [1, 1, 1])
