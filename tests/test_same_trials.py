"""Trials that are simulated twice: with the same noise, and from the same initial states."""

import numpy as np
from brian2 import ms

import brianbridge as bb
from brianbridge.comparison.same_trials import same_trials


def small(name, **sizes):
    model = bb.load(name, seed=1, **sizes)
    return bb.Trained(model=model, inputs={"stimulus": "stimulus"}, output="out.o")


def test_random_initial_states_are_the_same_on_both_sides():
    trained = small("adex", cells=10)
    trials = bb.tasks.ContextIntegration(fixation=20 * ms, stimulus=10 * ms, response=20 * ms).trials(
        1, 3, 1 * ms
    )
    same = same_trials(trained, trials, record=["cells.v"], seed=1)
    assert same.spikes["cells"].sum() > 3 and same.differing_bins.tolist() == [0, 0, 0]
    assert same.output_differences.max() == 0 and same.state_differences["cells.v"] <= 1e-12
    v = same.states["cells.v"][0]
    assert not np.array_equal(v[0], v[1]), "trials differ in their initial states"


def test_rates_are_the_same_on_both_sides():
    trained = small("song2016", cells=10, source=2)
    task = bb.tasks.PerceptualDecision(stimulus=100 * ms, baseline=0, noise=0, catch=0)
    same = same_trials(trained, task.trials(1, 2, 20 * ms), record=["cells.r"], seed=1)
    assert same.spikes == {} and same.differing_bins.tolist() == [0, 0]
    assert same.states["cells.r"].max() > 0.1
    assert same.output_differences.max() <= 1e-12 and same.state_differences["cells.r"] <= 1e-12
