"""Rung 6: distances, what it passes and fails, its attribution, and fine-tuning at the finer step."""

from dataclasses import replace

import numpy as np
import pytest
import quantities as pq
import xarray
from brian2 import Network, NeuronGroup, ms, mV
from elephant.spike_train_dissimilarity import van_rossum_distance, victor_purpura_distance
from neo import SpikeTrain

import brianbridge as bb
from brianbridge.checks import LADDER, CheckOptionError, mutants, options, running, time_steps
from brianbridge.checks.attribution import CAUSES, with_causes
from brianbridge.checks.context import Context, Sizes
from brianbridge.checks.distances import distances
from brianbridge.checks.finding import NotRun
from brianbridge.checks.keeping import Kept
from brianbridge.checks.noise import drawn_noise
from brianbridge.checks.surrogate_side import fine_tuned
from brianbridge.checks.thresholds import crossing
from brianbridge.simulation.result import SimulatedTrials
from brianbridge.surrogate.spike_gradients import Box, CustomGradient, Triangle, read_spike_gradient

RUNG = next(rung for rung in LADDER if rung.key == "time_steps")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", Sizes(trials=12, few=2, refinements=(1, 2), full=True))


def network(values):
    """20 neurons of Li et al. with some values of their own."""
    task = bb.tasks.ContextIntegration(fixation=10 * ms, stimulus=100 * ms, response=30 * ms, noise=0.1)
    model = bb.load("li2020", cells=20, seed=3)
    values = {tuple(name.split(".")): value for name, value in values(model).items()}
    return bb.Trained(
        model=model.with_values(values),
        task="context_integration",
        arguments=dict(task.arguments),
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )


def rung_6(trained, *dt, **options):
    report = bb.check(trained, ladder="full", only=["time_steps"], dt=dt * ms, progress=False, **options)
    assert "errors" not in report.data, report.data["errors"]
    return next(check for check in report.checks if check.name == RUNG.name), report


# -- the true network, and mutants --------------------------------------------------------------------


@pytest.fixture(scope="module")
def driven():
    """Eight neurons are driven by the context; the others spike only if these make them."""

    def values(model):
        w_in, rec = model["w_in"], model["rec"]
        return {
            "w_in.w": 3e-10 * ((w_in.i > 1) & (w_in.j < 8)),
            "rec.w": 1e-8 * ((rec.i < 8) & (rec.j >= 8)),
        }

    return network(values)


def test_the_true_network_passes(driven):
    check, report = rung_6(driven, 0.5)
    assert check.verdict == "pass", check.value
    assert len(report.figures) == 1 and len(report.tables) == 2
    found = report.data["time_steps"]
    assert [row["dt (ms)"] for row in found["steps"]] == pytest.approx([1, 0.5])
    assert found["steps"][0]["Victor-Purpura"] == found["steps"][0]["d of rate"] == 0
    assert found["nudge"]["by"] == "1e-9 mV"
    assert found["nudge"]["Victor-Purpura"] < found["other noise"]["Victor-Purpura"]
    assert [row["cause"] for row in found["attribution"]] == [
        *("training's step", "as is", *CAUSES, "fine-tuned: not run")
    ]
    assert found["attribution"][1]["rate (Hz)"] == found["steps"][-1]["rate (Hz)"]
    assert "not asked for" in report.tables[1].caption


@pytest.mark.parametrize("mutant", RUNG.mutants)
def test_mutants_fail(driven, mutant):
    check, _ = rung_6(driven, 0.5, model=mutants.MUTANTS[mutant](driven.model))
    assert check.verdict == "fail" and "farther" in check.reason


@pytest.mark.parametrize("noisy", [True, False])
def test_a_network_that_falls_silent_at_a_finer_step_fails(driven, noisy):
    trained = driven if noisy else without_noise(driven)
    cells = trained.model["cells"]
    sleepy = replace(cells, events={"spike": f"({cells.events['spike']}) and dt > 0.6*ms"})
    check, report = rung_6(trained, 0.5, model=trained.model.with_group(sleepy))
    assert report.data["time_steps"]["steps"][1]["rate (Hz)"] == 0
    assert check.verdict == "fail" and "the mean rate changes by 100%" in check.reason, check.value


def test_only_steps_that_divide_the_training_s_and_the_finest_are_compared(driven):
    check, report = rung_6(driven, 0.5, 1 / 3, 0.25)
    assert [row["dt (ms)"] for row in report.data["time_steps"]["steps"]] == pytest.approx([1, 0.5, 0.25])
    assert "left out: 0.333333 ms" in check.reason


def test_a_silent_network_is_not_applicable():
    silent = network(lambda model: {"cells.theta": np.full(20, 1.0)})
    check, report = rung_6(silent, 0.5)
    assert check.verdict == "not applicable" and "no neuron spikes" in check.reason
    assert not report.figures


def test_all_runs_start_in_the_same_states(driven):
    """A rand() in an initial expression is drawn once for a trial, not once for a run."""
    cells = replace(driven.model["cells"], initial={"v": "v_rest + 15*mV*rand()"})
    found = rung_6(replace(driven, model=driven.model.with_group(cells)), 0.5)[1].data["time_steps"]
    assert found["nudge"]["Victor-Purpura"] < 1e-3 < found["other noise"]["Victor-Purpura"]
    again = rung_6(replace(driven, model=driven.model.with_group(cells)), 0.5)[1].data["time_steps"]
    assert again == found


def without_noise(trained, **changes):
    cells = trained.model["cells"]
    quiet = replace(cells, equations=cells.equations.replace("sigma*xi", "0*volt/second"), **changes)
    return replace(trained, model=trained.model.with_group(quiet))


def test_a_network_without_noise_is_judged_by_its_rates(driven):
    check, report = rung_6(without_noise(driven), 0.5)
    assert check.verdict == "pass" and "mean rates alone" in check.reason and "1e-9 mV" in check.detects
    found = report.data["time_steps"]
    assert len(found["steps"]) == 2 and found["steps"][1]["rate (Hz)"] > 0 and found["other noise"] is None
    causes = [row["cause"] for row in found["attribution"]]
    assert "+ threshold: nothing to change" in causes and "+ delay" in causes
    assert len(report.tables) == 2 and len(report.figures) == 1
    assert "distance between the trials and those with the nudge" in report.figures[0].caption


def unitless(threshold="x > 1", n=5):
    """Neurons whose membrane variable is called x and has no unit."""
    cells = NeuronGroup(
        n,
        "dx/dt = (2 - x)/T_m : 1\nT_m : second (constant)\ndy/dt = -y/T_m : 1",
        threshold=threshold,
        reset="x = 0; y += 1",
        method="euler",
        dt=1 * ms,
        name="cells",
    )
    cells.T_m = "(10 + i)*ms"
    model = bb.wrap(Network(cells))
    model = model.with_group(replace(model["cells"], initial={"x": "0.5*rand()"}))
    return bb.Trained(model=model, task="sign", arguments={}, inputs={}, output="cells.y")


class Nothing:
    """Trials in which nothing is shown."""

    name, arguments = "nothing", {}

    def trials(self, rng, batch, dt):
        shape = 100, batch, 5
        return bb.tasks.Trials({}, np.zeros(shape), np.ones(shape), {}, {}, 1 * ms)

    def score(self, output, trials):
        return np.ones(len(trials), bool)


@pytest.mark.parametrize("threshold", ["x > 1", "t > 5*ms and x > 1"])
def test_the_variable_of_the_threshold_is_nudged_whatever_its_name_and_unit(threshold):
    check, report = rung_6(unitless(threshold), 0.5, task=Nothing())
    assert check.verdict == "pass" and "1e-09 of the range of cells.x" in check.detects
    nudge = report.data["time_steps"]["nudge"]
    assert nudge["Victor-Purpura"] < 1e-3
    causes = [row["cause"] for row in report.data["time_steps"]["attribution"]]
    assert causes[2:] == [
        *("+ refractory period", "+ delay: nothing to change", "+ threshold: nothing to change", "+ decay"),
        "fine-tuned: not run",
    ]


def test_the_nudge_is_handed_over(monkeypatch, driven):
    """Not only its words: the start of the nudged run is higher."""
    starts = []
    run = Context.run

    def seen(self, *arguments, initial=None, **options):
        starts.append(initial)
        return run(self, *arguments, initial=initial, **options)

    monkeypatch.setattr(Context, "run", seen)
    rung_6(unitless(), 0.5, task=Nothing())
    first, nudged = starts[0]["cells.x"], next(s["cells.x"] for s in starts if not np.array_equal(
        s["cells.x"], starts[0]["cells.x"]))  # fmt: skip
    assert 0 < np.ptp(first) < 0.5 and np.allclose(nudged - first, (nudged - first).max(), rtol=1e-5)
    assert 1e-10 < (nudged - first).max() < 1e-9


def test_a_single_neuron_has_no_correlation():
    _, report = rung_6(unitless(n=1), 0.5, task=Nothing())
    assert np.isnan([row["correlation"] or np.nan for row in report.data["time_steps"]["steps"]]).all()


def test_effects_without_a_spread_are_infinite():
    before = np.arange(5.0)
    assert time_steps._cohens_d(before + 0.1, before) == np.inf
    assert time_steps._cohens_d(before - 0.1, before) == -np.inf
    assert time_steps._cohens_d(before, before) == 0
    assert time_steps._cohens_d(before + [0, 1, 0, 1, 0], before) == pytest.approx(0.4 / 0.3**0.5)


# -- the attribution ----------------------------------------------------------------------------------


def test_causes_are_undone_as_in_a_simulation_written_out():
    """Neurons without connections, whose equation can be integrated in a few lines."""

    def values(model):
        cells = model["cells"].values
        return {"w_in.w": 0 * model["w_in"].values["w"], "rec.w": 0 * model["rec"].values["w"],
                "cells.v_rest": cells["theta"] - 0.002}  # fmt: skip

    trained = network(values)
    rows = rung_6(trained, 0.25)[1].data["time_steps"]["attribution"]
    cells, coarse, fine = trained.model["cells"].values, 1e-3, 2.5e-4
    task = bb.tasks.make(trained.task, **trained.arguments)
    noise = drawn_noise(trained.model, task.trials(1, 2, 1 * ms), 1, 4)["cells_stateupdater/0"]
    raised = 0.5826 * trained.model["cells"].constants["sigma"].value * (coarse**0.5 - fine**0.5)
    changes = [
        dict(dt=coarse, noise=noise.reshape(140, 4, 2, 20).sum(axis=1) / 2),
        dict(),
        *[dict(refractory=4)] * 2,  # nothing is connected: a delay does nothing
        dict(refractory=4, raised=raised),
        dict(refractory=4, raised=raised, tau=-coarse / np.log(1 - coarse / cells["tau_m"])),
    ]
    for row, change in zip(rows, changes):
        rate = integrated(cells, **(dict(dt=fine, noise=noise) | change)) / (2 * 20 * 0.14)
        assert row["rate (Hz)"] == pytest.approx(rate, rel=1e-9), row
    assert len({row["rate (Hz)"] for row in rows}) >= 5


def integrated(cells, dt, noise, refractory=0, raised=0.0, tau=None):
    """Number of spikes of leaky neurons, by Euler's method."""
    sigma, tau = 0.005 / np.sqrt(1e-3), cells["tau_m"] if tau is None else tau
    v = np.tile(cells["v_rest"], (noise.shape[1], 1))
    last, count = np.full(v.shape, -(10**9)), 0
    for step, xi in enumerate(noise):
        v = v + dt * (cells["v_rest"] - v) / tau + sigma * np.sqrt(dt) * xi
        spikes = (v > cells["theta"] + raised) & (step - last >= refractory)
        v = np.where(spikes, cells["v_rest"] + cells["ahp"], v)
        last[spikes] = step
        count += spikes.sum()
    return count


@pytest.mark.parametrize(
    "condition, found",
    [
        ("v > theta", ("v", "theta")),
        (" v>=theta + 2*mV ", ("v", "theta + 2 * mV")),
        ("v > theta and t > 5*ms", None),
        ("theta < v", None),
        ("0*mV < v > theta", None),
        ("not v > theta", None),
        ("", None),
    ],
)
def test_only_a_single_comparison_of_a_variable_is_a_crossing(condition, found):
    assert crossing(condition) == found


def test_causes_change_what_they_can_and_nothing_else(driven):
    model, cells = driven.model, driven.model["cells"]
    assert with_causes(model, ["+ threshold"], 1e-3, 1e-4)["cells"].events["spike"] != cells.events["spike"]
    compound = model.with_group(replace(cells, events={"spike": "v > theta and t > 5*ms"}))
    assert with_causes(compound, ["+ threshold"], 1e-3, 1e-4) is compound
    resting = model.with_group(replace(cells, refractory=2e-3))
    assert with_causes(resting, ["+ refractory period"], 1e-3, 1e-4) is resting
    # not every time constant is called tau, and not every method decays as Euler's
    renamed = replace(
        cells,
        equations=cells.equations.replace("tau_m", "T_m"),
        values={name.replace("tau_m", "T_m"): value for name, value in cells.values.items()},
    )
    renamed = replace(
        model, groups=tuple(renamed if g.name == "cells" else g for g in model.groups), trainable=()
    )
    values = with_causes(renamed, ["+ decay"], 1e-3, 1e-4)["cells"].values
    assert np.allclose(values["T_m"], -1e-3 / np.log(1 - 1e-3 / cells.values["tau_m"]))
    others = tuple(replace(g, method="exponential_euler") if g.equations else g for g in renamed.groups)
    exact = replace(renamed, groups=others)
    assert with_causes(exact, ["+ decay"], 1e-3, 1e-4) is exact


# -- distances ----------------------------------------------------------------------------------------


def simulated(trains, dt):
    """One group, two trials of half of the neurons each."""
    n = len(trains) // 2
    entries = [(k // n, k % n, step) for k, train in enumerate(trains) for step in train[::-1]]
    trial, neuron, step = np.array(entries, dtype=int).reshape(-1, 3).T
    spikes = xarray.Dataset({"trial": ("spike", trial), "neuron": ("spike", neuron), "step": ("spike", step)})
    unread = dict(task=None, outputs=None, states={}, steps=0, final=[], device="runtime")
    return SimulatedTrials(trials=range(2), spikes={"cells": spikes}, sizes={"cells": n}, dt=dt, **unread)


def test_distances_are_those_of_elephant():
    rng = np.random.default_rng(1)
    counts = [(0, 3), (4, 0), (0, 0), (1, 1), (7, 30), (30, 7), (20, 20), (12, 13)]
    first = [np.sort(rng.choice(200, a, replace=False)) for a, _ in counts]
    second = [np.sort(rng.choice(800, b, replace=False)) for _, b in counts]
    expected = []
    for a, b in zip(first, second):
        times = (a + 1) * 1.0, (b + 1) * 0.25
        pair = [SpikeTrain(values * pq.ms, t_stop=300 * pq.ms) for values in times]
        if len(a) + len(b) == 0:
            expected.append((0, 0))
            continue
        expected.append(
            (
                victor_purpura_distance(pair, cost_factor=0.1 / pq.ms)[0, 1],
                van_rossum_distance(pair, time_constant=10 * pq.ms)[0, 1],
            )
        )
    found = distances(simulated(first, 1e-3), simulated(second, 0.25e-3))
    assert found == pytest.approx(np.mean(expected, axis=0), rel=1e-12)
    assert distances(simulated(first, 1e-3), simulated(first, 1e-3)) == (0, 0)
    assert distances(simulated([[]] * 4, 1e-3), simulated([[]] * 4, 1e-3)) == (0, 0)


# -- fine-tuning --------------------------------------------------------------------------------------

TRAINING = dict(
    spike_gradient={"cells": "Box(width=25. * mvolt)"},
    dtype="torch.float32",
    reset_gradient=True,
    batch=10,
    learning_rates={"w_out.w": 10.0},
    loss="root_sum_square",
    clip=1.0,
    truncate=None,
    trained_on={"sign": {}},
)


class Sign:
    """The output has to follow the sign of the streams: a task of the user's own."""

    name, arguments = "sign", {}

    def trials(self, rng, batch, dt):
        sign = np.random.default_rng(rng).choice([-1.0, 1.0], batch)
        stimulus, target = np.zeros((150, batch, 4)), np.zeros((150, batch, 1))
        stimulus[:100, :, :2] = sign[:, None]
        target[100:, :, 0] = sign
        mask = np.broadcast_to(np.arange(150)[:, None, None] >= 100, target.shape).astype(float)
        epochs = {"report": np.tile([100, 150], (batch, 1))}
        return bb.tasks.Trials({"stimulus": stimulus}, target, mask, epochs, {"sign": sign}, dt)

    def score(self, output, trials):
        return (output[100:, :, 0] * trials.conditions["sign"] > 0.8).any(axis=0)


@pytest.fixture(scope="module")
def pushing():
    """Half of the neurons spike for positive streams, half for negative ones, and each pushes the output."""

    def values(model):
        w_in, sign = model["w_in"], np.where(np.arange(20) % 2, -1.0, 1.0)
        return {
            "w_in.w": 5e-10 * sign[w_in.j] * (w_in.i < 2),
            "w_out.w": 0.5 * sign,
            "cells.tau_r": np.full(20, 0.1),
            "rec.w": 0 * model["rec"].values["w"],
        }

    return replace(network(values), task="sign", arguments={}, manifest={"training": TRAINING})


@pytest.mark.slow
def test_fine_tuning_repairs_what_a_finer_step_broke(pushing):
    # what a spike adds to the output halves with the step: the output no longer reaches its bound
    broken = mutants.charge_per_step(pushing.model)
    _, report = rung_6(pushing, 0.5, task=Sign(), model=broken, fine_tune=10)
    found = report.data["time_steps"]
    assert found["fine-tuning"]["updates"] == 10
    networks = found["fine-tuning"]["networks"]
    assert [(row["network"], row["dt (ms)"]) for row in networks] == [
        *(("trained", 1), ("trained", 0.5), ("fine-tuned", 0.5))
    ]
    coarse, fine, tuned = (row["accuracy"] for row in networks)
    assert fine < coarse - 0.3 and tuned > fine + 0.3
    last = found["attribution"][-1]
    assert last["cause"] == "fine-tuned" and last["rate (Hz)"] > 0
    assert len(report.tables) == 3 and report.manifest["check"]["fine-tuning (updates)"] == 10


@pytest.mark.parametrize(
    "changes, reason",
    [
        (None, "does not say how the network was trained: spike_gradient"),
        ({"loss": "mine"}, "does not say how the network was trained: mine"),
        ({"spike_gradient": {"cells": "CustomGradient(width=1. * mvolt)"}}, "no spike gradient"),
    ],
)
def test_without_a_record_of_the_training_it_is_not_run(pushing, changes, reason):
    training = {} if changes is None else pushing.manifest["training"] | changes
    trained = replace(pushing, manifest={"training": training})
    with pytest.raises(NotRun, match=reason):
        fine_tuned(trained, trained.model, None, 5e-4, updates=1, seed=1)


def test_fine_tuning_concerns_one_rung(tmp_path):
    one, other = ({"check": {"margins": {}, "fine-tuning (updates)": n}, "trained": {}} for n in (0, 9))
    for rung in (LADDER[0], RUNG):
        finding = running.Finding("pass").stored()
        Kept(tmp_path, one).keep(rung, finding)
        assert Kept(tmp_path, other).of(rung) == (None if rung is RUNG else finding)
    with pytest.raises(CheckOptionError, match="no number of updates"):
        bb.check(network(lambda model: {}), fine_tune=-1, progress=False)


@pytest.mark.parametrize("gradient", [Box(width=25 * mV), Triangle(width=0.5, height=2), None])
def test_spike_gradients_are_read_from_their_text(gradient):
    read = read_spike_gradient(repr(gradient))
    assert repr(read) == repr(gradient) and type(read) is type(gradient)
    with pytest.raises(ValueError, match="no spike gradient"):
        read_spike_gradient(repr(CustomGradient(lambda x: x, width=25 * mV)))
