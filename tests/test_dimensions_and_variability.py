"""Components, modes and power laws that are known, and Poisson and gamma spikes."""

import neo
import numpy as np
import pytest
import quantities as pq
from elephant.kernels import GaussianKernel
from elephant.statistics import fanofactor, instantaneous_rate

from brianbridge.analysis import (
    count_spike_times,
    count_spikes,
    end_centroids,
    fano_factor,
    firing_rates,
    fit_power_law,
    follow_context_switch,
    interval_variability,
    mode_importance,
    principal_angles,
    principal_components,
    project_on_modes,
    sign_test,
    smooth_rates,
    split_input,
    temporal_components,
    variance_explained,
)


def test_components_are_the_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((6, 50, 8)) @ rng.standard_normal((8, 8)) + 3
    found = principal_components(data)
    values, vectors = np.linalg.eigh(np.cov(data.reshape(-1, 8).T))
    np.testing.assert_allclose(found.variance, values[::-1])
    np.testing.assert_allclose(np.abs(np.sum(found.components * vectors[:, ::-1].T, axis=1)), 1)
    scores = found.project(data)
    np.testing.assert_allclose(scores.reshape(-1, 8).var(axis=0, ddof=1), values[::-1])
    np.testing.assert_allclose(scores @ found.components + found.mean, data)


def test_the_number_of_components_that_hold_a_share_of_the_variance():
    rng = np.random.default_rng(1)
    found = principal_components(rng.standard_normal((5000, 4)) * np.sqrt([6, 3, 0.9, 0.1]))
    np.testing.assert_allclose(found.share, [0.6, 0.3, 0.09, 0.01], atol=0.02)
    assert [found.needed_for(share) for share in (0.5, 0.85, 0.95, 1)] == [1, 2, 3, 4]


def test_temporal_components_are_the_shared_time_courses():
    rng = np.random.default_rng(2)
    time = np.arange(100) / 100
    slow, fast = np.sin(2 * np.pi * time), np.sin(14 * np.pi * time)
    data = 3 * rng.standard_normal((40, 5, 1)) * slow + rng.standard_normal((40, 5, 1)) * fast
    found = temporal_components(data)
    assert found.needed_for(0.999) == 2
    assert abs(np.corrcoef(found.components[0], slow)[0, 1]) > 0.99
    assert abs(np.corrcoef(found.components[1], fast)[0, 1]) > 0.99


def test_angles_between_subspaces_are_those_of_the_rotation():
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((20, 4)))[0].T
    turn = np.deg2rad([5, 40])
    second = np.cos(turn)[:, None] * basis[:2] + np.sin(turn)[:, None] * basis[2:]
    np.testing.assert_allclose(principal_angles(basis[:2], second), [5, 40])
    np.testing.assert_allclose(principal_angles(basis[:2], [[2, 1], [1, -1]] @ basis[:2]), 0, atol=1e-5)


def test_variance_explained_is_that_of_the_regressions():
    rng = np.random.default_rng(4)
    scores = rng.standard_normal((200, 5))
    target = scores[:, [1, 3]] @ rng.standard_normal((2, 2)) + 0.5 * rng.standard_normal((200, 2))
    explained = variance_explained(target, scores)
    for k in range(1, 6):
        design = np.column_stack([scores[:, :k], np.ones(200)])
        residual = target - design @ np.linalg.lstsq(design, target)[0]
        assert explained[k - 1] == pytest.approx(1 - residual.var(axis=0).sum() / target.var(axis=0).sum())
    repeated = variance_explained(target, scores[:, [1, 1, 3]])
    assert repeated[0] == repeated[1] < repeated[2]


def test_coordinates_on_modes_are_those_of_which_the_activity_is_made():
    rng = np.random.default_rng(5)
    modes, inputs = np.linalg.qr(rng.standard_normal((50, 3)))[0] * [1, 2, 5], rng.standard_normal((50, 2))
    along, across = split_input(inputs, modes)
    np.testing.assert_allclose(along + across, inputs)
    np.testing.assert_allclose(modes.T @ across, 0, atol=1e-12)
    kappa = rng.standard_normal((7, 3))
    found = project_on_modes(kappa @ modes.T, modes, inputs)
    np.testing.assert_allclose(found.kappa, kappa)
    np.testing.assert_allclose(found.nu, 0, atol=1e-12)
    np.testing.assert_allclose(found.outside, 0, atol=1e-12)
    driven = project_on_modes(2 * across[:, 1], modes, inputs[:, 1:])
    assert driven.nu[0] == pytest.approx(2)
    assert project_on_modes(2 * across[:, 1], modes).outside == pytest.approx(1)
    np.testing.assert_array_equal(split_input(modes, modes)[1], 0)
    with pytest.raises(ValueError, match="not linearly independent"):
        project_on_modes(kappa @ modes.T, modes[:, [0, 0]])


def test_activity_is_the_sum_of_orthogonalised_modes():
    rng = np.random.default_rng(20)
    modes = rng.standard_normal((50, 3)) @ [[1, 0.5, 0.2], [0, 1, 0.7], [0, 0, 2]]
    rates = rng.standard_normal((7, 3)) @ modes.T
    kappa = project_on_modes(rates, modes, orthogonalise=True).kappa
    first = modes[:, 0]
    second = modes[:, 1] - (modes[:, 1] @ first) / (first @ first) * first
    np.testing.assert_allclose(kappa[:, 1], rates @ second / (second @ second))
    third = modes[:, 2] - sum((modes[:, 2] @ v) / (v @ v) * v for v in (first, second))
    np.testing.assert_allclose(kappa @ np.array([first, second, third]), rates)


def test_the_importance_of_modes_weighs_vectors_and_scores_alike():
    found = mode_importance([[3.0, 0], [0, 1]], [-2.0, 1], [[0.0, 0], [1, 3]])
    np.testing.assert_allclose(found, [3 / 8 * 4 + 2, 3 / 8 * 4 + 1])
    assert found.sum() == pytest.approx(2 * 3)


def test_a_power_law_with_a_break_is_found():
    rank = np.arange(1, 31)
    values = np.where(rank <= 12, 5 * rank**-0.2, 5 * 12**1.6 * (rank * 1.0) ** -1.8)
    noisy = values * np.exp(0.02 * np.random.default_rng(6).standard_normal(30))
    found = fit_power_law(np.random.default_rng(7).permutation(noisy))
    assert abs(found.break_rank - 12) <= 1
    np.testing.assert_allclose(found.exponents, [-0.2, -1.8], atol=0.06)
    assert found.aic_gain > 20
    np.testing.assert_allclose(found(rank), np.sort(noisy)[::-1], rtol=0.1)
    assert fit_power_law(noisy, break_rank=9).break_rank == 9


def test_one_power_law_needs_no_break():
    rng = np.random.default_rng(8)
    gains = []
    for _ in range(30):
        found = fit_power_law(
            3 * np.arange(1, 31) ** -0.7 * np.exp(0.02 * rng.standard_normal(30)), break_rank=12
        )
        assert found.single_exponent == pytest.approx(-0.7, abs=0.05)
        gains.append(found.aic_gain)
    assert np.mean(np.array(gains) > 0) < 0.4
    with pytest.raises(ValueError, match="all positive"):
        fit_power_law([3, 2, 1, 1, 1, 0])
    with pytest.raises(ValueError, match="both sides"):
        fit_power_law(np.arange(1, 11), break_rank=9)


def test_trajectories_that_change_context_are_followed_to_the_new_attractor():
    rng = np.random.default_rng(9)
    corners = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    cluster = np.tile(np.arange(4), 25)
    centroids, accuracy = end_centroids(corners[cluster] + 0.2 * rng.standard_normal((100, 2)), cluster)
    np.testing.assert_allclose(centroids, corners, atol=0.15)
    assert accuracy == 1
    old, new = cluster[:8], (cluster[:8] + 2) % 4
    course = np.linspace(0, 1, 11)[:, None]
    moving = corners[old][:, None] * (1 - course) + corners[new][:, None] * course
    moving[0] = corners[old[0]]
    found = follow_context_switch(moving, corners, old, new)
    assert found.share_switched == 7 / 8
    np.testing.assert_array_equal(found.switch_step, [-1] + 7 * [6])
    np.testing.assert_allclose(found.to_new[1], 2 * (1 - course[:, 0]))


def test_clusters_that_are_none_are_not_separated():
    states = np.random.default_rng(10).standard_normal((400, 3))
    assert end_centroids(states, np.tile(np.arange(4), 100))[1] == pytest.approx(0.25, abs=0.07)
    with pytest.raises(ValueError, match="two trials or more each"):
        end_centroids(states[:3], [0, 0, 1])


def test_counts_from_spikes_and_from_times_agree():
    spikes = np.random.default_rng(11).random((3, 205, 4)) < 0.1
    counts = count_spikes(spikes, 50)
    assert counts.shape == (3, 4, 4)
    trial, step, unit = np.nonzero(spikes)
    np.testing.assert_array_equal(
        counts, count_spike_times(step * 1.0, trial, unit, np.arange(0, 201, 50), trials=3, units=4)
    )
    np.testing.assert_allclose(firing_rates(counts, 50), spikes[:, :200].sum(axis=(0, 1)) / (3 * 0.2))
    with pytest.raises(ValueError, match="longer than the 205 steps"):
        count_spikes(spikes, 300)


def test_smoothed_rates_are_those_of_elephant():
    spikes = np.random.default_rng(12).random((1, 1000, 1)) < 0.03
    train = neo.SpikeTrain(np.flatnonzero(spikes) + 0.5, units="ms", t_stop=1000)
    expected = instantaneous_rate(train, 1 * pq.ms, GaussianKernel(50 * pq.ms), center_kernel=True)
    found = smooth_rates(spikes, 1, 50)[0, :, 0]
    np.testing.assert_allclose(found[250:750], expected.magnitude[250:750, 0], rtol=0.05)
    np.testing.assert_allclose(smooth_rates(np.full((1, 200, 2), 0.02), 1, 50), 20)


def test_fano_factors_of_poisson_regular_and_doubly_stochastic_counts():
    rng = np.random.default_rng(13)
    poisson = rng.poisson(2, (2000, 5, 3))
    mixed = rng.poisson(rng.gamma(4, 0.5, (2000, 1, 3)), (2000, 5, 3))  # 1 + variance/mean of the rate = 1.5
    found = fano_factor(poisson), fano_factor(mixed), fano_factor(np.full((10, 5, 3), 2))
    np.testing.assert_allclose([value.mean for value in found], [1, 1.5, 0], atol=0.05)
    np.testing.assert_allclose(found[0].over_time, 1, atol=0.1)
    np.testing.assert_allclose(found[1].of_units, 1.5, atol=0.15)


def test_the_fano_factor_is_that_of_elephant_but_for_the_divisor():
    counts = np.random.default_rng(14).poisson(3, 40)
    trains = [np.arange(count) * 1.0 for count in counts]
    assert fano_factor(counts[:, None, None]).mean == pytest.approx(fanofactor(trains) * 40 / 39)


def test_silent_units_have_no_fano_factor_and_busy_ones_count_more_when_pooled():
    rng = np.random.default_rng(15)
    counts = np.stack([rng.poisson(9, 4000), 3 * rng.poisson(1 / 3, 4000), np.zeros(4000)], axis=1)[:, None]
    found = fano_factor(counts)
    assert np.isnan(found.of_units[2])
    assert found.mean == pytest.approx((1 + 3) / 2, abs=0.1)
    assert found.pooled == pytest.approx((9 + 3) / (9 + 1), abs=0.1)
    assert np.isnan(fano_factor(np.zeros((4, 2, 2))).mean)


def test_a_drop_of_variability_is_seen_by_the_sign_test():
    larger, pairs, p_value = sign_test([2, 3, 4, 5, 6, 7, 1, np.nan], [1, 1, 1, 1, 1, 1, 1, 1])
    assert (larger, pairs) == (6, 6) and p_value == pytest.approx(2 / 64)
    assert sign_test([1], [1]) == (0, 0, 1.0)


def test_intervals_of_gamma_processes_are_as_variable_as_their_shape_says():
    rng = np.random.default_rng(16)
    trains = [np.cumsum(rng.gamma(shape, 10 / shape, 4000)) for shape in (1, 4)]
    drifting = np.cumsum(rng.exponential(np.linspace(2, 30, 4000)))
    found = interval_variability([*trains, drifting, [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(found.cv[:2], [1, 0.5], atol=0.05)
    np.testing.assert_allclose(found.lv[:2], [1, 3 / (2 * 4 + 1)], atol=0.08)
    assert found.cv2[0] == pytest.approx(1, abs=0.05)
    assert found.cv[2] > 1.1 and found.cv2[2] == pytest.approx(1, abs=0.05)
    assert np.isnan([found.cv[3], found.cv2[3], found.lv[3]]).all()
