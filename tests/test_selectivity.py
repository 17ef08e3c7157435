"""d′, preference, targeted axes and tuning of populations whose structure is known."""

import numpy as np
import pytest
from scipy.stats import linregress

from brianbridge.analysis import (
    align,
    cluster_by_preference,
    condition_averages,
    d_prime,
    fit_linear_tuning,
    sort_by_selectivity,
    targeted_axes,
    tuning_similarity,
)


def test_d_prime_is_the_distance_in_standard_deviations():
    rng = np.random.default_rng(0)
    choice = np.repeat([0, 1], 4000)
    activity = rng.normal(choice[:, None] * [2.0, -1.0, 0.0], np.where(choice[:, None], 1.0, 3.0))
    expected = np.array([2, -1, 0]) / np.sqrt((1 + 9) / 2)
    np.testing.assert_allclose(d_prime(activity, choice), expected, atol=0.06)
    never = np.column_stack([np.ones(4), [1, 1, 2, 2]])
    np.testing.assert_array_equal(d_prime(never, [0, 0, 1, 1]), [0, np.inf])
    with pytest.raises(ValueError, match="two trials or more"):
        d_prime(never, [0, 0, 0, 1])


def test_the_most_selective_units_of_each_sign_are_sorted_by_preference():
    selectivity = np.array([0.1, -3, 2, 5, -0.2, 0.3, 1, -2])
    excitatory = np.array([True] * 4 + [False] * 4)
    assert list(sort_by_selectivity(selectivity, excitatory, fraction=0.5)) == [3, 1, 6, 7]
    assert list(sort_by_selectivity(selectivity, fraction=0.25)) == [3, 1]


def test_clusters_of_equal_preference_are_found_and_not_invented():
    rng = np.random.default_rng(1)
    prefers = np.repeat([1.0, -1.0], 20)
    weights = rng.gamma(2, 0.1, (40, 40))
    clustered = weights + 0.1 * (prefers[:, None] == prefers) + 50 * np.eye(40)
    found = cluster_by_preference(clustered, prefers, permutations=199)
    assert found.within - found.between == pytest.approx(0.1, abs=0.02)
    assert found.p_value == pytest.approx(1 / 200)
    p_values = [
        cluster_by_preference(rng.gamma(2, 0.1, (40, 40)), prefers, permutations=39, seed=seed).p_value
        for seed in range(60)
    ]
    assert 0.35 < np.mean(p_values) < 0.65
    with pytest.raises(ValueError, match="prefer the same choice"):
        cluster_by_preference(weights, np.ones(40))


def encoding_population(seed=0):
    """Rates that hold choice, motion and context along known directions, each with its own time course."""
    rng = np.random.default_rng(seed)
    trials, time, units = 400, 20, 60
    variables = {name: rng.choice([-1.0, 1.0], trials) for name in ("choice", "motion", "context")}
    variables["motion"] = rng.choice([-1.0, -0.3, 0.3, 1.0], trials)
    directions = np.linalg.qr(rng.standard_normal((units, 3)))[0].T
    courses = np.array([np.linspace(0, 1, time), np.exp(-((np.arange(time) - 6.0) ** 2) / 8), np.ones(time)])
    rates = 5 + 0.3 * rng.standard_normal((trials, time, units))
    for values, course, direction in zip(variables.values(), courses, directions):
        rates += 8 * values[:, None, None] * course[:, None] * direction
    return rates, variables, directions, courses


def test_targeted_axes_are_the_directions_that_encode_the_variables():
    rates, variables, directions, courses = encoding_population()
    found = targeted_axes(rates, variables)
    assert found.names == ("choice", "motion", "context")
    # Axes live in z-scores, where the directions are no longer orthogonal: they span the same spaces.
    scaled = np.linalg.qr((directions / found.sd).T)[0].T
    overlaps = np.abs(np.sum(found.axes * scaled, axis=1))
    assert (overlaps > 0.98).all()
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(3), atol=1e-12)
    assert found.peak[0] >= 15 and abs(found.peak[1] - 6) <= 1
    expected = 8 * courses[1][:, None] * directions[1] / found.sd
    np.testing.assert_allclose(found.coefficients[1], expected, atol=0.2)


def test_projections_separate_the_conditions_and_grow_with_their_variable():
    rates, variables, _, _ = encoding_population()
    found = targeted_axes(rates, variables)
    labels, averages = condition_averages(rates, variables)
    projected = found.project(averages)
    late = projected[:, -1, 0]
    assert late[labels["choice"] > 0].min() > late[labels["choice"] < 0].max() + 1
    assert np.corrcoef(projected[:, 6, 1], labels["motion"])[0, 1] > 0.8


def test_variables_that_cannot_be_told_apart_are_refused():
    rates, variables, _, _ = encoding_population()
    with pytest.raises(ValueError, match="linearly dependent"):
        targeted_axes(rates, {**variables, "colour": variables["motion"]})
    silent = rates.copy()
    silent[..., 3] = 0
    with pytest.raises(ValueError, match="1 units never vary"):
        targeted_axes(silent, variables)


def test_rates_are_aligned_to_an_event():
    rates = np.arange(20.0).reshape(2, 10, 1)
    aligned = align(rates, event=[4, 8], before=2, after=3, until=[6, 10])[..., 0]
    np.testing.assert_array_equal(aligned, [[2, 3, 4, 5, np.nan], [16, 17, 18, 19, np.nan]])
    assert np.isnan(align(rates, event=[-1, 1], before=2, after=1)[0]).all()


def test_averages_are_taken_over_the_trials_of_a_condition():
    rates = np.array([1.0, 3, 10, np.nan])[:, None, None]
    labels, averages = condition_averages(
        rates, {"side": ["left", "left", "right", "right"], "cue": [0, 0, 1, 1]}
    )
    assert list(labels["side"]) == ["left", "right"] and list(labels["cue"]) == [0, 1]
    np.testing.assert_array_equal(averages[:, 0, 0], [2, 10])


def test_tuning_is_the_regression_of_each_unit():
    rng = np.random.default_rng(2)
    stimulus = np.array([10.0, 14, 18, 22, 26, 30, 34])
    slopes = rng.standard_normal((4, 30))
    rates = 20 + stimulus[:, None, None] * slopes + rng.standard_normal((7, 4, 30))
    found = fit_linear_tuning(rates, stimulus)
    expected = linregress(stimulus, rates[:, 2, 11])
    assert found.slope[2, 11] == pytest.approx(expected.slope)
    assert found.intercept[2, 11] == pytest.approx(expected.intercept)
    assert found.p_value[2, 11] == pytest.approx(expected.pvalue)
    with pytest.raises(ValueError, match="stimuli that differ"):
        fit_linear_tuning(rates, np.ones(7))


def test_tuning_that_moves_to_other_units_loses_its_correlation():
    rng = np.random.default_rng(3)
    stimulus = np.linspace(10, 34, 7)
    early, late = rng.standard_normal((2, 300))
    mixing = np.linspace(0, np.pi / 2, 9)[:, None]
    slopes = np.cos(mixing) * early + np.sin(mixing) * late
    rates = stimulus[:, None, None] * slopes + 0.01 * rng.standard_normal((7, 9, 300))
    found = fit_linear_tuning(rates, stimulus)
    np.testing.assert_allclose(found.correlation_with(0), np.cos(mixing[:, 0]), atol=0.12)
    noise = fit_linear_tuning(rng.standard_normal((7, 9, 300)), stimulus)
    assert noise.fraction_tuned().mean() == pytest.approx(0.05, abs=0.02)
    assert found.fraction_tuned().min() > 0.95


def test_similar_and_unrelated_preferences_are_told_apart():
    rng = np.random.default_rng(4)
    first, second = rng.standard_normal((2, 8, 200))
    rates = np.stack([first, first, second, np.zeros((8, 200))], axis=1)
    found = tuning_similarity(rates)
    np.testing.assert_allclose(np.diag(found)[:3], 1)
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(0, abs=0.1)
    assert np.isnan(found[3]).all()
    each = [np.corrcoef(first[:, unit], second[:, unit])[0, 1] for unit in range(200)]
    assert found[0, 2] == pytest.approx(np.mean(each))
