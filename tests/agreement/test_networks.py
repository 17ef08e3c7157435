"""Networks: schedules and slots, inactive and missing objects, clocks, several runs, store and restore."""

# ruff: noqa: F841 - equations use names that the linter does not see

import gc

import numpy as np
import pytest
from brian2 import *

import brianbridge
from brianbridge.comparison.verdict import compare_script
from brianbridge.model.capture import capture
from brianbridge.model.refusals import Refused
from tests.agreement.comparison import agree


def driven(n=5, name="cells", extra="", **options):
    cells = NeuronGroup(
        n,
        f"dv/dt = (I + 0.3*a - v)/(5*ms) : 1\nda/dt = -a/(3*ms) : 1\nI : 1 (constant)\n{extra}",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name=name,
        **options,
    )
    cells.I, cells.v = "1.2 + 0.1*i", "i/N"
    return cells


def recurrent(cells, on_pre="a_post += 0.1; v_post -= 0.02", name="synapses", **options):
    synapses = Synapses(cells, cells, on_pre=on_pre, name=name, **options)
    synapses.connect(condition="i != j")
    return synapses


# -- what runs when -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        ["start", "resets", "groups", "synapses", "thresholds", "end"],
        ["start", "groups", "synapses", "resets", "thresholds", "end"],
        ["start", "groups", "thresholds", "between", "synapses", "resets", "end"],
    ],
)
@pytest.mark.agrees("Schedule: a schedule and slots of your own")
def test_schedules(schedule):
    cells = driven(extra="x : 1")
    synapses = recurrent(cells, delay=0.2 * ms)
    if "between" in schedule:
        cells.resetter["spike"].when = "between"
        synapses.pre.when = "before_between"
    network = Network(cells, synapses)
    network.schedule = schedule
    assert agree(network, 150).total_spikes > 10


def test_schedule_of_the_preferences():
    before = prefs.core.network.default_schedule
    prefs.core.network.default_schedule = ["start", "synapses", "groups", "thresholds", "resets", "end"]
    try:
        cells = driven()
        assert agree(Network(cells, recurrent(cells)), 150).total_spikes > 10
    finally:
        prefs.core.network.default_schedule = before


@pytest.mark.agrees("Networks: inactive objects")
def test_inactive_objects():
    cells, others, still = driven(), driven(name="others"), driven(name="still")
    first, second = recurrent(cells), recurrent(others, name="second")
    first.pre.active = False
    others.resetter["spike"].active = False
    still.state_updater.active = False
    silent = recurrent(cells, name="silent", on_pre="v_post += 100")
    silent.active = False
    result = agree(Network(cells, others, still, first, second, silent), 100)
    assert result.spikes["still.spike"] == 0


def test_objects_added_in_lists_and_taken_out_again():
    cells, others = driven(), driven(name="others")
    synapses, gone = recurrent(cells), recurrent(others, name="gone")
    network = Network()
    network.add([cells, [others]], {"first": synapses})
    network.add(gone)
    network.remove(gone)
    del network["others"]
    assert agree(network, 100).total_spikes > 5
    assert "others" not in network


def test_synapses_with_regular_code_in_a_magic_network(tmp_path):
    """Brian2 lists them among what their source contains."""
    script = tmp_path / "script.py"
    script.write_text(
        """from brian2 import *
cells = NeuronGroup(3, "v : 1", threshold="i > 0", reset="", name="cells")
synapses = Synapses(cells, cells, "w : 1", on_pre="v_post += w", name="synapses")
synapses.connect()
synapses.run_regularly("w += i + 0.1*j")
run(2*ms)
"""
    )
    verdict = compare_script(script)
    assert verdict.verdict == "agree", verdict.message
    assert set(verdict.comparison.objects) == {"cells", "synapses"}


@pytest.mark.agrees("Networks: all visible objects, as run() takes them")
def test_only_what_is_visible_is_wrapped():
    def unused():
        return driven(name="kept"), driven(name="forgotten")[:2]

    kept = unused()[0]
    gc.collect()
    synapses = recurrent(kept)
    start = NeuronGroup(2, "dv/dt = -v/ms : 1", name="also", method="exact")
    assert {group.name for group in brianbridge.wrap().groups} == {"also", "kept", "synapses"}
    start_scope()
    later = driven(name="later")
    assert [group.name for group in brianbridge.wrap().groups] == ["later"]


# -- what is refused ------------------------------------------------------------------------------------


def test_operations_and_objects_of_the_users_own_are_refused():
    class Counter(BrianObject):
        def run(self):
            pass

    @network_operation(when="end")
    def in_between():
        pass

    network = Network(driven(), Counter(name="counter"), in_between)
    with pytest.raises(Refused) as refused:
        capture(network, {})
    constructs = {refusal.object: refusal.construct for refusal in refused.value.refusals}
    assert "Counter" in constructs.pop("counter")
    assert "in_between()" in constructs.pop(in_between.name)
    assert not constructs


@pytest.mark.parametrize("objects", [[], ["clockless monitor"]])
def test_networks_without_groups_are_refused(objects):
    cells = driven()
    network = Network([SpikeMonitor(cells)] if objects else [])
    with pytest.raises(Refused, match="no NeuronGroup"):
        brianbridge.wrap(network)


# -- clocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [20.000000000020002 * us, 3.3 * ms])
def test_time_steps_that_are_not_round(dt):
    defaultclock.dt = dt
    stimulus = TimedArray(np.linspace(0.5, 2, 40), dt=7 * dt)
    cells = driven(extra="s = stimulus(t)*int(t > 5*dt) : 1\nk = t_in_timesteps % 3 : integer")
    cells.thresholder["spike"].when = "thresholds"
    assert agree(Network(cells), 150).total_spikes > 0


def test_three_clocks_and_a_clock_object():
    clock = Clock(dt=0.2 * ms)
    first, second = driven(name="first", dt=0.1 * ms), driven(name="second", clock=clock)
    third = driven(name="third", dt=0.4 * ms)
    there = Synapses(first, second, on_pre="a_post += 0.1", on_post="v_pre *= 0.99", delay={"pre": 0.6 * ms})
    back = Synapses(third, first, on_pre="a_post += 0.1", name="back")
    there.connect()
    back.connect()
    assert min(agree(Network(first, second, third, there, back), 200).spikes.values()) > 3


# -- several runs ---------------------------------------------------------------------------------------


def test_runs_go_on_where_they_stopped():
    cells, slow = driven(refractory=1 * ms), driven(name="slow", dt=0.2 * ms)
    synapses = recurrent(cells)
    synapses.delay = "0.3*ms*(i + j)"
    slowly = Synapses(
        slow, cells, on_pre="a_post += 0.1", on_post="a_pre += 0.05", delay=1 * ms, name="slowly"
    )
    slowly.connect(j="i")
    network = Network(cells, slow, synapses, slowly)
    network.run(4 * ms)
    cells.I[2:] = 1.6
    cells.v += 0.05
    network.run(0.05 * ms)  # less than a step
    network.run(0.05 * ms)
    network.run(2.9 * ms)  # ends within a step of the slow group
    assert agree(network, 100).total_spikes > 10


def test_spikes_under_way_arrive_after_the_first_run():
    source = SpikeGeneratorGroup(3, [0, 1, 2, 0], [0.1, 0.2, 0.2, 1.5] * ms, name="source")
    target = NeuronGroup(3, "v : 1", name="target")
    synapses = Synapses(source, target, "w : 1", on_pre="v_post += w", delay=1 * ms, name="synapses")
    each = Synapses(source, target, "w : 1", on_pre="v_post += w", name="each")
    for number, part in enumerate((synapses, each)):
        part.connect()
        part.w = f"1 + i + 10*j + 100*{number}"
    each.delay = "(1 + i + j)*0.4*ms"
    network = Network(source, target, synapses, each)
    network.run(0.5 * ms)
    assert target.v[0] == 0
    assert agree(network, 40).records["target.v"][-1].min() > 300


@pytest.mark.agrees("Networks: names that change between runs")
def test_names_that_change_between_runs():
    level, stimulus = 1.2, TimedArray([1, 2], dt=1 * ms)
    cells = NeuronGroup(
        3,
        "dv/dt = (level + 0.2*stimulus(t) + 0.1*i - v)/(3*ms) : 1",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
    )
    network = Network(cells)
    network.run(2 * ms)
    level, stimulus = 2, TimedArray([0, 0, 3, 4], dt=1 * ms)
    assert agree(network, 60).total_spikes > 5


@pytest.mark.agrees("Networks: dt changed between runs")
def test_time_steps_that_change_between_runs():
    cells = driven()
    synapses = recurrent(cells, on_pre="a_post += 0.1")
    synapses.delay, cells.v = "1*ms*j", 0
    network = Network(cells, synapses)
    defaultclock.dt = 0.5 * ms
    network.run(1 * ms)  # nobody has spiked yet
    defaultclock.dt = 1 * ms
    network.run(1 * ms)
    defaultclock.dt = 0.1 * ms
    assert agree(network, 100).total_spikes > 5


@pytest.mark.parametrize("point, steps", [("default", 60), ("second", 30)])
def test_restored_networks(point, steps, tmp_path):
    cells = driven(4, refractory=0.7 * ms)
    synapses = recurrent(cells)
    synapses.delay = "0.4*ms*i"
    network = Network(cells, synapses)
    network.store(filename=tmp_path / "stored")
    network.run(3 * ms)
    network.store("second", filename=tmp_path / "stored")
    network.run(3 * ms)
    at_the_end = np.array(cells.v)
    synapses.delay = 0 * ms
    network.restore(point, filename=tmp_path / "stored")
    np.testing.assert_array_equal(agree(network, steps).records["cells.v"][-1, 0], at_the_end)


def test_restoring_synapses_that_were_never_connected(tmp_path):
    cells = driven()
    synapses = Synapses(cells, cells, "w : 1", on_pre="a_post += w", name="synapses")
    synapses.connect(i=[1, 3, 0], j=[2, 4, 2])
    synapses.w = [0.1, 0.2, 0.3]
    Network(cells, synapses).store(filename=tmp_path / "stored")
    cells = driven()
    synapses = Synapses(cells, cells, "w : 1", on_pre="a_post += w", name="synapses")
    network = Network(cells, synapses)
    network.restore(filename=tmp_path / "stored")
    assert agree(network, 100).total_spikes > 5


def test_a_spike_in_the_last_step_of_a_group_that_is_then_switched_off():
    always = NeuronGroup(2, "", threshold="True", name="always")
    target = NeuronGroup(2, "v : 1", name="target")
    synapses = Synapses(always, target, on_pre="v_post += 1", name="synapses")
    synapses.connect()
    network = Network(always, target, synapses)
    network.run(2 * defaultclock.dt)
    always.active = False
    agree(network, 5)


def test_steps_beyond_32_bits():
    cells = NeuronGroup(1, "x : 1\nk = t_in_timesteps % 10 : integer", name="cells")
    cells.run_regularly("x += 1 + k")
    network = Network(cells)
    start = (2**31 - 5) * 0.1 * ms
    defaultclock.dt = start
    network.run(start)  # one very long step
    defaultclock.dt = 0.1 * ms
    agree(network, 10)
