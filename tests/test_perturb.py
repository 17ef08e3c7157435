"""Perturbations against networks that were perturbed by hand, between runs of Brian2."""

import errno
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from brian2 import (
    Gohm,
    Hz,
    Network,
    NeuronGroup,
    PoissonInput,
    SpikeMonitor,
    StateMonitor,
    Synapses,
    TimedArray,
    amp,
    ms,
    mV,
    pA,
    prefs,
    start_scope,
)

import brianbridge as bb
from brianbridge.cli import main
from brianbridge.cli.perturbation_text import read_action, read_selection
from brianbridge.tasks import Trials

EQUATIONS = """
dv/dt = (-70*mV - v + R*I)/tau_m : volt (unless refractory)
dx/dt = -x/(10*ms) : 1
I = I_syn + stimulus(t, i) : amp
I_syn : amp
tau_m : second (constant)
"""
EPOCHS = {"first": (10, 30), "second": (30, 60)}
STEPS, N = 80, 6


@pytest.fixture(scope="module")
def trained():
    return bb.Trained(
        model=bb.wrap(build()[0]), inputs={"stimulus": "stimulus"}, output="cells.x", task="none"
    )


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(5)
    stimulus = 25e-12 + 20e-12 * rng.random((STEPS, 2, N))
    epochs = {name: np.array([span, np.add(span, 5)]) for name, span in EPOCHS.items()}
    return Trials(
        {"stimulus": stimulus},
        np.zeros((STEPS, 2, N)),
        np.ones((STEPS, 2, N)),
        epochs,
        {"side": np.array([0, 1])},
        0.001,
    )


@pytest.fixture(autouse=True)
def numpy_target():
    before, prefs.codegen.target = prefs.codegen.target, "numpy"
    yield
    prefs.codegen.target = before


def build(stimulus=np.zeros((STEPS, N))):  # noqa: B008
    """The network as a Brian2 user would write it."""
    start_scope()
    stimulus = TimedArray(stimulus * amp, dt=1 * ms)
    cells = NeuronGroup(
        N,
        EQUATIONS,
        threshold="v > -45*mV",
        reset="v = -75*mV; x += 1",
        refractory=2 * ms,
        method="euler",
        dt=1 * ms,
        name="cells",
        namespace={"stimulus": stimulus, "R": 1 * Gohm},
    )
    cells.v, cells.tau_m = -70 * mV, [5, 8, 11, 14, 17, 20] * ms
    rec = Synapses(
        cells,
        cells,
        "ds/dt = -s/(5*ms) : amp (clock-driven)\nI_syn_post = s : amp (summed)\nw : amp (constant)",
        on_pre="s += w",
        method="euler",
        dt=1 * ms,
        name="rec",
    )
    rec.connect(condition="i != j")
    rec.w = "(6 - 3*i)*pA"
    return Network(cells, rec), cells, rec


def by_hand(trials, trial, epoch, before_epoch, each_step=None):
    """Change a network at the beginning of an epoch, and back at its end; v at the end of every step."""
    network, cells, rec = build(trials.inputs["stimulus"][:, trial])
    monitor, spikes = StateMonitor(cells, "v", record=True, when="end"), SpikeMonitor(cells)
    network.add(monitor, spikes)
    start, stop = trials.epochs[epoch][trial]
    network.run(start * ms)
    back = before_epoch(cells, rec) if before_epoch else None
    if each_step:
        for _ in range(stop - start):
            each_step(cells)
            network.run(1 * ms)
        each_step(cells)
    else:
        network.run((stop - start) * ms)
    if back:
        back()
    network.run((STEPS - stop) * ms)
    return np.array(monitor.v_).T, np.array(spikes.i), np.rint(spikes.t / ms).astype(int)


def simulated(trained, trials, perturbation, **settings):
    return bb.simulate(
        trained, trials, perturbation=perturbation, record=["cells.v"], progress=False, **settings
    )


def agree(found, trials, epoch, before_epoch, each_step=None):
    for trial in range(1 if each_step else 2):  # step by step takes long
        v, neurons, steps = by_hand(trials, trial, epoch, before_epoch, each_step)
        raster = np.zeros((STEPS, N), dtype=bool)
        raster[steps, neurons] = True
        assert np.array_equal(found.raster("cells", trial), raster)
        free = found.states["cells.v"][:, trial].values != -0.1  # the monitor saw v before it was set again
        assert np.array_equal(found.states["cells.v"].values[:, trial][free], v[free])


def test_unperturbed_network_spikes(trained, trials):
    found = simulated(trained, trials, None)
    assert found.spikes["cells"].sizes["spike"] > 40
    agree(found, trials, "first", None)


def test_clamp(trained, trials):
    perturbation = bb.perturb.clamp(
        "cells", v=-100 * mV, where=bb.perturb.above_median("tau_m"), during="first"
    )
    found = simulated(trained, trials, perturbation)

    def hold(cells):
        cells.v[3:] = -100 * mV

    agree(found, trials, "first", None, hold)
    clamped = found.states["cells.v"] == -0.1
    for trial, (start, stop) in enumerate(trials.epochs["first"]):
        assert clamped[start:stop, trial, 3:].all()
        assert not clamped[:start, trial].any() and not clamped[stop:, trial].any()
        assert not clamped[:, trial, :3].any()


def test_silence(trained, trials):
    perturbation = bb.perturb.silence("rec", bb.perturb.from_neurons(bb.perturb.indices([0, 1])), "second")

    def change(cells, rec):
        weights = np.array(rec.w_)
        rec.w[:2, :] = 0 * pA

        def back():
            rec.w_ = weights

        return back

    found = simulated(trained, trials, perturbation)
    agree(found, trials, "second", change)
    assert not np.array_equal(found.raster("cells"), simulated(trained, trials, None).raster("cells"))


def test_scale_noisy_parameters_and_shuffle(trained, trials):
    def change(cells, rec):
        cells.tau_m = 2 * cells.tau_m

        def back():
            cells.tau_m = cells.tau_m / 2

        return back

    agree(
        simulated(trained, trials, bb.perturb.scale("cells", tau_m=2, during="first")),
        trials,
        "first",
        change,
    )
    before = trained.model["cells"].values["tau_m"]
    model, _ = bb.perturb.shuffle("cells", "tau_m", bb.perturb.indices(slice(0, 4)), seed=2).applied(
        trained.model, {}, trials
    )
    after = model["cells"].values["tau_m"]
    assert np.array_equal(np.sort(after), before) and np.array_equal(after[4:], before[4:])
    assert not np.array_equal(after, before)


def test_a_constant_of_the_script_becomes_a_parameter(trained, trials):
    found = simulated(trained, trials, bb.perturb.scale("cells", R=0, during="first"))

    def change(cells, rec):
        cells.namespace["R"] = 0 * Gohm
        return lambda: cells.namespace.update(R=1 * Gohm)

    agree(found, trials, "first", change)


def test_a_shared_parameter_whose_name_ends_that_of_another_one(trials):
    start_scope()
    cells = NeuronGroup(3, "g : 1 (shared)\nsum_g : 1 (shared)", name="cells")
    cells.g, cells.sum_g = 2, 5
    model, _ = bb.perturb.scale("cells", bb.perturb.indices(1), g=3).applied(
        bb.wrap(Network(cells)), {}, trials
    )
    assert model["cells"].equations.split("\n")[:2] == ["g : 1", "sum_g : 1 (shared)"]
    assert model["cells"].values["g"].shape == (3,) and model["cells"].values["sum_g"].size == 1


def test_inject(trained, trials):
    perturbation = bb.perturb.inject("cells", I=30 * pA, where=bb.perturb.indices(5), during="first")
    found = simulated(trained, trials, perturbation)
    shifted = trials.inputs["stimulus"].copy()
    for trial, (start, stop) in enumerate(trials.epochs["first"]):
        shifted[start:stop, trial, 5] += 30e-12
    by_input = simulated(trained, replace(trials, inputs={"stimulus": shifted}), None)
    assert np.array_equal(found.raster("cells"), by_input.raster("cells"))
    assert np.allclose(found.states["cells.v"], by_input.states["cells.v"], rtol=0, atol=1e-15)


def test_lesion(trained, trials):
    chosen = bb.perturb.excitatory()
    assert chosen.mask(trained.model, "cells").tolist() == [True, True, False, False, False, False]
    perturbation = bb.perturb.lesion("cells", chosen, during="second")
    found = simulated(trained, trials, perturbation)

    def cut(cells, rec):
        rec.w[:2, :] = 0 * pA

    for trial, (start, stop) in enumerate(trials.epochs["second"]):
        v, *_ = by_hand(trials, trial, "second", cut)
        assert not found.raster("cells", trial)[start:stop, :2].any()
        assert found.raster("cells", trial)[stop:, :2].any()  # they come back
        assert np.array_equal(found.states["cells.v"][:stop, trial, 2:], v[:stop, 2:])


def test_prune_the_whole_trial(trained, trials):
    model, _ = bb.perturb.prune("rec", 0.4).applied(trained.model, {}, trials)
    before, after = (np.abs(m["rec"].values["w"]) for m in (trained.model, model))
    assert (after == 0).sum() == 12
    assert before[after == 0].max() <= before[after > 0].min()


def test_more_noise_of_the_same_numbers():
    model = bb.load("li2020", cells=5, seed=1)
    trained = bb.Trained(model=model, inputs={"stimulus": "stimulus"}, output="out.o")
    trials = bb.tasks.ContextIntegration(fixation=20 * ms, response=30 * ms).trials(1, 2, 1 * ms)
    numbers = np.random.default_rng(1).normal(size=(trials.steps, 2, 5))
    doubled = numbers.copy()
    for trial, (start, stop) in enumerate(trials.epochs["stimulus"]):
        doubled[start:stop, trial] *= 2
    settings = dict(record=["cells.v"], progress=False)
    found, wanted = (
        bb.simulate(
            trained,
            trials,
            noise={"cells_stateupdater/0": noise},
            perturbation=bb.perturb.noise("cells", 2, during="stimulus") if perturb else None,
            **settings,
        )
        for noise, perturb in [(numbers, True), (doubled, False)]
    )
    assert np.allclose(found.states["cells.v"], wanted.states["cells.v"], rtol=1e-12, atol=0)


def test_the_context_switches_at_the_beginning_of_an_epoch():
    trials = bb.tasks.ContextIntegration().trials(1, 4, 1 * ms)
    shown = bb.perturb.switch_context("stimulus").shown(trials).inputs["stimulus"]
    old, start = trials.inputs["stimulus"], trials.epochs["stimulus"][0, 0]
    assert np.array_equal(shown[:start], old[:start])
    assert np.array_equal(shown[start:, :, [2, 3]], old[start:, :, [3, 2]])
    assert np.array_equal(shown[..., :2], old[..., :2])


@pytest.fixture(scope="module")
def follower():
    """Integrates the stream that is cued at the time; its answer is the one at the end of the stimulus."""
    start_scope()
    stimulus = TimedArray(np.zeros((10, 4)), dt=1 * ms)
    cued = "stimulus(t, 0)*stimulus(t, 2) + stimulus(t, 1)*stimulus(t, 3)"
    out = NeuronGroup(
        1,
        f"do/dt = ({cued})/(10*ms) : 1",
        method="euler",
        dt=1 * ms,
        name="out",
        namespace={"stimulus": stimulus},
    )
    task = bb.tasks.ContextIntegration(
        fixation=10 * ms, stimulus=40 * ms, delay=10 * ms, response=10 * ms, noise=0
    )
    return bb.Trained(
        model=bb.wrap(Network(out)), task=task.name, arguments=task.arguments,
        inputs={"stimulus": "stimulus"}, output="out.o",
    )  # fmt: skip


@pytest.mark.parametrize("epoch, new, old", [("stimulus", 1, 0.5), ("delay", 0.5, 1)])
def test_a_switch_is_judged_by_the_new_context_and_by_the_old_one(follower, epoch, new, old):
    # half of the trials have streams of one sign, for which both contexts ask the same answer
    switch = bb.perturb.switch_context(epoch)
    found = bb.perturb.outcomes(follower, None, switch, 16, seed=1, progress=False)
    shares = {label: float(share[0]) for (label, _), share in found.share().items()}
    assert shares == {"none": 1, "switch the context": new, "switch the context, by the old context": old}
    simulated = bb.simulate(follower, trials=16, perturbation=switch, seed=1, progress=False)
    assert simulated.accuracy == new


def test_without_another_context_the_old_one_judges(follower):
    class Own:
        name, arguments = "own", {}

        def __init__(self, task):
            self.trials, self.score = task.trials, task.score

    task = bb.tasks.make(follower.task, **follower.arguments)
    found = bb.perturb.outcomes(
        follower, Own(task), bb.perturb.switch_context("stimulus"), 16, seed=1, progress=False
    )
    assert {label: float(share[0]) for (label, _), share in found.share().items()} == {
        "none": 1,
        "switch the context": 0.5,
    }


@pytest.mark.parametrize("name", ["context_integration", "context_switch", "motion_or_colour"])
def test_answers_in_the_other_context(name):
    task = bb.tasks.make(name)
    dt = 0.2 * ms if name == "context_switch" else 20 * ms if name == "motion_or_colour" else 1 * ms
    trials = task.trials(3, 24, dt)
    other = task.in_other_context(trials)
    c = trials.conditions
    streams = (c["motion_choice"], c["colour_choice"]) if "motion" in c else (c["sign_0"], c["sign_1"])
    last = c["context"] ^ c.get("switched", 0)
    asked = c["target"] != -1 if "motion" in c else np.ones(24, dtype=bool)
    assert np.array_equal(other.conditions["target"][asked], np.where(last, *streams)[asked])
    perfect = task.score(other.targets, other)
    assert perfect.all()
    same = c["target"] == other.conditions["target"]
    assert np.array_equal(task.score(other.targets, trials), same) and not same.all()
    again = task.in_other_context(other)
    assert np.array_equal(again.targets, trials.targets)


def test_several_at_once_and_side_by_side(trained, trials):
    several = [
        bb.perturb.silence("rec", during="first"),
        bb.perturb.silence("rec", bb.perturb.indices([3]), during="second"),
        bb.perturb.clamp("cells", v=-80 * mV, where=bb.perturb.indices(0)),
    ]
    found = simulated(trained, trials, several)
    assert (found.states["cells.v"][:, :, 0] == -0.08).all()
    for trial in range(2):
        start, stop = trials.epochs["first"][trial]
        silenced = bb.simulate(
            trained, trials, perturbation=several, record=["rec.w"], progress=False
        ).states["rec.w"][:, trial]
        assert not silenced[start:stop].any() and silenced[stop:, 0].all()
        late = slice(*trials.epochs["second"][trial])
        assert not silenced[late, 3].any() and silenced[late].any()
    same = trials[[0, 0]]
    alone, beside = (simulated(trained, same, several[0], together=n) for n in (1, 2))
    assert np.array_equal(alone.states["cells.v"], beside.states["cells.v"])


def test_surrogate_takes_the_same_steps(trained, trials):
    several = [
        bb.perturb.clamp("cells", v=-100 * mV, where=bb.perturb.below_median("tau_m"), during="first"),
        bb.perturb.silence("rec", during="second"),
    ]
    brian2, surrogate = (simulated(trained, trials, several, device=d) for d in ("runtime", "surrogate"))
    assert np.array_equal(brian2.raster("cells"), surrogate.raster("cells"))
    assert np.allclose(brian2.states["cells.v"], surrogate.states["cells.v"], rtol=1e-12)


def test_selections(trained):
    p, model = bb.perturb, trained.model
    tau = model["cells"].values["tau_m"]
    assert np.array_equal(p.below_quantile("tau_m", 0.25).mask(model, "cells"), tau < np.quantile(tau, 0.25))
    assert np.array_equal(p.above_quantile(-tau, 0.75).mask(model, "cells"), tau <= np.quantile(tau, 0.25))
    both = p.above_median("tau_m") & ~p.indices([5])
    assert both.mask(model, "cells").tolist() == [False, False, False, True, True, False]
    assert np.array_equal(p.inhibitory().mask(model, "rec"), model["rec"].values["w"] < 0)
    assert np.array_equal(p.onto_neurons(p.indices(2)).mask(model, "rec"), model["rec"].j == 2)
    with pytest.raises(ValueError, match="no parameter 'tau'; it has"):
        p.above_median("tau").mask(model, "cells")
    with pytest.raises(ValueError, match="No element of cells is chosen by 'not all'"):
        (~p.everything()).mask(model, "cells")
    with pytest.raises(ValueError, match="known from simulated trials only"):
        p.above_median(p.selectivity("side", "first")).mask(model, "cells")


def test_selectivity_is_counted_in_the_unperturbed_network(trained, trials):
    four = trials[[0, 0, 1, 1]]
    plain = simulated(trained, four, None)
    where = bb.perturb.above_quantile(bb.perturb.selectivity("side", "first"), 0.6)
    found = bb.perturb.silence("rec", bb.perturb.from_neurons(where)).resolved(trained.model, plain)
    counts = np.stack(
        [plain.raster("cells", k)[slice(*four.epochs["first"][k])].sum("time") for k in range(4)]
    )
    d_prime = bb.analysis.d_prime(counts, four.conditions["side"])
    chosen = np.flatnonzero(d_prime >= np.quantile(d_prime, 0.6))
    assert np.array_equal(found.where.mask(trained.model, "rec"), np.isin(trained.model["rec"].i, chosen))
    where = bb.perturb.above_median(bb.perturb.selectivity("side", "frist"))
    with pytest.raises(ValueError, match="no epoch 'frist'; .*'first'"):
        where.mask(trained.model, "cells", plain)


@pytest.mark.parametrize(
    "perturbation, message",
    [
        (bb.perturb.clamp("cells", I=1 * pA), "cells.I is none; cells has v, x"),
        (bb.perturb.clamp("cell", v=1 * mV), "no group 'cell'; did you mean 'cells'"),
        (bb.perturb.scale("cells", v=2), "is a state: clamp it"),
        (bb.perturb.inject("cells", v=2 * mV), "'v' is none of I, I_syn, tau_m"),
        (bb.perturb.noise("cells", 2), "have no noise xi"),
        (bb.perturb.lesion("rec"), "for groups of neurons"),
        (bb.perturb.silence("rec", during="third"), "no epoch 'third'"),
        (bb.perturb.switch_context("first"), "say which ones"),
    ],
)
def test_refusals(trained, trials, perturbation, message):
    with pytest.raises(ValueError, match=message):
        simulated(trained, trials, perturbation)


def test_parameters_that_change_on_the_way_are_not_put_back():
    start_scope()
    cells = NeuronGroup(
        2,
        """dv/dt = -v/(10*ms) : 1
        theta : 1
        slow : 1
        drive : 1
        sum : 1
        free : 1""",
        threshold="v > theta", reset="v = 0; theta += 0.1", method="euler", dt=1 * ms, name="cells",
    )  # fmt: skip
    cells.run_regularly("slow *= 0.9", dt=1 * ms, name="fatigue")
    drive = PoissonInput(cells, "drive", 2, 5 * Hz, weight=0.1)
    rec = Synapses(
        cells,
        cells,
        "w : 1\nfixed : 1\nsum_post = fixed : 1 (summed)",
        on_pre="v_post += w; w = clip(w + 0.1, 0, 1)",
        dt=1 * ms,
        name="rec",
    )
    rec.connect()
    model = bb.wrap(Network(cells, rec, drive))
    trained = bb.Trained(model=model, inputs={}, output="cells.v", task="none")
    shape = 10, 1, 2
    trials = Trials({}, np.zeros(shape), np.ones(shape), {"first": np.array([[2, 4]])}, {}, 0.001)
    for group, variable, writer in [
        ("rec", "w", "rec_pre"),
        ("cells", "theta", "the reset of cells"),
        ("cells", "slow", "fatigue"),
        ("cells", "drive", drive.name),
        ("cells", "sum", "a sum of rec"),
    ]:
        half = bb.perturb.scale(group, **{variable: 0.5}, during="first")
        message = rf"{group}.{variable} changes while the network runs \({writer} writes it\)"
        with pytest.raises(ValueError, match=message):
            bb.simulate(trained, trials, perturbation=half, progress=False)
    for allowed in (
        [
            bb.perturb.scale("cells", free=0.5, during="first"),
            bb.perturb.scale("cells", free=2, during="first"),
        ],
        bb.perturb.scale("rec", fixed=0.5, during="first"),
        bb.perturb.scale("rec", w=0.5),
    ):
        bb.simulate(trained, trials, perturbation=allowed, progress=False)


def test_a_factor_has_no_unit():
    for given in (lambda: bb.perturb.scale("rec", w=2 * mV), lambda: bb.perturb.noise("cells", 2 * ms)):
        with pytest.raises(ValueError, match="a factor is a plain number"):
            given()
    with pytest.raises(ValueError, match="a factor is a plain number"):
        read_action("scale rec.w=2*mV")


def test_decisions_that_are_judged_twice_are_one_test():
    rng = np.random.default_rng(0)
    correct = {("none", ""): rng.integers(80, 100, 8), ("switch", "delay"): rng.integers(50, 70, 8)}
    correct["switch, by the old context", "delay"] = rng.integers(10, 30, 8)
    counts = {key: np.stack([c, 100 - c, 0 * c], axis=1) for key, c in correct.items()}
    ones, none = dict.fromkeys(counts, np.ones(8)), dict.fromkeys(counts, np.zeros(8, dtype=int))
    found = bb.perturb.Outcomes(counts, ones, tuple("abcdefgh"), none)
    assert [row["p_trials_holm"] for row in found.rows[8:16]] == [1] * 8
    assert np.isnan([row["p_trials_holm"] for row in found.rows[16:]]).all()
    _, new, old = found.pooled
    assert new["p_holm"] == new["p_signed_rank"] < 0.05
    assert np.isnan(old["p_holm"]) and old["p_signed_rank"] < 0.05


class Judge:
    """A trial is correct if neuron 0 spiked at the end of the first epoch."""

    name, arguments = "judge", {}

    def outcomes(self, output, trials):
        active = output[trials.epochs["first"][:, 1] - 1, np.arange(len(trials)), 0] > 0.3
        return np.where(active, "correct", np.where(trials.conditions["side"] == 1, "incorrect", "none"))


def test_outcomes_of_several_networks(trained, trials):
    many = replace(trials[[0] * 20], conditions={"side": np.arange(20) % 2})
    clamp = bb.perturb.clamp("cells", v=-80 * mV, where=bb.perturb.indices(0))
    found = bb.perturb.outcomes(
        {"a": trained, "b": trained}, Judge(), {"clamp": clamp}, many, epochs=["first", "second"],
        progress=False, together=20,
    )  # fmt: skip
    assert found.networks == ("a", "b") and found.trials == 20
    assert found.counts["clamp", "first"].tolist() == [[0, 10, 10]] * 2
    rows = {(row["perturbation"], row["epoch"]): row for row in found.pooled}
    assert rows["none", ""]["correct"] == rows["clamp", "second"]["correct"] == 1
    assert rows["clamp", "first"]["difference"] == -1 and rows["clamp", "first"]["no response"] == 0.5
    low, high = rows["clamp", "first"]["interval"]
    assert low == pytest.approx(0, abs=1e-9) and high == pytest.approx(0.0876, abs=1e-3)  # Wilson, 0 of 40
    assert found.rows[2]["network"] == "a" and found.rows[2]["p_trials"] == pytest.approx(2**-19)
    assert len(found.rows) == 6
    # 3 of the 4 tests have P = 1; the perturbed network's is one of four
    assert found.rows[2]["p_trials_holm"] == pytest.approx(4 * 2**-19)
    assert [row["p_trials_holm"] for row in found.rows[4:]] == [1, 1]
    assert np.isnan(found.rows[0]["p_trials_holm"])
    axes = found.figure().axes
    assert axes[0].get_title() == "clamp" and len(axes[0].patches) == 9


def test_figure_4_of_li2020_is_one_call():
    task = bb.tasks.ContextIntegration(fixation=5 * ms, stimulus=10 * ms, response=10 * ms)
    trained = bb.Trained(
        model=bb.load("li2020", cells=10), task=task.name, arguments=task.arguments,
        inputs={"stimulus": "stimulus"}, output="out.o",
    )  # fmt: skip
    found = bb.perturb.li2020_figure4(trained, trials=2, together=2, seed=1, progress=False)
    perturbed = list(found.counts)[1:]
    assert len(perturbed) == 8 and {epoch for _, epoch in perturbed} == {"stimulus", "response"}
    axes = found.figure().axes
    assert [ax.get_title() for ax in axes] == list(dict.fromkeys(name for name, _ in perturbed))
    with pytest.raises(ValueError, match="has 1 channels, but that of the network, 'stimulus', has 4"):
        bb.perturb.li2020_figure4(trained, "delayed_match", trials=2, progress=False)


def test_neither_simulation_nor_perturbation_needs_torch():
    code = """
import sys
import numpy as np
from brian2 import ms, mV, prefs
import brianbridge as bb
prefs.codegen.target = "numpy"
trained = bb.Trained(model=bb.load("li2020", cells=4), task="context_integration",
                     inputs={"stimulus": "stimulus"}, output="out.o")
task = bb.tasks.ContextIntegration(fixation=5*ms, response=10*ms, stimulus=10*ms)
found = bb.perturb.outcomes(trained, task, bb.perturb.clamp("cells", v=-100*mV, during="stimulus"), 2,
                            progress=False)
found.figure(); found.pooled; bb.simulate(trained, task, 2, progress=False).to_neo()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def saved_network(folder):
    """The file of a small network with its task."""
    task = bb.tasks.ContextIntegration(fixation=5 * ms, stimulus=10 * ms, response=10 * ms)
    trained = bb.Trained(
        model=bb.load("li2020", cells=4),
        task=task.name,
        arguments=task.arguments,
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )
    return trained.save(folder / "trained.safetensors")


def test_command_line(tmp_path, capsys):
    file, picture = saved_network(tmp_path), tmp_path / "clamp.png"
    given = ["perturb", str(file), "--epoch", "stimulus", "--trials", "4", "--together", "4", "--json"]
    action = ["--action", "clamp cells.v=-100*mV", "--select", "tau_m < median", "--plot", str(picture)]
    assert main([*given, *action]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["epoch"] for row in answer["pooled"]] == ["", "stimulus"] and picture.stat().st_size > 1000
    assert answer["pooled"][1]["trials"] == 4 and answer["perturbation"].startswith(
        "clamp cells.v at -100. mV"
    )
    assert main([*given, "--action", "clamp cells"]) == 64
    assert "it reads like one of" in json.loads(capsys.readouterr().out)["error"]
    assert main([*given, "--action", "silence rec", "--select", "tau > q0.75x"]) == 64
    assert main([*given, "--action", "silence wreck"]) == 64
    assert main(["perturb", str(tmp_path / "no.safetensors"), "--action", "silence rec"]) == 65


def test_where_the_figure_cannot_be_written_nothing_is_lost(tmp_path, capsys, monkeypatch):
    file, picture = saved_network(tmp_path), tmp_path / "silence.png"
    given = ["perturb", str(file), "--trials", "2", "--action", "silence rec", "--json", "--plot"]

    def full(*_):
        picture.with_suffix(".partial").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("brianbridge.cli.pictures.write_together", full)
        assert main([*given, str(picture)]) == 65
    answer = json.loads(capsys.readouterr().out)
    assert "No space left on device" in answer["error"] and len(answer["networks"]) == 2
    assert not picture.exists()
    monkeypatch.setattr("brianbridge.perturb.outcomes", None)  # nothing is simulated
    for place in (
        "/dev/null/x.png",
        str(tmp_path / "none" / "x.png"),
        str(tmp_path / "x.odd"),
        str(tmp_path),
    ):
        assert main([*given, place]) == 65
        capsys.readouterr()


@pytest.mark.parametrize(
    "action, select, label",
    [
        ("inject cells.I=50*pA", "excitatory", "inject 50. pA into cells.I, excitatory"),
        ("scale rec.w=0.5", "from inhibitory", "rec.w times 0.5, from neurons with inhibitory"),
        ("prune rec=0.5", None, "prune rec, the smallest 50% of |w|"),
        ("lesion cells", "0-3,7", "lesion cells, numbers [0, 1, 2, 3, 7]"),
        ("noise cells=2", "target@sample > q0.75", "noise of cells times 2, d′ of target in sample above"),
        ("shuffle cells.tau_m", "tau_m > median", "shuffle cells.tau_m, tau_m above the median"),
        ("silence rec.g", None, "silence rec"),
        ("switch-context", None, "switch the context"),
    ],
)
def test_perturbations_as_text(action, select, label):
    where = read_selection(select) if select else None
    assert read_action(action, where).label.startswith(label)
