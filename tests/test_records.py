"""Calls of the surrogate: records, inputs, initial states, durations; and what is refused in words."""

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.naming import UnknownName
from tests.networks import small_network


@pytest.fixture(scope="module")
def model():
    start_scope()
    np.random.seed(0)
    return bb.wrap(small_network()[0])


@pytest.fixture(scope="module")
def surrogate(model):
    return bb.Surrogate(model, dtype=torch.float64, exact=True)


# -- records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when", ["start", "groups", "after_groups", "thresholds", "synapses", "resets", "end"]
)
def test_slots_are_those_of_a_state_monitor(model, surrogate, when):
    names = ["v", "I_syn", "r", "power"]
    with torch.no_grad():
        records = surrogate(duration=60 * ms, record=[f"cells.{n}" for n in names], when=when, seed=1)
    live = model.live()
    freeze_noise(live.network, records.noise)
    monitor = StateMonitor(live["cells"], names, record=True, when=when, order=10**6, dt=1 * ms)
    live.network.add(monitor)
    live.network.run(60 * ms)
    assert records.when == when
    assert records["cells.r"].any()
    for name in names:
        seen = getattr(monitor, name if name == "r" else f"{name}_").T
        np.testing.assert_allclose(records[f"cells.{name}"][:, 0].numpy(), seen, rtol=1e-12)


def test_slots_differ(surrogate):
    with torch.no_grad():
        start, thresholds, end = (
            surrogate(duration=60 * ms, record=["cells.v"], when=when, seed=1)["cells.v"]
            for when in ("start", "thresholds", "end")
        )
    assert torch.equal(start[1:], end[:-1])
    assert thresholds.max() > end.max()  # before and after the reset


def test_a_slot_that_is_not_there(surrogate):
    with pytest.raises(ValueError, match="when='ende' is not a slot of the schedule; choose one of"):
        surrogate(duration=5 * ms, when="ende")


def test_units(surrogate):
    with torch.no_grad():
        records = surrogate(duration=5 * ms, record=["cells.v", "cells"], seed=1)
    assert torch.equal(records["cells.v", mV], records["cells.v"] / 1e-3)
    assert records.quantity("cells.v").dim is volt.dim
    assert isinstance(records.quantity("cells"), np.ndarray)
    with pytest.raises(ValueError, match="cells.v is in volt, which cannot be given in"):
        records["cells.v", ms]
    with pytest.raises(KeyError, match="cells.r was not recorded; recorded are cells.v, cells.spike"):
        records["cells.r"]
    with pytest.raises(UnknownName, match="Did you mean 'cells.v'"):
        records["cells.vv"]
    assert records.dt == 1 * ms
    assert records.time[-1] == pytest.approx(4e-3)
    assert records.rates("cells").shape == (6,)


def test_objects_read_what_objects_recorded():
    net, cells, _, rec, _ = small_network()
    surrogate = bb.Surrogate(bb.wrap(net))
    records = surrogate(duration=5 * ms, record=[cells.v, cells, rec.w, cells.power], batch=3)
    assert records[cells.v, mV].shape == (5, 3, 6)
    assert records[cells].shape == (5, 3, 6)
    assert records[rec.w].shape == (5, 3, 30)
    assert records[cells.power].shape == (5, 3, 6)
    assert records.names == ("cells.v", "cells.spike", "rec.w", "cells.power")
    alone = surrogate(duration=5 * ms, record=cells.v)
    assert alone.names == ("cells.v",)
    assert surrogate(duration=5 * ms, record="cells.v").names == ("cells.v",)
    assert surrogate(duration=5 * ms, record=cells).names == ("cells.spike",)
    with pytest.raises(UnknownName, match="is an input, not a variable"):
        surrogate(duration=5 * ms, record=[TimedArray([1.0], dt=1 * ms)])


def test_spike_gradients_for_groups():
    net, cells, *_ = small_network()
    model = bb.wrap(net)
    box = bb.Box(width=25 * mV)
    for key in (cells, "cells"):
        assert bb.Surrogate(model, {key: box}).spike_gradients["cells"] is box
    with pytest.raises(UnknownName, match="no group 'cels'"):
        bb.Surrogate(model, {"cels": box})
    with pytest.raises(UnknownName, match="source has no threshold and therefore no spikes"):
        bb.Surrogate(model, {"source": box})
    with pytest.raises(ValueError, match="compares values in volt"):
        bb.Surrogate(model, bb.Box(width=25 * ms))


# -- inputs -------------------------------------------------------------------------------------------


def test_inputs_as_tensors_arrays_and_quantities():
    table = TimedArray(np.zeros((10, 2)) * pA, dt=1 * ms)
    line = TimedArray(np.zeros(5) * pA, dt=2 * ms)
    cells = NeuronGroup(
        2, "dv/dt = (table(t, i) + line(t))*Gohm/(10*ms) : volt", method="euler", name="cells", dt=1 * ms
    )
    surrogate = bb.Surrogate(bb.wrap(Network(cells)), dtype=torch.float64)
    values = np.random.rand(10, 3, 2)
    more = np.random.rand(5, 3)
    given = [
        {table: values * pA, line: more * pA},
        {"table": values * 1e-3 * nA, "line": more * pA},
        {table: torch.tensor(values * 1e-12), "line": torch.tensor(more * 1e-12)},
    ]
    voltages = [surrogate(inputs, record=["cells.v"])["cells.v"] for inputs in given]
    expected = np.cumsum(values + np.repeat(more, 2, axis=0)[:, :, None], axis=0) * 1e-12 * 1e9 * 0.1
    for found in voltages:
        assert found.shape == (10, 3, 2)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "inputs, says",
    [
        ({"stim": np.zeros((40, 2))}, r"needs the shape \(time, batch, n\), but has \(40, 2\)"),
        ({"stim": np.zeros((40, 1, 3))}, "has 3 channels, but its TimedArray has 2"),
        ({"stim": np.zeros((40, 1, 2)) * mV}, "the input stim is in .*, but was given in volt"),
        ({"stim": np.full((40, 1, 2), np.nan)}, "the input stim contain NaN"),
        ({"stim": torch.full((40, 1, 2), torch.inf)}, "the input stim contain NaN or infinity"),
        ({"stim": np.zeros((0, 1, 2))}, "is empty"),
        ({"stim": np.zeros((40, 0, 2))}, "is empty"),
    ],
)
def test_inputs_that_do_not_fit(surrogate, inputs, says):
    with pytest.raises(ValueError, match=says):
        surrogate(inputs)


def test_an_input_that_is_unknown(surrogate):
    with pytest.raises(UnknownName, match="they use: stim. Did you mean 'stim'"):
        surrogate({"stin": np.zeros((40, 1, 2))})


def test_numbers_of_trials_that_do_not_agree(surrogate):
    with pytest.raises(ValueError, match=r"numbers of trials do not agree: stim 3, batch= 4"):
        surrogate({"stim": np.zeros((40, 3, 2))}, batch=4)
    with pytest.raises(ValueError, match=r"do not agree: stim 3, initial 0 2"):
        surrogate({"stim": np.zeros((40, 3, 2))}, initial={"cells.r": np.zeros((2, 6))})
    with pytest.raises(ValueError, match="batch=0 is not a number of trials"):
        surrogate(duration=5 * ms, batch=0)
    assert surrogate(duration=5 * ms, initial={"cells.r": np.zeros((4, 6))}, record="cells").final[
        "cells.r"
    ].shape == (4, 6)


def test_durations(surrogate):
    def steps(duration):
        return surrogate(duration=duration, record="cells.v")["cells.v"].shape[0]

    assert steps(5 * ms) == 5
    assert steps(4.2 * ms) == 5  # as Brian2: up, unless it is a whole number but for rounding
    assert steps((0.1 + 0.2) / 0.1 * ms) == 3
    for wrong in (0.5, 5 * mV, 0 * ms, -5 * ms, np.nan * second):
        with pytest.raises(ValueError, match="duration"):
            steps(wrong)
    with pytest.raises(ValueError, match=r"duration=500\*ms, since no input"):
        surrogate()
    assert surrogate({"stim": np.zeros((7, 1, 2))}, record="cells.v")["cells.v"].shape[0] == 7


# -- initial states -----------------------------------------------------------------------------------


def first(surrogate, initial, **arguments):
    """The state at the very start."""
    arguments = {"duration": 1 * ms, "seed": 1} | arguments
    records = surrogate(record=["cells.v"], when="start", initial=initial, **arguments)
    return records["cells.v"][0].detach().numpy()


def test_initial_values(surrogate):
    for_each = np.linspace(-70, -60, 6)
    for_trials = np.random.rand(3, 6) - 70
    assert np.array_equal(first(surrogate, {"cells.v": -65 * mV}, batch=2), np.full((2, 6), -0.065))
    assert np.array_equal(first(surrogate, {"cells.v": for_each * mV}, batch=2), [for_each * 1e-3] * 2)
    assert np.array_equal(first(surrogate, {"cells.v": for_trials * mV}), for_trials * 1e-3)
    assert np.array_equal(first(surrogate, {"cells.v": torch.tensor(for_trials)}), for_trials)


def test_initial_expressions_are_drawn_for_every_trial(surrogate):
    text = {"cells.v": "v_rest + 5*mV*rand() + i*10*mV"}
    one, again, other = (first(surrogate, text, batch=4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len(np.unique(one)) == 24
    offset = one * 1e3 + 70 - 10 * np.arange(6)
    assert np.all((offset > 0) & (offset < 5))


def test_initial_draws_and_noise_are_different_numbers(surrogate):
    records = surrogate(
        duration=1 * ms, record="cells.v", when="start", initial={"cells.v": "randn()*mV"}, seed=1
    )
    noise = records.noise["cells_stateupdater/0"][0]
    assert not np.allclose(records["cells.v"][0] / 1e-3, noise)


@pytest.mark.parametrize(
    "initial, says",
    [
        ({"cells.v": -65}, "cells.v is in volt, but was given in"),
        ({"cells.v": np.zeros(5) * mV}, r"shape \(5,\); expected one number, \(6,\) or \(1, 6\)"),
        ({"cells.v": [np.nan] * 6 * mV}, "cells.v contain NaN"),
        ({"cells.tau_m": 5 * ms}, "cells.tau_m is not a state that the equations change"),
    ],
)
def test_initial_values_that_do_not_fit(surrogate, initial, says):
    with pytest.raises(ValueError, match=says):
        surrogate(duration=1 * ms, initial=initial)


def test_initial_names_that_are_unknown(surrogate):
    with pytest.raises(UnknownName, match="Did you mean 'cells.v'"):
        surrogate(duration=1 * ms, initial={"cells.vv": 1})


# -- going on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 13, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_parts_are_one_simulation(model, cut, dtype):
    """Delayed spikes, timed inputs, noise and initial draws all go on over the cut."""
    surrogate = bb.Surrogate(model, dtype=dtype)
    inputs = {"stim": torch.rand(40, 3, 2)}
    start = {"cells.v": "v_rest + 10*mV*rand()"}
    record = ["cells.v", "cells.I_in", "cells"]
    with torch.no_grad():
        whole = surrogate(inputs, record=record, initial=start, seed=5)
        one = surrogate(inputs, duration=cut * ms, record=record, initial=start, seed=5)
        two = surrogate(inputs, record=record, initial=one.final)
    assert whole["cells"].sum() > 3
    for name in whole.names:
        assert torch.equal(whole[name], torch.cat([one[name], two[name]]))
    for key, value in whole.final.items():
        for before, after in zip(
            value if isinstance(value, tuple) else [value],
            two.final[key] if isinstance(value, tuple) else [two.final[key]],
        ):
            assert torch.equal(before, after), key
    assert whole.final.step == two.final.step == 40
    assert two.time[0] == pytest.approx(cut * 1e-3)
    noise = torch.cat([one.noise["cells_stateupdater/0"], two.noise["cells_stateupdater/0"]])
    assert torch.equal(whole.noise["cells_stateupdater/0"], noise)


def test_the_second_part_can_be_replayed(surrogate):
    with torch.no_grad():
        one = surrogate(duration=10 * ms, seed=1)
        two = surrogate(duration=10 * ms, record="cells.v", initial=one.final)
        again = surrogate(duration=10 * ms, record="cells.v", initial=one.final, noise=two.noise)
        other = surrogate(duration=10 * ms, record="cells.v", initial=one.final, seed=2)
    assert torch.equal(two["cells.v"], again["cells.v"])
    assert not torch.equal(two["cells.v"], other["cells.v"])


def test_two_parts_with_refractoriness_and_slow_groups():
    """Time itself goes on: `lastspike`, explicit `t`, and the clock of a group with longer steps."""
    cells = NeuronGroup(
        3,
        "dv/dt = (1.5 + sin(2*pi*t/(7*ms)) - v)/(3*ms) + 0.2*xi/sqrt(ms) : 1 (unless refractory)",
        threshold="v > 1",
        reset="v = 0",
        refractory=1.5 * ms,
        method="euler",
        name="cells",
        dt=0.5 * ms,
    )
    slow = NeuronGroup(2, "dx/dt = -x/(9*ms) + 0.1*xi/sqrt(ms) : 1", method="euler", name="slow", dt=1.5 * ms)
    surrogate = bb.Surrogate(bb.wrap(Network(cells, slow)), dtype=torch.float64)
    record = ["cells.v", "slow.x", "cells"]
    with torch.no_grad():
        whole = surrogate(duration=20 * ms, record=record, seed=1)
        parts = [surrogate(duration=6.5 * ms, record=record, seed=1)]  # 13 steps: in the middle of a slow one
        parts.append(surrogate(duration=13.5 * ms, record=record, initial=parts[0].final))
    assert whole["cells"].sum() > 5
    for name in whole.names:
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts]))
    noise = whole.noise["slow_stateupdater/0"]
    assert noise.shape == (14, 1, 2)
    assert torch.equal(noise, torch.cat([part.noise["slow_stateupdater/0"] for part in parts]))


def test_gradient_passes_through_the_final_state_until_it_is_cut():
    net, cells, *_ = small_network()
    surrogate = bb.Surrogate(bb.wrap(net, train={cells.v: None}))
    one = surrogate(duration=2 * ms, seed=1)
    surrogate(duration=2 * ms, initial=one.final, record="cells.v")["cells.v"].sum().backward()
    assert surrogate.parameter[0].raw.grad.abs().sum() > 0
    two = surrogate(duration=2 * ms, initial=one.final.detach(), record="cells.v")["cells.v"]
    assert not two.requires_grad


def test_states_of_other_networks_and_other_batches(surrogate):
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", method="euler", name="others")
    other = bb.Surrogate(bb.wrap(Network(cells)))(duration=1 * ms).final
    with pytest.raises(ValueError, match="final state of another network"):
        surrogate(duration=1 * ms, initial=other)
    final = surrogate(duration=1 * ms, batch=2).final
    with pytest.raises(ValueError, match="numbers of trials do not agree"):
        surrogate(duration=1 * ms, batch=3, initial=final)


# -- noise --------------------------------------------------------------------------------------------


def test_noise_is_replayed_from_tensors_and_arrays(surrogate):
    records = surrogate(duration=10 * ms, record="cells.v", batch=2, seed=1)
    key = "cells_stateupdater/0"
    for noise in (records.noise, {key: records.noise[key].numpy()}):
        assert torch.equal(
            surrogate(duration=10 * ms, record="cells.v", noise=noise)["cells.v"], records["cells.v"]
        )
    one_trial = surrogate(duration=10 * ms, record="cells.v", noise={key: records.noise[key][:, 1]})
    assert torch.equal(one_trial["cells.v"][:, 0], records["cells.v"][:, 1])


@pytest.mark.parametrize(
    "noise, says",
    [
        ({"cells_stateupdater/0": torch.zeros(3, 1, 6)}, r"shape \(3, 1, 6\), but \(10, 1, 6\) is needed"),
        ({"cells_stateupdater/0": torch.zeros(10, 1, 5)}, r"shape \(10, 1, 5\), but \(10, 1, 6\)"),
        ({"cells_stateupdater/0": torch.zeros(10)}, r"\(steps, batch, n\) is needed"),
        ({"other/0": torch.zeros(10, 1, 6)}, "holds other/0, but the network draws cells_stateupdater/0"),
    ],
)
def test_noise_that_does_not_fit(surrogate, noise, says):
    with pytest.raises(ValueError, match=says):
        surrogate(duration=10 * ms, noise=noise)


def test_segments_by_default(model):
    """`segment='auto'` cuts a run into parts where memory asks for it, with the same gradient."""
    net, cells, *_ = small_network()
    trained = bb.wrap(net, train={cells.tau_m: None})
    found = []
    for segment in ("auto", None, 7):
        surrogate = bb.Surrogate(trained, bb.Box(width=20 * mV), dtype=torch.float64, segment=segment)
        records = surrogate(duration=30 * ms, record=["cells.v", "cells.r"], seed=1)
        (records["cells.v"].sum() + records["cells.r"].sum()).backward()
        found.append(surrogate.parameter[0].raw.grad)
    assert found[0].abs().min() > 0
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], rtol=1e-10, atol=0)
