"""Figures of the analyses show the numbers of the results, in the style of all figures."""

import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from brianbridge import analysis
from brianbridge.analysis import figures
from brianbridge.figure_style import EXCITATORY, INHIBITORY


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    assert isinstance(figure, Figure)
    assert not matplotlib._pylab_helpers.Gcf.get_all_fig_managers()
    return figure.axes


def lines(ax):
    return [line.get_xydata() for line in ax.lines]


@pytest.fixture(scope="module")
def timescales():
    counts = np.random.default_rng(0).poisson(
        3 * np.exp(np.random.default_rng(1).normal(0, 0.5, (40, 1, 30))), (40, 20, 30)
    )
    counts[:, 10:] = np.random.default_rng(2).poisson(3, (40, 10, 30))
    return analysis.fit_timescales(counts, 50)


def test_psychometric_and_chronometric_curves(tmp_path):
    rng = np.random.default_rng(0)
    stimulus = np.repeat([-20.0, -10, 0, 10, 20], 100)
    fit = analysis.fit_psychometric(stimulus, rng.normal(stimulus, 10) > 0, repeats=20)
    (ax,) = drawn(
        figures.psychometric_curves({"visual $": fit, "both": fit}, stimulus="coherence (%)"), tmp_path
    )
    assert ax.get_xlabel() == "coherence (%)" and ax.get_ylabel() == "P(choice 1)"
    np.testing.assert_allclose(lines(ax)[1][:, 1], fit.proportion)
    drawn(figures.psychometric_curves(fit), tmp_path)

    strength = np.repeat([0.0, 5, 10, 20], 50)
    times = 300 + 400 / (1 + strength / 5) + rng.exponential(50, 200)
    found = analysis.fit_chronometric(strength, times, np.ones(200, bool))
    (ax,) = drawn(figures.chronometric_curve(found), tmp_path)
    np.testing.assert_allclose(lines(ax)[0], np.column_stack([found.strength, found.mean]))
    positive = analysis.fit_chronometric(strength[50:], times[50:], np.ones(150, bool))
    (ax,) = drawn(figures.chronometric_curve(positive), tmp_path)
    assert ax.get_xscale() == "log"
    curve = analysis.accuracy_by_duration(rng.random(100), rng.random(100) < 0.8, bins=4)
    (ax,) = drawn(figures.accuracy_curves({"51 %": curve, "3 %": curve}), tmp_path)
    np.testing.assert_allclose(lines(ax)[0][:, 1], curve[1])


def test_dots_of_networks(tmp_path):
    rng = np.random.default_rng(1)
    network, excitatory = np.repeat(np.arange(6), 20), np.tile(np.arange(20) < 16, 6)
    parameters = {"tau_m": rng.normal(20, 2, 120), "R": rng.normal(500, 20, 120)}
    found = analysis.compare_signs(parameters, excitatory, network)
    axes = drawn(figures.sign_dots(found, {"tau_m": "ms"}), tmp_path)
    assert axes[0].get_ylabel() == "tau_m (ms)" and axes[1].get_ylabel() == "R"
    *_, dots_e, dots_i = axes[0].lines
    assert (dots_e.get_color(), dots_i.get_color()) == (EXCITATORY, INHIBITORY)
    np.testing.assert_allclose(dots_i.get_ydata(), found["tau_m"].network_means[:, 1])
    (ax,) = drawn(figures.network_dots({"DMS": [150, 160, np.nan], "Go-NoGo": [90, 95, 100]}), tmp_path)
    np.testing.assert_allclose(lines(ax)[1][:, 1], 155)


def test_autocorrelations_timescales_and_variability(tmp_path, timescales):
    (ax,) = drawn(figures.autocorrelation_decay({"model": timescales}), tmp_path)
    np.testing.assert_allclose(
        lines(ax)[0][:, 1], timescales.autocorrelation[:, timescales.accepted].mean(axis=1)
    )
    above, below = drawn(figures.timescale_histograms({"model": timescales}), tmp_path)
    assert "published" in above.get_ylabel() and "corrected" in below.get_ylabel()
    fano = analysis.fano_factor(np.random.default_rng(3).poisson(2, (30, 10, 5)))
    (ax,) = drawn(figures.fano_over_time(np.arange(10) * 100, {"all": fano}), tmp_path)
    np.testing.assert_allclose(lines(ax)[1][:, 1], fano.over_time)


def test_populations(tmp_path):
    rng = np.random.default_rng(4)
    cue = np.tile([0, 1], 10)
    rates = rng.standard_normal((20, 12, 40))
    rates[:, 4:] += cue[:, None, None] * rng.standard_normal(40)
    found = analysis.cross_temporal_discriminability(analysis.cue_averages(rates, cue), permutations=39)
    axes = drawn(figures.discriminability_map(np.arange(12) * 50.0, found, events=[200]), tmp_path)
    assert axes[0].get_ylabel() == "time of half A (ms)"

    selectivity, excitatory = rng.standard_normal(40), np.arange(40) < 30
    order = analysis.sort_by_selectivity(selectivity, excitatory)
    weights = rng.standard_normal((40, 40))
    axes = drawn(figures.sorted_weights(weights, selectivity, order, excitatory), tmp_path)
    np.testing.assert_array_equal(axes[1].images[0].get_array(), weights[np.ix_(order, order)])

    (ax,) = drawn(
        figures.state_space(rates[:4, :, :2], ("choice", "motion"), ["a", "a", "b", "b"], ends=np.eye(2)),
        tmp_path,
    )
    np.testing.assert_array_equal(lines(ax)[0], rates[0, :, :2])
    with pytest.raises(ValueError, match="trajectories, time, 2"):
        figures.state_space(rates, ("x", "y"))

    tuning = analysis.fit_linear_tuning(rng.standard_normal((7, 12, 40)), np.arange(7))
    above, below = drawn(
        figures.tuning_over_time(np.arange(12) * 50, tuning, {"mid f1": 3, "delay": 8}), tmp_path
    )
    np.testing.assert_array_equal(lines(below)[0][:, 1], tuning.fraction_tuned())
    assert len(above.lines) == 3

    components = analysis.principal_components(rates)
    explained = analysis.variance_explained(rates[0, :, :2], components.project(rates[0]))
    (ax,) = drawn(figures.component_shares({"rates": components}, {"muscles": explained}), tmp_path)
    np.testing.assert_allclose(lines(ax)[0][:, 1], np.cumsum(components.share))

    ranked = analysis.fit_power_law(np.arange(1.0, 31) ** -1.0 + 0.01 * rng.random(30))
    (ax,) = drawn(figures.mode_ranking(ranked), tmp_path)
    np.testing.assert_allclose(lines(ax)[0][:, 1], ranked.value)
