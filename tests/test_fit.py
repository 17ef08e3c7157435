"""`bb.fit`: learning, stopping, repeating, and what it refuses."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.model.naming import UnknownName


class Hold:
    """Report the sign of a brief pulse: a user's own task."""

    name, arguments = "hold", {}

    def trials(self, rng, batch, dt):
        rng = np.random.default_rng(rng)
        steps, pulse = int(60 * ms / dt), int(20 * ms / dt)
        sign = rng.choice([-1.0, 1.0], batch)
        stimulus = np.zeros((steps, batch, 2))
        stimulus[:pulse, :, 0] = sign
        stimulus[:pulse, :, 1] = -sign
        target = np.zeros((steps, batch, 1))
        target[-pulse:, :, 0] = sign
        return bb.tasks.Trials(
            inputs={"stimulus": stimulus},
            targets=target,
            mask=np.ones_like(target),
            epochs={"report": np.tile([steps - pulse, steps], (batch, 1))},
            conditions={"sign": sign},
            dt=dt,
        )

    def score(self, output, trials):
        report = trials.during("report")
        return np.sign(np.mean(output[..., 0], axis=0, where=report)) == trials.conditions["sign"]


def network(dt=1 * ms):
    """Sixteen neurons, four of them inhibitory; the readout starts without knowing anything."""
    seed(2)
    names = dict(stim=TimedArray(np.zeros((60, 2)), dt=1 * ms), tau_syn=10 * ms)
    source = NeuronGroup(2, "u = stim(t, i) : 1", namespace=names, name="source", dt=dt)
    cells = NeuronGroup(
        16,
        """dv/dt = (500*Mohm*(I_syn + I_in) + 12*mV - v)/tau_m + 1*mV*xi/sqrt(ms) : volt
        dI_syn/dt = -I_syn/tau_syn : amp
        dr/dt = -r/(20*ms) : 1
        I_in : amp
        tau_m : second (constant)""",
        threshold="v > 15*mV",
        reset="v = 0*mV; r += 0.1",
        method="euler",
        namespace=names,
        name="cells",
        dt=dt,
    )
    cells.tau_m = "15*ms + 5*ms*rand()"
    w_in = Synapses(
        source, cells, "w : amp\nI_in_post = w*u_pre : amp (summed)", namespace=names, name="w_in", dt=dt
    )
    w_in.connect()
    w_in.w = "10*pA*randn()"
    rec = Synapses(cells, cells, "w : amp", on_pre="I_syn_post += w", name="rec", dt=dt)
    rec.connect(condition="i != j", p=0.5)
    rec.w = "(1 - 2*int(i < 4))*abs(randn())*2*pA"
    out = NeuronGroup(1, "o : 1", name="out", dt=dt)
    w_out = Synapses(cells, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out", dt=dt)
    w_out.connect()
    w_out.w = "0.3*randn()"
    return Network(source, cells, w_in, rec, out, w_out), names["stim"]


MASK = np.arange(16) % 2 == 0


def surrogate(**train):
    net, stim = network()
    train = train or {
        "cells.tau_m": bb.Bounds(5 * ms, 50 * ms, mask=MASK),
        "rec.w": bb.Dale(),
        "w_in.w": None,
        "w_out.w": None,
        "tau_syn": bb.Bounds(2 * ms, 50 * ms),
    }
    return bb.Surrogate(bb.wrap(net, train=train), bb.Triangle(width=15 * mV)), net, stim


def fit(module, **arguments):
    settings = dict(inputs={"stim": "stimulus"}, output="out.o", updates=40, seed=3, progress=False)
    settings |= dict(learning_rates={"rec.w": 0.2, "w_in.w": 0.5, "w_out.w": 0.05}, learning_rate=0.05)
    return bb.fit(module, Hold(), **(settings | arguments))


@pytest.fixture(scope="module")
def trained():
    start_scope()
    module, net, _ = surrogate()
    return fit(module), module, net


def test_the_loss_falls_and_the_task_is_learned(trained):
    history = trained[0].history
    assert len(history["loss"]) == len(history["accuracy"]) == len(history["seconds"]) == 40
    assert np.mean(history["loss"][-5:]) < 0.75 * np.mean(history["loss"][:5])
    assert np.mean(history["accuracy"][-10:]) > 0.9
    assert history["seconds"] == sorted(history["seconds"])


def test_what_comes_back_says_how_it_was_made(trained):
    result = trained[0]
    assert (result.task, result.inputs, result.output) == ("hold", {"stim": "stimulus"}, "out.o")
    assert result.manifest["training"]["seed"] == 3
    assert result.manifest["training"]["updates"] == 40
    assert result.manifest["training"]["spike_gradient"]["cells"].startswith("Triangle(width=15")
    assert set(result.manifest["versions"]) == {"brianbridge", "brian2", "torch", "numpy"}


def test_bounds_signs_and_masks_hold(trained):
    result, module, _ = trained
    before, after = module.model, result.model
    tau_m = after["cells"].values["tau_m"]
    assert np.all((tau_m > 5e-3) & (tau_m < 50e-3))
    assert np.array_equal(tau_m[~MASK], before["cells"].values["tau_m"][~MASK])
    assert np.all(tau_m[MASK] != before["cells"].values["tau_m"][MASK])
    assert 2e-3 < after["cells"].values["tau_syn"] < 50e-3
    weights, i = after["rec"].values["w"], after["rec"].i
    assert np.all(weights[i < 4] <= 0) and np.all(weights[i >= 4] >= 0)
    assert np.mean(weights != before["rec"].values["w"]) > 0.9


def test_written_into_brian2_and_read_back_it_is_the_same_network(trained, tmp_path):
    result, _, net = trained
    again = bb.Trained.load(result.save(tmp_path / "network.safetensors"))
    for name, value in result.values.items():
        assert np.asarray(again.values[name]).tobytes() == np.asarray(value).tobytes()
    trials = Hold().trials(9, 4, 1 * ms)
    exact = bb.Surrogate(again.model, dtype=torch.float64, exact=True)
    with torch.no_grad():
        records = exact({"stim": trials.inputs["stimulus"]}, record=["cells", "out.o"], seed=4)
    net.store()
    cells = net["cells"]
    spikes = SpikeMonitor(cells)
    net.add(spikes)
    net.store()
    for trial in range(4):
        net.restore()
        one = {"stim": trials.inputs["stimulus"][:, trial]}
        with pytest.warns(UserWarning, match="stored states"):
            again.write_to(
                net, trial={"inputs": one, "noise": {k: v[:, trial] for k, v in records.noise.items()}}
            )
        net.run(60 * ms)
        raster = np.zeros((60, 16), bool)
        raster[np.rint(spikes.t_ / 1e-3).astype(int), spikes.i] = True
        assert np.array_equal(raster, records["cells"][:, trial].numpy() > 0.5)
    assert np.array_equal(net["rec"].w_[:], result.values["rec.w"])


def test_the_same_seed_gives_the_same_bits():
    one, again, other = (fit(surrogate()[0], updates=4, seed=seed) for seed in (1, 1, 2))
    assert one.hash == again.hash != other.hash
    assert one.history["loss"] == again.history["loss"]


def test_weights_of_low_rank():
    net, _ = network()
    model = bb.wrap(net, train={net["w_in"].w: bb.LowRank(2), net["w_out"].w: None})
    result = fit(bb.Surrogate(model, bb.Triangle(width=15 * mV)), updates=3, learning_rates={})
    weights = np.zeros((16, 2))
    weights[result.model["w_in"].j, result.model["w_in"].i] = result.values["w_in.w"]
    assert not np.array_equal(result.values["w_in.w"], model["w_in"].values["w"])


def test_what_is_frozen_stays_and_counts_for_nothing():
    module, net, _ = surrogate()
    fit(module, updates=2)
    module.freeze()
    module.unfreeze(net["w_out"].w)
    before = {name: value.detach() for name, value in module.values().items()}
    left_behind = [(raw, raw.grad.clone()) for raw in module.parameters() if not raw.requires_grad]
    result = fit(module, updates=2, learning_rates={}, clip=1e-3)
    for name, value in module.values().items():
        assert torch.equal(value, before[name]) == (name != ("w_out", "w"))
    assert result.history["gradient_norm"][-1] > 1e-3  # before clipping
    assert float(module.named_values()["w_out.w"].grad.norm()) == pytest.approx(1e-3, rel=1e-3)
    assert all([torch.equal(raw.grad, left) for raw, left in left_behind])  # neither counted nor clipped
    untrained, net, _ = surrogate()
    untrained.freeze(net["rec"].w)
    assert len(fit(untrained, updates=1, learning_rates={}).history["loss"]) == 1


def test_it_stops_when_fresh_trials_are_correct():
    stop = {"accuracy": 0.9, "trials": 40, "every": 5}
    result = fit(surrogate()[0], updates=200, stop=stop)
    updates = len(result.history["loss"])
    assert updates % 5 == 0 and updates < 100
    validated = result.history["validated"]
    assert validated[-1] >= 0.9
    assert all([v is None or v < 0.9 for v in validated[:-1]])
    assert [k + 1 for k, v in enumerate(validated) if v is not None] == list(range(5, updates + 1, 5))


def test_it_stops_at_a_loss_and_looks_at_accuracy_only_below_it():
    assert len(fit(surrogate()[0], updates=50, stop={"loss": 1e3}).history["loss"]) == 1
    result = fit(surrogate()[0], updates=4, stop={"loss": 1e-3, "accuracy": 0.1, "every": 1})
    assert result.history["validated"] == [None] * 4


def test_learning_rates_by_any_name():
    net, stim = network()
    rec, cells = net["rec"], net["cells"]
    model = bb.wrap(net, train={rec.w: None, "tau_syn": None, stim: None, cells.tau_m: None})
    module = bb.Surrogate(model, bb.Triangle(width=15 * mV))
    before = module.values()
    rates = {rec.w: 0.0, "tau_syn": 0.0, stim: 0.0}
    result = fit(module, inputs={}, learning_rates=rates, updates=2)
    assert np.array_equal(result.values["rec.w"], before["rec", "w"].detach())
    assert float(result.values["cells.tau_syn"]) == before["cells", "tau_syn"].item()
    assert np.array_equal(result.values["stim"], before["", "stim"].detach())
    assert not np.array_equal(result.values["cells.tau_m"], before["cells", "tau_m"].detach())
    with pytest.raises(UnknownName, match="w_out.w is not trained; trained are rec.w, cells.tau_syn, stim"):
        fit(module, inputs={}, learning_rates={"w_out.w": 1.0})


def test_not_a_number_is_named():
    module, *_ = surrogate()
    with pytest.raises(FloatingPointError, match="The loss became nan in update 1"):
        fit(module, loss=lambda output, target, mask: (output * float("nan")).sum())
    with pytest.raises(FloatingPointError, match="gradient of cells.tau_m is not finite in update 1"):
        fit(module, loss=lambda output, target, mask: torch.sqrt(0 * output.sum()))


def test_a_parameter_that_the_output_does_not_depend_on():
    net, _ = network()
    net["w_out"].w = 0
    module = bb.Surrogate(bb.wrap(net, train={"cells.tau_m": None}), bb.Triangle(width=15 * mV))
    with pytest.warns(UserWarning, match=r"gradient of cells.tau_m was exactly zero"):
        fit(module, learning_rates={}, updates=25)
    module = bb.Surrogate(
        bb.wrap(net, train={"cells.tau_m": None, "w_out.w": None}), bb.Triangle(width=15 * mV)
    )
    with pytest.raises(ValueError, match="No gradient reaches w_out.w from the output"):
        bb.fit(module, Probe(), inputs={}, output="cells.r", progress=False)


class Probe(Hold):
    """Wants the rates of all neurons to be one."""

    def trials(self, rng, batch, dt):
        ones = np.ones((10, batch, 16))
        return bb.tasks.Trials({}, ones, ones, {}, {}, dt)

    def score(self, output, trials):
        return np.ones(len(trials), bool)


@pytest.mark.parametrize(
    "arguments, error, says",
    [
        (dict(inputs={"stim": "stimulos"}), UnknownName, "The task has no input 'stimulos'; it has stimulus"),
        (dict(inputs={"stin": "stimulus"}), UnknownName, "they use: stim"),
        (dict(output="out.oo"), UnknownName, "Did you mean 'out.o'"),
        (dict(output="cells.r"), ValueError, r"cells.r has the shape \(60, 10, 16\).* but the targets"),
        (dict(stop={"acuracy": 0.9}), ValueError, "stop= knows accuracy, loss, .*not 'acuracy'"),
    ],
)
def test_task_and_network_that_do_not_fit(trained, arguments, error, says):
    with pytest.raises(error, match=says):
        fit(trained[1], **arguments)


class Finer(Hold):
    """Has a time step of its own."""

    def trials(self, rng, batch, dt):
        return super().trials(rng, batch, dt / 2)


def test_a_task_with_another_time_step_is_refused(trained):
    with pytest.raises(ValueError, match=r"asked for trials with dt=1\. ms, but .* dt=0\.5 ms"):
        bb.fit(trained[1], Finer(), inputs={"stim": "stimulus"}, output="out.o", progress=False)


def test_nothing_to_train():
    with pytest.raises(ValueError, match="nothing to train"):
        fit(bb.Surrogate(bb.wrap(network()[0])))


def test_trials_have_the_time_step_of_the_inputs():
    """A network with steps of 0.5 ms on inputs and targets of 1 ms."""
    net, stim = network(dt=0.5 * ms)
    module = bb.Surrogate(bb.wrap(net, train={"w_out.w": None}), bb.Triangle(width=15 * mV))
    seen = []

    def loss(output, target, mask):
        seen.append((output.shape, target.shape))
        return ((output - target) ** 2).mean()

    fit(module, inputs={stim: "stimulus"}, updates=1, loss=loss, learning_rates={})
    assert seen == [((60, 10, 1), (60, 10, 1))]
    coarse, stim = network(dt=1.5 * ms)
    with pytest.raises(ValueError, match="Give the TimedArrays of a task one common dt"):
        fit(
            bb.Surrogate(bb.wrap(coarse, train={"w_out.w": None})),
            inputs={stim: "stimulus"},
            learning_rates={},
        )


def test_an_interrupt_keeps_the_updates_so_far(monkeypatch):
    module, _, _ = surrogate()
    score, calls = Hold.score, []

    def interrupted(task, output, trials):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(task, output, trials)

    monkeypatch.setattr(Hold, "score", interrupted)
    trained = fit(module, updates=50)
    assert {len(column) for column in trained.history.values()} == {2}
    assert trained.manifest["training"]["updates"] == 2
    monkeypatch.undo()
    again, _, _ = surrogate()
    two = fit(again, updates=2)
    assert all([np.array_equal(trained.values[name], two.values[name]) for name in two.values])


def test_a_network_that_has_run_already_is_refused():
    """Inputs start at t = 0; trials would see the last row of them only."""
    net, stim = network()
    net.run(20 * ms)
    model = bb.wrap(net, train={"rec.w": None})
    with pytest.raises(ValueError, match=r"stands at t = 0.02 s, but trials start at t = 0"):
        fit(bb.Surrogate(model, bb.Box(width=25 * mV)), inputs={stim: "stimulus"})
