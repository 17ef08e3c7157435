"""Rung 5: other back ends of Brian2, and networks in which one bit is enough for other spikes."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, ms, prefs

import brianbridge as bb
from brianbridge.checks import back_ends, mutants, options
from brianbridge.checks.context import Sizes
from brianbridge.simulation.standalone import DeviceMissing
from brianbridge.tasks import Trials

STEPS, N = 120, 8


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", Sizes(trials=2, few=2, refinements=(1, 2), full=True))


class Nothing:
    """Trials in which nothing is shown."""

    name, arguments = "nothing", {}

    def trials(self, rng, batch, dt):
        shape = STEPS, batch, N
        return Trials({}, np.zeros(shape), np.ones(shape), {}, {}, 1 * ms)

    def score(self, output, trials):
        return np.ones(len(trials), bool)


def chaotic(threshold="x > 0.9", growth=3.99):
    """Every step doubles a difference: after fifty of them other neurons spike."""
    cells = NeuronGroup(
        N,
        "x : 1\ny : 1\ngrowth : 1 (constant)",
        threshold=threshold,
        reset="y += 0.1",
        dt=1 * ms,
        name="cells",
    )
    cells.run_regularly("x = growth*x*(1 - x)", dt=1 * ms)
    cells.x, cells.growth = "0.1 + 0.08*i", growth
    return bb.Trained(model=bb.wrap(Network(cells)), inputs={}, output="cells.y", task="nothing")


def found(trained, task=None, **options):
    report = bb.check(
        trained, task or Nothing(), ladder="full", only=["back_ends"], progress=False, **options
    )
    assert "errors" not in report.data, report.data["errors"]
    check = next(check for check in report.checks if check.name == "Back ends of Brian2")
    return check, report.data["back_ends"]


def changed(trained, **values):
    old = trained.model["cells"].values
    return trained.model.with_values({("cells", name): old[name] + value for name, value in values.items()})


@pytest.mark.parametrize("name", [pytest.param("cython", marks=pytest.mark.slow), "C++ standalone"])
def test_a_chaotic_network_is_compared_from_the_same_states(monkeypatch, name):
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {name: {"target": "numpy"}})
    trained = chaotic()
    check, data = found(trained, model=changed(trained, x=1e-13))  # as a back end may round
    assert data["back ends"][0]["differing"] > 10 and data["back ends"][0]["first differing step"] > 20
    assert check.verdict == "pass"
    assert data["nudge"]["by"] == "1e-09 of the range of cells.x"
    assert 20 < data["nudge"]["first differing step"] < data["back ends"][0]["first differing step"]
    assert data["from the same states"][name]["of their range"] <= 1e-9
    check, data = found(trained, model=changed(trained, growth=-0.01))
    assert check.verdict == "fail"
    assert data["from the same states"][name]["of their range"] > 1e-4


@pytest.mark.parametrize("threshold, growth, when", [(0.9, 3.99, "from step"), (0.7, 3.2, "in no step")])
def test_a_difference_at_the_start_alone_is_no_chaos(monkeypatch, threshold, growth, when):
    """Steps from the end of a trial are the same; but differences begin before rounding could have grown."""
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {"C++ standalone": {"target": "numpy"}})
    trained = chaotic(f"x > {threshold}", growth)
    check, data = found(trained, model=changed(trained, x=0.02))
    assert data["from the same states"]["C++ standalone"]["of their range"] <= 1e-9
    assert check.verdict == "fail"
    assert "C++ standalone: spikes differ from step" in check.reason
    assert f"after a nudge of 1e-09 of the range of cells.x {when}" in check.reason


def test_a_network_that_is_not_chaotic_needs_no_such_steps(monkeypatch):
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {"C++ standalone": {"target": "numpy"}})
    check, data = found(chaotic())
    assert check.verdict == "pass" and data["from the same states"] == {}
    assert data["back ends"][0]["spikes"] > 100 and data["back ends"][0]["differing"] == 0


def test_trials_start_in_the_same_states_on_all_back_ends(monkeypatch):
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {"C++ standalone": {"target": "numpy"}})
    trained = chaotic()
    cells = replace(trained.model["cells"], initial={"x": "0.1 + 0.8*rand()"})
    check, data = found(replace(trained, model=trained.model.with_group(cells)))
    assert check.verdict == "pass" and data["from the same states"] == {}
    assert data["back ends"][0]["spikes"] > 100 and data["back ends"][0]["differing"] == 0


class Stimulus:
    """Three channels with two courses, and two outputs."""

    name, arguments = "stimulus", {}

    def trials(self, rng, batch, dt):
        stimulus = np.random.default_rng(rng).random((40, batch, 3))
        shape = 40, batch, 2
        return Trials({"stimulus": stimulus}, np.zeros(shape), np.ones(shape), {}, {}, 20 * ms)

    def score(self, output, trials):
        return np.ones(len(trials), bool)


@pytest.fixture(scope="module")
def rates():
    model = bb.load("song2016", cells=20, seed=3)
    return bb.Trained(model=model, inputs={"stimulus": "stimulus"}, output="out.o", task="stimulus")


@pytest.mark.parametrize("name", [pytest.param("cython", marks=pytest.mark.slow), "C++ standalone"])
def test_networks_without_spikes_are_compared_by_outputs_and_states(monkeypatch, rates, name):
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {name: {"target": "numpy"}})
    check, data = found(rates, Stimulus())
    row = data["back ends"][0]
    assert check.verdict == "pass" and data["from the same states"] == {}
    assert row["spikes"] == row["outputs (of their range)"] == row["states (of their range)"] == 0
    check, data = found(rates, Stimulus(), model=mutants.shuffled(rates.model))
    row = data["back ends"][0]
    assert check.verdict == "fail" and row["differing"] == 0 and row["outputs (of their range)"] > 1e-3
    assert data["from the same states"][name]["of their range"] > 1e-3


def test_a_silent_network_is_compared_by_its_states(monkeypatch):
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {"C++ standalone": {"target": "numpy"}})
    silent = chaotic(threshold="x > 2")
    assert found(silent)[0].verdict == "pass"
    assert found(silent, model=changed(silent, growth=-0.01))[0].verdict == "fail"


def test_last_bits_of_neurons_that_rest_are_no_difference(monkeypatch):
    """Their range is nothing to measure rounding by."""
    monkeypatch.setattr(back_ends, "_wanted", lambda *_: {"C++ standalone": {"target": "numpy"}})
    cells = NeuronGroup(N, "y : 1", dt=1 * ms, name="cells")
    cells.y = "1 + 3e-16*i"
    resting = bb.Trained(model=bb.wrap(Network(cells)), inputs={}, output="cells.y", task="nothing")
    assert 0 < np.ptp(resting.model["cells"].values["y"]) < 1e-14
    check, data = found(resting, model=changed(resting, y=2.5e-16))
    assert check.verdict == "pass" and data["from the same states"] == {}
    assert 0 < data["back ends"][0]["states (of their range)"] < 1e-9


def test_devices_that_are_missing_are_named(monkeypatch):
    def missing(job, **_):
        raise DeviceMissing("no card")

    monkeypatch.setattr("brianbridge.simulation.cuda.run", missing)
    monkeypatch.setattr(
        back_ends, "_wanted", lambda *_: {"CUDA": {"device": "cuda_standalone"}, "numpy": {"target": "numpy"}}
    )
    check, data = found(chaotic())
    assert check.verdict == "pass" and check.reason == "CUDA: no card"
    assert [row["back end"] for row in data["back ends"]] == ["numpy"]


@pytest.mark.slow
def test_cpp_standalone_is_compared_in_the_full_ladder():
    before = prefs.codegen.cpp.extra_compile_args_gcc
    prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O0", "-std=c++11"]
    try:
        trained = chaotic()
        check, data = found(trained)
        assert check.verdict == "pass"
        assert [row["back end"] for row in data["back ends"]] == ["cython", "C++ standalone"]
        assert "CUDA: device='cuda_standalone'" in check.reason
        slower = changed(trained, growth=-0.01)
        check, data = found(trained, model=slower)
        assert check.verdict == "fail" and set(data["from the same states"]) == {"cython", "C++ standalone"}
    finally:
        prefs.codegen.cpp.extra_compile_args_gcc = before


def test_a_model_in_the_state_of_a_trial_goes_on_as_the_trial():
    trained = chaotic()
    trials = Nothing().trials(0, 1, 1 * ms)
    short = back_ends._last_rows(trials, 40)
    first = bb.simulate(trained, back_ends._last_rows(trials, STEPS - 40), progress=False)
    model = back_ends._in_state(trained.model, first.final[0], first)
    rest = bb.simulate(replace(trained, model=model), short, progress=False)
    whole = bb.simulate(trained, trials, progress=False)
    assert float(short.duration) == pytest.approx(0.04)
    assert np.array_equal(whole.raster("cells").values[-40:], rest.raster("cells").values)
    assert np.array_equal(whole.final[0]["cells.x"], rest.final[0]["cells.x"])
