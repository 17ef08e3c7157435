"""Tests between groups: known P values, false alarms and power."""

import numpy as np
import pytest
from scipy.stats import binomtest, ranksums

from brianbridge.analysis import (
    compare_groups,
    compare_signs,
    equivalence_of_means,
    equivalence_of_proportions,
    holm,
    network_means,
)


def test_holm_gives_the_values_of_a_worked_example():
    # Four tests: 0.005·4, 0.01·3, 0.03·2, and 0.04·1 raised to the value before it.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, np.nan, 0.7]), [1, np.nan, 1])


def test_holm_keeps_the_error_of_a_family():
    p_values = np.random.default_rng(0).random((2000, 6))
    errors = sum((holm(family) < 0.05).any() for family in p_values)
    assert binomtest(int(errors), 2000, 0.05).pvalue > 1e-3


def test_means_are_equivalent_exactly_if_the_90_percent_interval_lies_within_the_margin():
    rng = np.random.default_rng(1)
    for paired in (False, True):
        decisions = []
        for shift in np.linspace(0, 2, 15):
            first, second = rng.normal(0, 1, 20), rng.normal(shift, 1, 20)
            found = equivalence_of_means(first, second, margin=1, paired=paired)
            assert found.equivalent == (found.interval[0] > -1 and found.interval[1] < 1)
            decisions.append(found.equivalent)
        assert any(decisions) and not all(decisions)


def test_at_the_margin_equivalence_is_claimed_in_one_case_of_twenty():
    rng = np.random.default_rng(2)
    claims = sum(
        equivalence_of_means(rng.normal(0, 1, 40), rng.normal(1, 1, 40), margin=1).equivalent
        for _ in range(400)
    )
    assert binomtest(int(claims), 400, 0.05).pvalue > 1e-3


def test_proportions_are_equivalent_only_with_enough_trials():
    few = equivalence_of_proportions((90, 100), (90, 100), margin=0.05)
    many = equivalence_of_proportions((900, 1000), (905, 1000), margin=0.05)
    assert not few.equivalent and few.p_value > 0.05
    assert many.equivalent and many.p_value < 0.05
    assert many.difference == pytest.approx(-0.005)
    # Newcombe (1998), table II, method 10, first example: 56/70 against 48/80 has 0.0524 to 0.3339 at 95 %.
    interval = equivalence_of_proportions((56, 70), (48, 80), margin=0.5, level=0.025).interval
    np.testing.assert_allclose(interval, (0.0524, 0.3339), atol=5e-5)


def test_two_groups_are_compared_in_location_and_shape():
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 1, 300), rng.normal(1, 1, 200)
    found = compare_groups([*first, np.nan], second)
    assert found.n == (300, 200)
    assert found.exceedance == pytest.approx(np.mean(first[:, None] > second), abs=1e-12)
    assert found.exceedance == pytest.approx(0.24, abs=0.05)  # Φ(−1/√2)
    assert found.p_rank_sum == pytest.approx(ranksums(first, second).pvalue, rel=0.05)
    same_mean = compare_groups(rng.normal(0, 1, 500), rng.normal(0, 3, 500))
    assert same_mean.p_t > 0.01 and same_mean.p_ks < 1e-6


def test_what_differs_between_networks_only_is_significant_pooled_but_not_by_network():
    rng = np.random.default_rng(4)
    network = np.repeat(np.arange(8), 100)
    excitatory = np.tile(np.arange(100) < 80, 8)
    # In each network E and I are shifted against each other, now one way, now the other.
    shift = np.array([-3, -2, -1, 0.5, 1, 2, 3, 4])[network] * np.where(excitatory, 1, -1)
    parameters = {
        "by chance": 20 + shift + rng.normal(size=800),
        "everywhere": 20 + 2 * excitatory + rng.normal(size=800),
    }
    found = compare_signs(parameters, excitatory, network)
    assert found["by chance"].pooled.p_rank_sum < 1e-4
    assert found["by chance"].p_signed_rank > 0.05
    assert found["everywhere"].p_signed_rank == pytest.approx(2 / 2**8)
    assert found["everywhere"].p_signed_rank_holm == pytest.approx(4 / 2**8)
    np.testing.assert_allclose(np.diff(found["everywhere"].network_means), -2, atol=0.6)


def test_the_mean_of_a_network_skips_what_was_left_out():
    labels, means = network_means([1, np.nan, 5, np.nan], ["b", "b", "a", "c"])
    assert list(labels) == ["a", "b", "c"]
    np.testing.assert_array_equal(means, [5, 1, np.nan])
    with pytest.raises(ValueError, match="labels of networks"):
        network_means([1, 2], ["a"])


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="two values"):
        compare_groups([1], [2, 3])
