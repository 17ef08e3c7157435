"""Rungs 4 and 5: spike times of driven neurons, and a second integrator."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms

import brianbridge as bb
from brianbridge.checks import mutants, options, spike_times
from brianbridge.checks.context import Sizes
from brianbridge.checks.driven import driven_neurons, held_noise, with_held_noise
from brianbridge.checks.finding import NotApplicable
from brianbridge.checks.second_integrator import other_methods
from brianbridge.checks.spike_times import first_two_spikes, timing_errors

DT = 1e-3


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", Sizes(trials=12, few=2, refinements=(1, 5), full=True))


def untrained(name="li2020", method=None, **sizes):
    task = bb.tasks.ContextIntegration(fixation=10 * ms, stimulus=60 * ms, response=10 * ms)
    model = bb.load(name, seed=3, **sizes)
    return bb.Trained(
        model=model if method is None else model.with_method(method),
        task="context_integration",
        arguments=dict(task.arguments),
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )


def climbed(trained, rung, **options):
    report = bb.check(trained, ladder="full", only=[rung], progress=False, **options)
    assert "errors" not in report.data, report.data["errors"]
    number = {"spike_times": 4, "integrator": 5}[rung]
    names = [check for check in report.checks if check.number == number]
    return names[-1], report


# -- rung 4 -------------------------------------------------------------------------------------------


def test_spike_times_of_driven_neurons_pass():
    check, report = climbed(untrained(cells=60), "spike_times")
    assert check.verdict == "pass", check.value
    found = report.data["spike_times"]
    assert [row["dt (ms)"] for row in found["steps"]] == pytest.approx([1, 0.2])
    assert found["counted"] == ["first spikes", "first intervals"]
    for row in found["steps"]:
        assert 0.05 < row["first spikes: median error (steps)"] < 1
    assert len(report.figures) == 1


@pytest.mark.parametrize("mutant", ["integrator", "noise"])
def test_spike_times_fail_the_mutants(mutant):
    trained = untrained(cells=60)
    check, _ = climbed(trained, "spike_times", model=mutants.MUTANTS[mutant](trained.model))
    assert check.verdict == "fail", check.value


def test_a_reset_that_loses_something_shows_in_the_intervals():
    trained = untrained(cells=60)
    cells = trained.model["cells"]
    reset = {"spike": cells.codes["spike"] + "\nv = v_reset - 0.5*(theta - v_reset)"}
    check, report = climbed(
        trained, "spike_times", model=trained.model.with_group(replace(cells, codes=reset))
    )
    last = report.data["spike_times"]["steps"][-1]
    assert check.verdict == "fail", check.value
    assert last["first spikes: median error (steps)"] < 1 < last["first intervals: median error (steps)"]


def test_a_single_time_step_is_divided():
    check, report = climbed(untrained(cells=60), "spike_times", dt=[1] * ms)
    assert check.verdict == "pass"
    assert [row["dt (ms)"] for row in report.data["spike_times"]["steps"]] == pytest.approx([1, 0.25])


def test_errors_of_many_time_steps_fail_at_the_training_s_step():
    trained = untrained(cells=60)
    cells = trained.model["cells"]
    late = replace(cells, events={"spike": f"({cells.events['spike']}) and t > 55*dt"})
    check, report = climbed(trained, "spike_times", model=trained.model.with_group(late))
    found = report.data["spike_times"]
    coarse, fine = (row["first spikes: median error (steps)"] for row in found["steps"])
    assert fine < 1 and coarse > found["bounds (steps)"]["first spikes"] == 20
    assert check.verdict == "fail"


def test_neurons_that_spike_at_the_training_step_only_fail(monkeypatch):
    times = np.array([np.arange(20.0), np.arange(20.0) + 1]).T * DT
    monkeypatch.setattr(
        spike_times, "_first_two", lambda context, model, noise, dt: times if dt == DT else times * np.nan
    )
    check, report = climbed(untrained(cells=20), "spike_times")
    assert check.verdict == "fail" and len(report.figures) == 1


def test_coarser_steps_than_the_training_s_set_no_bound():
    coarse = untrained(cells=60)
    trained = replace(coarse, model=coarse.model.with_dt(0.5 * ms))
    _, report = climbed(trained, "spike_times", dt=[1, 0.1] * ms)
    assert [row["dt (ms)"] for row in report.data["spike_times"]["steps"]] == pytest.approx([0.5, 0.1])


@pytest.mark.parametrize(
    "trained, reason",
    [
        (lambda: untrained("lin2024_rate", cells=10), "no group of neurons is integrated"),
        (lambda: quiet(untrained(cells=10)), "only 0 neurons spike"),
        (lambda: with_cells(untrained(cells=10), r"xi", "randn()*Hz**0.5"), "draws random numbers"),
        (lambda: with_cells(untrained(cells=10), r"xi", "xi*(dt/ms)"), "contains dt"),
    ],
)
def test_where_spike_times_are_not_compared(trained, reason):
    check, _ = climbed(trained(), "spike_times")
    assert check.verdict == "not applicable" and reason in check.reason


def with_cells(trained, old, new):
    cells = trained.model["cells"]
    changed = replace(cells, equations=cells.equations.replace(old, new))
    return replace(trained, model=trained.model.with_group(changed))


def quiet(trained):
    return replace(trained, model=trained.model.with_values({("cells", "theta"): np.full(10, 1.0)}))


def test_errors_of_first_spikes_and_intervals():
    nan = np.nan
    reference = np.array([[1.0, 3.0], [2.0, nan], [4.0, 5.0], [nan, nan]])
    times = np.array([[1.5, 3.25], [nan, nan], [4.0, nan], [nan, nan]])
    first, interval = timing_errors(times, reference, missing=100)
    assert first.tolist() == [0.5, 100, 0]
    assert interval.tolist() == [0.25, 100]


def test_first_two_spikes_are_those_of_the_raster():
    simulated = bb.simulate(untrained(cells=12), trials=3, seed=1, progress=False)
    found = first_two_spikes(simulated, "cells").reshape(3, 12, 2)
    raster = simulated.raster("cells").values
    for trial in range(3):
        for neuron in range(12):
            times = (np.flatnonzero(raster[:, trial, neuron]) + 1)[:2] * DT
            wanted = np.append(times, [np.nan] * (2 - len(times)))
            assert np.allclose(found[trial, neuron], wanted, equal_nan=True)


# -- neurons without their network ----------------------------------------------------------------------


def test_held_noise_takes_the_steps_of_frozen_noise():
    trained = untrained(cells=20)
    trials = bb.tasks.make(trained.task, **trained.arguments).trials(1, 2, 1 * ms)
    model, held = with_held_noise(trained.model, DT)
    assert held == {"held_xi_cells": 20}
    noise = held_noise(held, trials, seed=1)
    inputs = trained.inputs | {name: name for name in noise}
    shown = replace(trials, inputs={**trials.inputs, **noise})
    settings = dict(record=["cells.v"], progress=False)
    by_input = bb.simulate(replace(trained, model=model, inputs=inputs), shown, **settings)
    frozen = {"cells_stateupdater/0": noise["held_xi_cells"] * np.sqrt(DT)}
    by_xi = bb.simulate(trained, trials, noise=frozen, **settings)
    assert by_xi.spikes["cells"].sizes["spike"] > 10
    assert np.array_equal(by_input.raster("cells"), by_xi.raster("cells"))
    assert np.allclose(by_input.states["cells.v"], by_xi.states["cells.v"], rtol=1e-9)


def test_driven_neurons_have_their_inputs_but_no_synapses():
    model, _ = driven_neurons(untrained(cells=20).model, DT)
    assert {group.name for group in model.groups} == {"source", "cells", "out", "w_in"}
    through_modes, held = driven_neurons(bb.load("lin2024", cells=10, seed=1), DT)
    assert not held and "xi_out" not in [group.name for group in through_modes.groups]


def test_noise_that_cannot_be_held():
    model = bb.load("li2020", cells=5, seed=1)
    rec = model["rec"]
    noisy = rec.equations.replace("-s/tau", "-s/tau + 1*pA*xi/second**0.5")
    with pytest.raises(NotApplicable, match="the synapses rec have noise"):
        with_held_noise(model.with_group(replace(rec, equations=noisy)), DT)
    cells = model["cells"]
    shared = f"{cells.equations}\nI_all = 1*pA*xi*second**0.5 : amp (shared)"
    with pytest.raises(NotApplicable, match="share the noise of I_all"):
        with_held_noise(model.with_group(replace(cells, equations=shared)), DT)


# -- rung 5: a second integrator --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "own, other", [("euler", "rk4"), ("exponential_euler", "rk4"), ("rk4", "exact"), ("exact", "rk4")]
)
def test_the_other_integrator_is_of_no_lower_order(own, other):
    model = with_cells(untrained(cells=5), "sigma*xi", "0*volt/second").model.with_method(own)
    assert other_methods(model) == ({"cells": other, "rec": other}, [])


def test_where_there_is_no_other_integrator():
    model = bb.load("hodgkin_huxley", cells=10, seed=1).with_method("rk4")
    methods, left = other_methods(model)
    assert methods == {} and left == ["cells: Brian2 has no method of its order besides 'rk4'"]


def test_a_second_integrator_changes_the_method_and_nothing_else(monkeypatch):
    check, report = climbed(untrained(cells=20), "integrator")
    found = report.data["integrator"]
    assert found["methods"] == {"cells": "rk4", "rec": "rk4"} and found["trials"] == 12
    assert check.verdict == "fail" and "more trials" in check.reason  # 12 trials show nothing
    assert "exact" not in check.value and "rk4" in check.value
