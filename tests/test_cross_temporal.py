"""Discriminability of simulated populations with a stable, a changing and no code."""

import numpy as np
import pytest
from scipy.stats import binomtest, pearsonr

from brianbridge.analysis import (
    compare_discriminability,
    cross_temporal_discriminability,
    cue_averages,
    find_clusters,
)

TIME, TRIALS = 30, 24


def population(kind, units=150, noise=2.0, seed=0, cues=2):
    """Rates (trials, time, units): from time 10 on, units prefer a cue, always or by turns."""
    rng = np.random.default_rng(seed)
    cue = np.tile(np.arange(cues), TRIALS // cues)
    preference = rng.standard_normal((cues, 1 if kind == "stable" else TIME, units))
    signal = np.broadcast_to(preference, (cues, TIME, units)).copy()
    signal[:, :10] = 0
    if kind == "none":
        signal[:] = 0
    return signal[cue] + noise * rng.standard_normal((TRIALS, TIME, units)), cue


def test_a_stable_code_correlates_at_all_pairs_of_times_as_much_as_noise_allows():
    found = cross_temporal_discriminability(cue_averages(*population("stable")), permutations=100)
    # Each half averages 6 trials a cue: the difference has signal variance 2 and noise variance 2·2²/6.
    expected = np.arctanh(2 / (2 + 2 * 4 / 6))
    assert found.fisher_z[10:, 10:].mean() == pytest.approx(expected, abs=0.1)
    assert found.fisher_z[:10].mean() == pytest.approx(0, abs=0.05)
    significant = found.clusters.significant()
    assert significant[10:, 10:].all()
    assert significant[:10].mean() < 0.15  # points of noise that touch the cluster


def test_a_changing_code_correlates_on_the_diagonal_only():
    found = cross_temporal_discriminability(cue_averages(*population("changing")), permutations=100)
    assert np.diag(found.fisher_z)[10:].min() > 0.4
    assert np.diag(found.clusters.significant())[10:].all()
    off = found.fisher_z[10:, 10:][~np.eye(TIME - 10, dtype=bool)]
    assert off.mean() == pytest.approx(0, abs=0.05)


def test_the_correlation_is_that_of_all_pairwise_differences():
    rates, cue = population("stable", units=5, cues=3)
    averages = cue_averages(rates, cue)
    found = cross_temporal_discriminability(averages, permutations=1)
    first, second = (
        np.concatenate([half[0] - half[1], half[0] - half[2], half[1] - half[2]], axis=-1)
        for half in averages
    )
    assert found.fisher_z[12, 20] == pytest.approx(np.arctanh(pearsonr(first[12], second[20])[0]))


def test_without_code_a_cluster_is_found_in_one_case_of_twenty():
    alarms = 0
    for seed in range(60):
        averages = cue_averages(*population("none", units=20, seed=seed))
        found = cross_temporal_discriminability(averages, permutations=59, seed=seed)
        alarms += bool((found.clusters.p_values < 0.05).any())
    assert binomtest(alarms, 60, 0.05).pvalue > 1e-2


def test_noise_that_units_share_is_no_code_where_labels_of_trials_are_permuted():
    """One slow mode of a recurrent network: correlated over units by chance, in about every second case."""
    alarms, as_if_independent = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        populations = [population("none", units=20, noise=0.3, seed=1000 + 2 * seed + k) for k in range(2)]
        recordings = [
            (rates + rng.standard_normal((TRIALS, 1, 1)) * rng.standard_normal(20), cue)
            for rates, cue in populations
        ]
        averages = np.concatenate([cue_averages(*one) for one in recordings], axis=-1)
        settings = dict(permutations=59, seed=seed)
        found = cross_temporal_discriminability(averages, recordings=recordings, **settings)
        alarms += bool((found.clusters.p_values < 0.05).any())
        found = cross_temporal_discriminability(averages, **settings)
        as_if_independent += bool((found.clusters.p_values < 0.05).any())
    assert binomtest(alarms, 40, 0.05).pvalue > 1e-2
    assert as_if_independent > 13


def test_a_code_is_found_where_labels_of_trials_are_permuted():
    recordings = [population("stable", units=60, seed=seed) for seed in (1, 2)]
    averages = np.concatenate([cue_averages(*one) for one in recordings], axis=-1)
    found = cross_temporal_discriminability(averages, permutations=59, recordings=recordings)
    assert found.clusters.significant()[10:, 10:].all()
    with pytest.raises(ValueError, match="recordings= are not those"):
        cross_temporal_discriminability(averages, permutations=59, recordings=recordings[:1])


def test_the_more_stable_group_is_told_apart():
    delay = np.arange(TIME) >= 10
    stable, changing = (cue_averages(*population(kind, units=60)) for kind in ("stable", "changing"))
    found = compare_discriminability(stable, changing, delay, apart=2, permutations=99)
    assert found.difference > 0.5 and found.p_value == pytest.approx(0.01)
    alike = cue_averages(*population("stable", units=60, seed=9))
    assert compare_discriminability(stable, alike, delay, apart=2, permutations=99).p_value > 0.02
    with pytest.raises(ValueError, match="more than 40 steps apart"):
        compare_discriminability(stable, alike, delay, apart=40)


def test_clusters_are_connected_and_weighed():
    values = np.zeros((5, 5))
    values[0, :2], values[1, 1], values[4, 4] = 2, 3, 9
    found = find_clusters(values, [np.eye(5) * 1.2, np.zeros((5, 5)), np.full((5, 5), 1.5)], threshold=1)
    np.testing.assert_array_equal(found.mass, [7, 9])
    assert found.labels[0, 0] == found.labels[1, 1] != found.labels[4, 4]
    np.testing.assert_allclose(found.p_values, [2 / 4, 2 / 4])  # only 37.5 is heavier
    with pytest.raises(ValueError, match="null_maps is empty"):
        find_clusters(values, [], 1)


def test_a_single_trial_of_a_cue_is_refused():
    with pytest.raises(ValueError, match="two trials or more"):
        cue_averages(np.zeros((3, 2, 2)), [0, 0, 1])
