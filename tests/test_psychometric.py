"""Psychometric curves against simulated observers whose μ and σ are known."""

import doctest

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import binomtest, norm

from brianbridge.analysis import compare_cues, fit_psychometric, psychometric, wilson_interval

LEVELS = np.array([-51.2, -25.6, -12.8, -6.4, -3.2, 0, 3.2, 6.4, 12.8, 25.6, 51.2])


def observer(mu, sigma, repeats, seed, levels=LEVELS):
    stimulus = np.repeat(levels, repeats)
    return stimulus, np.random.default_rng(seed).normal(stimulus, abs(sigma)) * np.sign(sigma) > mu


def test_the_fit_finds_mu_and_sigma():
    fit = fit_psychometric(*observer(3, 12, repeats=4000, seed=0), repeats=100)
    assert fit.mu == pytest.approx(3, abs=0.5)
    assert fit.sigma == pytest.approx(12, abs=0.5)
    assert fit.mu_interval[0] < 3 < fit.mu_interval[1]
    assert fit.sigma_interval[0] < 12 < fit.sigma_interval[1]
    np.testing.assert_allclose(fit(LEVELS), norm.cdf((LEVELS - 3) / 12), atol=0.02)


def test_the_fit_is_the_least_squares_solution():
    stimulus, choice = observer(-2, 8, repeats=50, seed=1)
    fit = fit_psychometric(stimulus, choice, repeats=0)
    proportions = choice.reshape(len(LEVELS), -1).mean(axis=1)
    expected, _ = curve_fit(lambda x, mu, sigma: norm.cdf(x, mu, sigma), LEVELS, proportions, (0, 20))
    np.testing.assert_allclose([fit.mu, fit.sigma], expected, rtol=1e-4)
    np.testing.assert_array_equal(fit.proportion, proportions)


def test_intervals_cover_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(40):
        fit = fit_psychometric(*observer(1, 10, repeats=60, seed=seed), repeats=40, level=0.9)
        intervals = np.array([fit.mu_interval, fit.sigma_interval])
        inside.append((intervals[:, 0] < (1, 10)) & (intervals[:, 1] > (1, 10)))
    assert all(binomtest(int(count), 40, 0.9).pvalue > 1e-3 for count in np.sum(inside, axis=0))


def test_choices_that_ignore_the_stimulus_have_no_sensitivity():
    stimulus = np.repeat(LEVELS, 500)
    fit = fit_psychometric(stimulus, np.random.default_rng(3).random(len(stimulus)) < 0.5, repeats=100)
    assert fit.sensitivity_interval[0] < 0 < fit.sensitivity_interval[1]
    assert abs(fit.sensitivity) < 1 / 300
    exactly_flat = fit_psychometric([0, 0, 1, 1], [0, 1, 0, 1], repeats=0)
    assert abs(exactly_flat.sensitivity) < 1e-6


def test_a_falling_curve_has_a_negative_width():
    stimulus, choice = observer(0, 10, repeats=500, seed=4)
    assert fit_psychometric(stimulus, ~choice, repeats=0).sigma == pytest.approx(-10, abs=1)


def test_a_perfect_step_has_a_finite_width():
    fit = fit_psychometric([-2, -1, 1, 2], [0, 0, 1, 1], repeats=20)
    assert fit.mu == pytest.approx(0, abs=0.5)
    assert 0 < fit.sigma <= 0.5
    assert np.isfinite(fit.samples).all()


def test_trials_without_answer_are_left_out():
    stimulus, choice = observer(0, 10, repeats=100, seed=5)
    choice = choice.astype(float)
    silent = np.random.default_rng(5).random(len(choice)) < 0.2
    choice[silent] = np.nan
    fit = fit_psychometric(stimulus, choice, repeats=0)
    assert fit.trials.sum() == (~silent).sum()
    assert fit.mu == fit_psychometric(stimulus[~silent], choice[~silent], repeats=0).mu


@pytest.mark.parametrize(
    "stimulus, choice, message",
    [
        ([1, 2], [1], "one value a trial"),
        ([1, 2], [1, 2], "other than 1"),
        ([1, 1, 2], [1, 0, np.nan], "at least two stimulus levels"),
    ],
)
def test_what_cannot_be_fitted_is_refused(stimulus, choice, message):
    with pytest.raises(ValueError, match=message):
        fit_psychometric(stimulus, choice)


def test_two_cues_are_compared_with_the_better_one_and_with_the_optimum():
    single = [
        fit_psychometric(*observer(0, sigma, repeats=1000, seed=seed), repeats=100)
        for seed, sigma in enumerate((12, 16))
    ]
    optimum = 1 / np.hypot(1 / 12, 1 / 16)
    optimal = compare_cues(*single, fit_psychometric(*observer(0, optimum, 1000, seed=7), repeats=100))
    assert optimal.sigma_optimal == pytest.approx(optimum, rel=0.05)
    assert optimal.p_not_better < 0.05
    assert optimal.optimal_ratio_interval[0] < 1 < optimal.optimal_ratio_interval[1]
    ignoring = compare_cues(*single, fit_psychometric(*observer(0, 16, 1000, seed=8), repeats=100))
    assert ignoring.p_not_better > 0.95
    assert ignoring.optimal_ratio_interval[0] > 1


def test_bootstraps_of_the_same_seed_are_compared_as_if_they_were_independent():
    """Of three independent draws from one distribution, the last is the largest in a third of all cases."""
    fit = fit_psychometric(*observer(0, 16, 30, seed=9), repeats=1000)
    assert compare_cues(fit, fit, fit).p_not_better == pytest.approx(2 / 3, abs=0.05)


def test_the_wilson_interval_is_that_of_scipy():
    for successes, trials in [(0, 10), (3, 10), (50, 50), (611, 1000)]:
        expected = binomtest(successes, trials).proportion_ci(0.9, method="wilson")
        np.testing.assert_allclose(wilson_interval(successes, trials, 0.9), expected, atol=1e-12)
    assert np.isnan(wilson_interval(0, 0)).all()


def test_the_example_in_the_docstring_is_right():
    assert doctest.testmod(psychometric).failed == 0
