"""Monitors answered by the surrogate hold, bit for bit, what Brian2's own hold after the same run."""

import inspect

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.naming import UnknownName


def answers(groups, monitors, duration, batch=1, **options):
    """Let the surrogate record the monitors, run the network with the noise of each trial, and compare.

    Returns
    -------
    list of StateMonitor, EventMonitor and PopulationRateMonitor
        The surrogate's, of the last trial.
    """
    frame = inspect.currentframe().f_back
    namespace = {**frame.f_globals, **frame.f_locals}
    network = Network(*groups, *monitors)
    surrogate = bb.Surrogate(
        bb.wrap(network, namespace=namespace), dtype=torch.float64, exact=True, **options
    )
    records = surrogate(duration=duration, record=monitors, batch=batch, seed=1)
    network.store()
    for trial in range(batch):
        network.restore()
        freeze_noise(network, records.noise, trial)
        network.run(duration, namespace=namespace)
        for monitor in monitors:
            assert_same(records.monitor(monitor, trial), monitor)
    return [records.monitor(monitor, batch - 1) for monitor in monitors]


def assert_same(found, expected):
    """Type, name, place in the schedule, and everything recorded: values, order, dtypes, units."""
    assert type(found) is type(expected)
    for attribute in ("name", "when", "order", "active"):
        assert getattr(found, attribute) == getattr(expected, attribute)
    assert found.clock.dt_ == expected.clock.dt_
    if isinstance(expected, StateMonitor):
        names = ["t", *expected.record_variables]
        assert np.array_equal(found.record, expected.record)
    elif isinstance(expected, EventMonitor):
        names = ["count", *expected.record_variables]
        assert found.num_events == expected.num_events
        assert found.record_variables == expected.record_variables
    else:
        names = ["t", "rate"]
    for name in names:
        assert_equal(getattr(found, name)[:], getattr(expected, name)[:], f"{expected.name}.{name}")


def assert_equal(ours, theirs, what=""):
    """Equal bits, dtype and units."""
    assert get_dimensions(ours) is get_dimensions(theirs), what
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype, what
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=what)


def noisy_cells(**options):
    """Neurons with a shared variable, a subexpression, an integer, a custom event and noise."""
    cells = NeuronGroup(
        8,
        """dv/dt = (drive - v)/(5*ms) + 5*mV*xi/sqrt(ms) : volt (unless refractory)
        drive = 30*mV + a*sin(2*pi*t/(9*ms)) + given : volt
        a : volt (shared)
        theta : volt
        given : volt
        kind : integer (constant)""",
        threshold="v > theta",
        reset="v = 0*mV; theta += 1*mV",
        refractory=1 * ms,
        events={"high": "v > theta - 5*mV and kind > 0"},
        method="euler",
        **{"name": "cells", **options},
    )
    cells.v, cells.a, cells.theta, cells.kind = "i*mV", 5 * mV, 20 * mV, "i % 3"
    return cells


# -- kinds, slots and clocks --------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["start", "groups", "before_thresholds", "thresholds", "resets", "end"])
@pytest.mark.agrees(
    "Monitors: StateMonitor, SpikeMonitor, EventMonitor and PopulationRateMonitor, answered by the surrogate",
)
def test_all_kinds_in_every_slot(when):
    cells = noisy_cells()
    rate = PopulationRateMonitor(cells[2:7])
    rate.when = when
    monitors = [
        StateMonitor(cells, ["v", "drive", "a", "kind", "not_refractory", "lastspike"], True, when=when),
        StateMonitor(cells[3:7], ["v", "drive"], [2, 0], when=when, order=5),
        SpikeMonitor(cells, ["v", "drive", "theta"], when=when),
        EventMonitor(cells[1:6], "high", "v", when=when),
        SpikeMonitor(cells, "v", record=False, when=when),
        rate,
    ]
    _, _, spikes, high, counted, rate = answers([cells], monitors, 25 * ms, batch=2)
    assert spikes.num_spikes > 10 and high.num_events > 10 and rate.rate[:].any()
    assert not hasattr(counted, "t") and sum(counted.count) == spikes.num_spikes


def test_monitors_where_brian2_puts_them():
    cells = noisy_cells()
    monitors = [
        SpikeMonitor(cells, variables=["v", "theta"]),
        StateMonitor(cells, True, record=range(1, 6, 2), dt=0.3 * ms),
        StateMonitor(cells, "v", record=2),
        StateMonitor(cells, "v", record=False),
        StateMonitor(cells, [], record=True),
        SpikeMonitor(cells[2:5], variables="v"),
        EventMonitor(cells, "high"),
        PopulationRateMonitor(cells),
        PopulationRateMonitor(cells, dtype=np.float32),
    ]
    spikes, states, *_ = answers([cells], monitors, 25 * ms, batch=2)
    assert np.all(spikes.v > 20 * mV)  # before the reset
    assert len(states.t) == 84  # 0, 0.3, ..., 24.9 ms


def test_ties_are_broken_by_order_and_name():
    """Beside the group's thresholder, which is called cells_spike_thresholder and has order 0."""
    cells = noisy_cells()
    monitors = [
        StateMonitor(cells, "not_refractory", True, when="thresholds", order=order, name=name)
        for name, order in [("aa", 0), ("zzz", -1), ("zz", 0), ("aaa", 1)]
    ]
    found = [monitor.not_refractory for monitor in answers([cells], monitors, 25 * ms)]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[2], found[3])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.agrees("Monitors: with a dt of their own")
def test_clocks_of_their_own():
    """Monitors slower and faster than what they watch; subexpressions know the time of the group."""
    cells = noisy_cells(dt=0.2 * ms)
    slow = NeuronGroup(3, "dx/dt = (y - x)/(3*ms) : 1\ny = sin(t/(2*ms)) : 1", dt=0.5 * ms, name="slow")
    monitors = [SpikeMonitor(cells, ["v", "drive"]), PopulationRateMonitor(cells)]
    for group, variables in ((cells, ["v", "drive"]), (slow, ["x", "y"])):
        monitors += [StateMonitor(group, variables, True, dt=dt * ms) for dt in (0.1, 0.2, 0.7, 1)]
    answers([cells, slow], monitors, 12.3 * ms)


def test_a_network_that_has_run():
    """The answer holds what Brian2 adds to the samples that it has already."""
    cells = noisy_cells()
    monitors = [
        StateMonitor(cells, ["v", "drive"], True, dt=0.4 * ms),
        SpikeMonitor(cells, "v"),
        PopulationRateMonitor(cells),
    ]
    network = Network(cells, *monitors)
    network.run(5.1 * ms)
    before, counts = [len(monitor.t) for monitor in monitors], np.array(monitors[1].count)
    surrogate = bb.Surrogate(bb.wrap(network), dtype=torch.float64, exact=True)
    records = surrogate(duration=15 * ms, record=monitors, seed=1)
    freeze_noise(network, records.noise)
    network.run(15 * ms)
    assert records[monitors[1]].num_spikes > 5
    for monitor, start, names in zip(monitors, before, [["t", "v", "drive"], ["t", "i", "v"], ["t", "rate"]]):
        for name in names:
            assert_equal(getattr(records[monitor], name)[:], getattr(monitor, name)[:][..., start:], name)
    assert np.array_equal(records[monitors[1]].count, monitors[1].count - counts)


def test_two_parts_make_the_whole():
    cells = noisy_cells()
    states, spikes = StateMonitor(cells, "v", True, dt=0.3 * ms), SpikeMonitor(cells)
    surrogate = bb.Surrogate(bb.wrap(Network(cells, states, spikes)), dtype=torch.float64)
    whole = surrogate(duration=20 * ms, record=[states, spikes], seed=1)
    one = surrogate(duration=7.1 * ms, record=[states, spikes], seed=1)
    two = surrogate(duration=12.9 * ms, record=[states, spikes], initial=one.final)
    for monitor, names in ((states, ["t", "v"]), (spikes, ["t", "i"])):
        for name in names:
            parts = [np.asarray(getattr(records[monitor], name)[:]) for records in (one, two)]
            assert_equal(np.concatenate(parts, axis=-1), np.asarray(getattr(whole[monitor], name)[:]), name)


@pytest.mark.parametrize("segment", [2, 7])
def test_segments(segment):
    """Also those in which a monitor takes no sample; the gradient is that of the records beside it."""
    cells = noisy_cells()
    cells.kind = "2**24 + 1 + i"  # which single precision does not hold
    monitors = [StateMonitor(cells, ["v", "kind"], True, dt=0.5 * ms), SpikeMonitor(cells)]
    model = bb.wrap(Network(cells, *monitors), train={cells.v: None})
    whole, cut = (
        bb.Surrogate(model, bb.Box(width=5 * mV), dtype=torch.float64, segment=s) for s in (None, segment)
    )
    records = [s(duration=9 * ms, record=[cells.v, *monitors], seed=1) for s in (whole, cut)]
    for monitor in monitors:
        assert_same(*(r[monitor] for r in records))
    for r in records:
        r[cells.v].sum().backward()
    slopes = [s.parameter[0].raw.grad for s in (whole, cut)]
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=0)


# -- what is watched ----------------------------------------------------------------------------------


@pytest.mark.agrees("Monitors: of Synapses")
def test_synapses():
    cells = noisy_cells()
    rec = Synapses(
        cells,
        cells[2:],
        """w : volt
        dx/dt = -x/(20*ms) : 1 (event-driven)
        ds/dt = -s/(5*ms) : volt (clock-driven)
        given_post = s : volt (summed)""",
        on_pre="v_post += w*(1 - x); x += 0.2*(1 - x); s += w",
        on_post="w += 0.1*mV",
        method="exact",
        name="rec",
    )
    rec.connect(condition="i != j")
    rec.w, rec.delay = "(1 + i + 10*j)*0.1*mV", "rand()*2*ms"
    monitors = [
        StateMonitor(rec, ["w", "x", "s", "i", "v_post", "theta_pre"], True, when="end"),
        StateMonitor(rec, ["s", "w"], record=[7, 3, 11], when="after_synapses", dt=0.2 * ms),
        StateMonitor(rec, "v_post", record=rec[1, :]),
        StateMonitor(cells[1:4], "given", record=[2, 1]),
    ]
    states, *_ = answers([cells, rec], monitors, 25 * ms, batch=2)
    assert np.ptp(states.w, axis=1).min() > 0 * mV
    assert_equal(states[rec[2, :]].s, monitors[0][rec[2, :]].s)


def test_synapses_that_were_added_later():
    """Brian2 records those that were there when the monitor was made."""
    cells = noisy_cells()
    rec = Synapses(cells, cells, "w : volt", on_pre="v_post += w", name="rec")
    rec.connect(i=[0, 1], j=[2, 3])
    early = StateMonitor(rec, "w", record=True)
    rec.connect(i=[4], j=[5])
    rec.w = "i*0.1*mV"
    (found,) = answers([cells, rec], [early], 5 * ms)
    assert found.w.shape == (2, 50)


def test_linked_shared_and_timed_variables():
    table = TimedArray(np.random.rand(9, 4), dt=1 * ms)  # noqa: F841
    source = NeuronGroup(
        3, "dy/dt = (1 - y)/(4*ms) : 1\nz = 3*y*table(t, i) : 1", method="euler", name="source"
    )
    cells = NeuronGroup(
        4,
        """dv/dt = (x - v)/(3*ms) + gain*table(t, i)/ms : 1
        x : 1 (linked)
        gain : 1 (shared)
        twice = 2*v + gain*table(t, i) : 1
        held = v + t/second : 1 (constant over dt)
        rising = t/ms : 1 (shared)""",
        threshold="v > 0.4",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.x, cells.gain = linked_var(source, "y", index=[2, 0, 0, 1]), 0.3
    variables = ["v", "x", "gain", "twice", "held", "rising"]
    monitors = [
        SpikeMonitor(cells, ["v", "gain", "twice", "held", "rising"]),
        StateMonitor(source[1:], ["y", "z"], True),
        StateMonitor(cells, variables, True, dt=0.2 * ms),
        StateMonitor(cells, variables, [3, 1, 1], when="end"),
    ]
    spikes, *_ = answers([source, cells], monitors, 10 * ms)
    assert spikes.num_spikes > 3


def test_names_of_the_script():
    """A spike monitor finds the names in a subexpression only when Brian2 runs."""
    factor, offset, tau = 3, 2 * mV, 5 * ms  # noqa: F841
    cells = NeuronGroup(
        4,
        "dv/dt = (20*mV - v)/tau : volt\npower = factor*exp(-v/offset)*v**2/Mohm : watt",
        threshold="v > 9*mV",
        reset="v = 0*mV",
        method="exact",
    )
    cells.v = "i*mV"
    monitors = [StateMonitor(cells, "power", True), SpikeMonitor(cells[1:], "power")]
    _, spikes = answers([cells], monitors, 20 * ms)
    assert np.all(spikes.power > 0 * watt)


def test_inputs_that_spike():
    """A SpikeGeneratorGroup sends what falls into one step in the order of time, not of the neurons."""
    times = [0.31, 0.35, 0.38, 2, 2, 2, 5.02, 5.09, 7] * ms
    given = SpikeGeneratorGroup(6, [5, 3, 4, 2, 0, 4, 1, 0, 5], times, period=10 * ms, name="given")
    poisson = PoissonGroup(5, rates="(200 + 100*i)*Hz", name="poisson")
    monitors = [
        SpikeMonitor(given),
        SpikeMonitor(given, when="start"),
        SpikeMonitor(given, when="end"),
        SpikeMonitor(poisson[1:], variables="rates"),
        StateMonitor(poisson, "rates", True, dt=1 * ms),
        PopulationRateMonitor(given),
        PopulationRateMonitor(poisson),
    ]
    spikes, late, *_ = answers([given, poisson], monitors, 25 * ms, batch=2)
    assert spikes.i[:3].tolist() == late.i[:3].tolist() == [5, 3, 4]
    assert np.array_equal(late.t[:3] > spikes.t[:3], [True] * 3)


def test_inputs_that_a_call_gives():
    given = SpikeGeneratorGroup(3, [2, 0], [0.31, 0.35] * ms, dt=0.1 * ms, name="given")
    spikes = SpikeMonitor(given)
    surrogate = bb.Surrogate(bb.wrap(Network(given, spikes)))
    events = np.zeros((5, 2, 3))
    events[1, 0, [0, 2]] = events[4, 1, 1] = 1
    records = surrogate({given: events}, record=spikes)
    assert records.monitor(spikes, 0).i[:].tolist() == [0, 2]
    assert records.monitor(spikes, 1).t[:] / ms == pytest.approx([0.4])
    assert surrogate(duration=1 * ms, record=spikes)[spikes].i[:].tolist() == [2, 0]


# -- what can be asked of them ------------------------------------------------------------------------


def test_everything_that_brian2_computes_from_them():
    cells = noisy_cells()
    monitors = [
        StateMonitor(cells, ["v", "drive"], record=[1, 4, 6]),
        SpikeMonitor(cells[2:], variables="theta"),
        PopulationRateMonitor(cells),
    ]
    states, spikes, rate = answers([cells], monitors, 30 * ms)
    assert_equal(states[4].v, monitors[0][4].v)
    assert_equal(states[[1, 6]].drive_, monitors[0][[1, 6]].drive_)
    assert_equal(states[cells[4:5]].v, monitors[0][cells[4:5]].v)
    assert_equal(states.v_, monitors[0].v_)
    assert states.v.shape == (3, 300)
    with pytest.raises(IndexError, match="2 has not been recorded"):
        states[2]
    assert spikes.num_spikes > 10
    for method, arguments in (("spike_trains", ()), ("values", ("theta",)), ("event_trains", ())):
        ours, expected = (getattr(m, method)(*arguments) for m in (spikes, monitors[1]))
        assert list(ours) == list(expected) == list(range(6))
        for i in ours:
            assert_equal(ours[i], expected[i], method)
    assert spikes.all_values().keys() == monitors[1].all_values().keys()
    assert_equal(spikes.it[1], monitors[1].it[1])
    for ours, expected in ((spikes, monitors[1]), (rate, monitors[2])):
        for found, wanted in zip(ours.binned_rate(3 * ms), expected.binned_rate(3 * ms)):
            assert_equal(found, wanted, "binned_rate")
        for window, width in (("flat", 1.1 * ms), ("gaussian", 0.5 * ms), (np.array([1, 2, 1]), None)):
            assert_equal(ours.smooth_rate(window, width), expected.smooth_rate(window, width), "smooth_rate")


def test_single_precision_keeps_times_and_types():
    cells = noisy_cells()
    monitors = [StateMonitor(cells, ["v", "kind"], True), SpikeMonitor(cells, "v")]
    model = bb.wrap(Network(cells, *monitors))
    wide = bb.Surrogate(model, dtype=torch.float64)(duration=3 * ms, record=monitors, seed=1)
    narrow = bb.Surrogate(model)(duration=3 * ms, record=monitors, noise=wide.noise)
    states, expected = narrow[monitors[0]], wide[monitors[0]]
    assert_equal(states.t[:], expected.t[:])
    assert_equal(states.kind, expected.kind)
    assert states.v_.dtype == np.float64
    np.testing.assert_allclose(states.v_, expected.v_, atol=1e-8)  # of 0.03 V: seven digits


def test_an_answer_stays_good_when_nobody_holds_the_records():
    cells = noisy_cells()
    spikes, states = SpikeMonitor(cells[1:]), StateMonitor(cells, "v", True)
    surrogate = bb.Surrogate(bb.wrap(Network(cells, spikes, states)), dtype=torch.float64)

    def record():
        return surrogate(duration=10 * ms, record=[spikes, states], seed=1)

    times, voltages, trains = record()[spikes].t[:], record()[states].v_, record()[spikes].spike_trains()
    arrays = [np.full(len(times), np.nan) for _ in range(1000)]  # whoever frees memory loses it now
    kept = record()
    assert len(arrays) == 1000 and len(times) > 3
    assert_equal(times, kept[spikes].t[:])
    assert_equal(voltages, kept[states].v_)
    assert_equal(trains[2], kept[spikes].spike_trains()[2])


def test_an_answer_is_no_part_of_the_next_run():
    cells = noisy_cells()
    spikes = SpikeMonitor(cells)
    answer = bb.Surrogate(bb.wrap())(duration=10 * ms, record=spikes, seed=1)[spikes]
    number, before = answer.num_spikes, spikes.num_spikes
    run(10 * ms)
    assert answer.num_spikes == number > 0 == before
    assert spikes.source is cells and spikes.num_spikes > 0


# -- names and errors ---------------------------------------------------------------------------------


def test_names():
    cells = noisy_cells()
    seen, spikes = StateMonitor(cells, "v", True, name="traces"), SpikeMonitor(cells, name="events")
    surrogate = bb.Surrogate(bb.wrap(Network(cells, seen, spikes)))
    records = surrogate(duration=2 * ms, record=["traces", "spikes", "cells.v", cells])
    assert records.names == ("cells.v", "cells.spike")
    for key in (seen, "traces", "seen"):
        assert key in records
        assert_same(records[key], records.monitor("traces", trial=0))
    assert records["events"].name == "events"
    assert "events" in surrogate(duration=2 * ms, record="spikes")
    assert "events, traces" in repr(records)


def test_a_trial_has_to_be_chosen():
    cells = noisy_cells()
    spikes = SpikeMonitor(cells, name="spikes")
    records = bb.Surrogate(bb.wrap(Network(cells, spikes)))(duration=2 * ms, record=spikes, batch=3)
    with pytest.raises(
        ValueError, match=r"spikes recorded 3 trials. Choose one: records.monitor\(spikes, trial"
    ):
        records[spikes]
    assert records.monitor(spikes, trial=2).name == "spikes"
    for trial in (3, -1):
        with pytest.raises(
            IndexError, match=f"spikes recorded 3 trials, counted from 0: there is no {trial}"
        ):
            records.monitor(spikes, trial)


def test_what_cannot_be_answered():
    cells = noisy_cells()
    known, between = (
        SpikeMonitor(cells, name="known"),
        StateMonitor(cells, "v", 0, dt=0.25 * ms, name="between"),
    )
    timed = StateMonitor(cells, "v", 0, clock=EventClock([1, 2] * ms), name="timed")
    surrogate = bb.Surrogate(bb.wrap(Network(cells, known, between, timed)))
    late = SpikeMonitor(cells, name="late")
    for unknown in (late, timed):
        with pytest.raises(UnknownName, match="no monitor .*; its monitors are between, known. They"):
            surrogate(duration=2 * ms, record=unknown)
    with pytest.raises(ValueError, match="between samples every 0.25 ms, which is no multiple of .* 0.1 ms"):
        surrogate(duration=2 * ms, record=between)
    records = surrogate(duration=2 * ms, record="cells.v")
    with pytest.raises(KeyError, match="known was not recorded; recorded are no monitors. Name it in"):
        records[known]
    with pytest.raises(UnknownName, match="is no monitor of the network"):
        records.monitor("cells")
    assert known not in records


def test_a_monitor_that_is_switched_off():
    cells = noisy_cells()
    monitors = [StateMonitor(cells, "v", True), SpikeMonitor(cells, "v"), PopulationRateMonitor(cells)]
    for monitor in monitors:
        monitor.active = False
    monitors.append(StateMonitor(cells, "v", [1]))
    off, *_, on = answers([cells], monitors, 10 * ms)
    assert off.v.shape == (8, 0) and on.v.shape == (1, 100)
