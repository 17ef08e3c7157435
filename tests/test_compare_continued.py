"""`compare` where a script runs the same network again: each run starts from what the one before has left."""

import numpy as np
import pytest
from brian2 import *

from brianbridge.comparison.surroundings import as_main_program
from brianbridge.comparison.verdict import compare_script

NETWORK = """
import sys
from brian2 import *
defaultclock.dt = 0.5*ms
tau, drive = 10*ms, 1.5
cells = NeuronGroup(4, 'dv/dt = (drive - v)/tau : 1 (unless refractory)', threshold='v > 1', reset='v = 0',
                    refractory=3*ms, method='exact')
cells.v = 'i/4.0'
others = NeuronGroup(3, 'dx/dt = -x/tau : 1', threshold='x > 0.8', reset='x = 0', method='exact')
synapses = Synapses(cells, others, '''w : 1
dg/dt = -g/(4*ms) : 1 (event-driven)''', on_pre='g += 1; x_post += w*g')
synapses.connect()
synapses.w = 0.2
synapses.delay = '(2 + 3*j)*ms'
watched = StateMonitor(cells, 'v', record=True)
spikes = SpikeMonitor(others)
"""
SAVE = """
save(sys.argv[1], concatenate([watched.v.flatten(), spikes.t/ms, spikes.i, cells.v, others.x, synapses.w]))
"""


@pytest.fixture
def agree(script, tmp_path):
    """Let a script be compared, and executed by itself; both must give the same results."""

    def follow(text, *, alone=True, **options):
        path = script(text + (SAVE if alone else ""))
        verdict = compare_script(path, argv=["ours.npy"], **options)
        assert verdict.verdict == "agree" and verdict.comparison.bit_equal, verdict
        assert verdict.notes == (), verdict.notes
        if alone:
            with as_main_program(path, ["alone.npy"]) as module:
                exec(text + SAVE, vars(module))
            assert np.array_equal(np.load(tmp_path / "ours.npy"), np.load(tmp_path / "alone.npy"))
        return verdict.comparison

    return follow


def test_the_second_run_starts_where_the_first_has_ended(agree):
    seen = agree(NETWORK + "run(12*ms)\nrun(13*ms)\nrun(0.2*ms)\nrun(0.2*ms)\nrun(10*ms)\n")
    assert [run.steps for run in seen.runs] == [24, 26, 1, 20]
    assert all([run.spikes for run in seen.runs if run.steps > 1])


def test_what_is_assigned_between_runs(agree):
    text = NETWORK + (
        "run(12*ms)\n"
        "cells.v[:2], synapses.w['j == 1'], drive = 0.3, 0.5, 1.2\n"
        "run(12*ms)\n"
        "tau = 7*ms\n"
        "cells.v = 'v/2'\n"
        "run(12*ms, namespace={'tau': 5*ms, 'drive': 1.3})\n"
        "run(12*ms)\n"
    )
    assert len(agree(text).runs) == 4


def test_events_under_way_arrive_in_the_next_run(agree):
    text = NETWORK.replace("'(2 + 3*j)*ms'", "'(2 + 10*j)*ms'").replace("0.2", "0.6") + (
        "run(9*ms)\n"
        "drive = 0\n"  # nothing is sent any more
        "run(30*ms)\n"
    )
    assert agree(text).runs[1].spikes > 0


def test_delays_that_are_changed_between_runs(agree):
    text = NETWORK + "run(12*ms)\nsynapses.delay = 'j*ms'\nrun(12*ms)\nsynapses.delay = 4*ms\nrun(12*ms)\n"
    assert agree(text).runs[2].spikes


@pytest.mark.slow
def test_objects_that_are_switched_off_and_on(agree):
    text = NETWORK + (
        "run(12*ms)\n"
        "synapses.active = False\n"
        "run(12*ms)\n"
        "synapses.active, cells.active = True, False\n"
        "run(12*ms)\n"
        "cells.active = True\n"
        "others.thresholder['spike'].active = False\n"
        "run(12*ms)\n"
        "others.active = True\n"
        "run(12*ms)\n"
    )
    assert len(agree(text).runs) == 5


def test_a_network_that_grows_and_shrinks(agree):
    text = NETWORK + (
        "network = Network(cells, watched)\n"
        "network.run(12*ms)\n"
        "network.add(others, synapses, spikes)\n"
        "network.run(12*ms)\n"
        "more = NeuronGroup(2, 'dy/dt = 1/tau : 1', method='euler', dt=1*ms)\n"
        "network.add(more)\n"
        "network.run(11.5*ms)\n"
        "network.run(11.5*ms)\n"
        "network.remove(synapses)\n"
        "network.run(12*ms)\n"
    )
    seen = agree(text)
    assert len(seen.objects) == 4 and [run.steps for run in seen.runs] == [24, 24, 23, 23, 24]


def test_a_network_whose_neurons_are_gone(script):
    verdict = compare_script(script(NETWORK + "run(12*ms)\ndel cells, others, watched, spikes\nrun(12*ms)\n"))
    assert verdict.verdict == "agree" and verdict.notes == () and len(verdict.comparison.runs) == 1


def test_the_magic_network_begins_anew_with_new_objects(agree):
    text = NETWORK + (
        "run(12*ms)\n"
        "start_scope()\n"
        "cells = NeuronGroup(2, 'dv/dt = t/tau**2 : 1', threshold='v > 1', reset='v = 0', method='euler')\n"
        "watched = StateMonitor(cells, 'v', record=True)\n"
        "run(30*ms)\n"
        "assert watched.t[0] == 0*ms\n"
        "run(30*ms)\n"
        "assert magic_network.t == 60*ms\n"
    )
    assert agree(text).runs[2].spikes


def test_going_back_to_a_time_within(agree):
    text = NETWORK + ("run(10*ms)\nstore('then')\nrun(20*ms)\nrestore('then')\ndrive = 1.8\nrun(15*ms)\n")
    seen = agree(text)
    assert [run.steps for run in seen.runs] == [20, 40, 30]


def test_time_and_inputs_go_on(agree):
    text = NETWORK + (
        "stimulus = TimedArray(sin(arange(20)), dt=2*ms)\n"
        "group = NeuronGroup(2, '''dv/dt = (2*stimulus(t) - v)/tau : 1\n"
        "phase = t/ms : 1 (constant over dt)''', method='euler', dt=1*ms)\n"
        "group.run_regularly('v += 0.1', dt=3*ms)\n"
        "run(7.5*ms)\n"
        "run(8*ms)\n"
        "run(8.5*ms)\n"
    )
    agree(text)


def test_noise_and_lockstep_go_on(agree):
    text = NETWORK.replace("-x/tau", "-x/tau + 0.3*xi*tau**-0.5").replace(
        "x = 0', method='exact'", "x = 0', method='euler'"
    )
    for lockstep in (False, True):
        seen = agree(text + "run(20*ms)\nrun(20*ms)\n", alone=False, lockstep=lockstep)
        assert all([run.spikes for run in seen.runs])


def test_the_limit_may_fall_into_a_later_run(script):
    text = NETWORK + "run(12*ms)\nrun(100*ms)\nraise RuntimeError('not reached')\n"
    verdict = compare_script(script(text), steps=60)
    assert verdict.verdict == "agree"
    assert [(run.steps, run.asked) for run in verdict.comparison.runs] == [(24, 24), (36, 200)]


def test_delays_that_let_events_meet_are_refused(script):
    spike = "cells.v = 1.1\nsynapses.delay = {}*ms\nrun({}*ms)\n"
    verdict = compare_script(script(NETWORK + spike.format(6, 4) + spike.format(2, 20)))
    assert verdict.verdict == "refused" and len(verdict.comparison.runs) == 1
    (refusal,) = verdict.refusals
    assert "two events arrive at one synapse" in refusal.construct and verdict.made[refusal.object]


# -- another time step --------------------------------------------------------------------------------


def test_another_time_step_in_the_next_run(agree):
    silent = NETWORK.replace("drive = 10*ms, 1.5", "drive = 10*ms, 0.9") + "others.x = 1\n"
    seen = agree(silent + "run(12*ms)\ndefaultclock.dt = 0.25*ms\nrun(12*ms)\n")
    assert [(run.steps, run.dt) for run in seen.runs] == [(24, 0.0005), (48, 0.00025)]


def test_another_time_step_while_events_are_under_way_is_refused(script):
    verdict = compare_script(script(NETWORK + "run(12*ms)\ndefaultclock.dt = 0.25*ms\nrun(12*ms)\n"))
    assert verdict.verdict == "refused" and len(verdict.comparison.runs) == 1
    (refusal,) = verdict.refusals
    assert "dt was changed" in refusal.construct and "synapses" in refusal.object
    assert verdict.made[refusal.object].line == NETWORK[: NETWORK.index("synapses = ")].count("\n") + 1


def test_a_time_step_that_does_not_fit_is_refused_by_brian2(script):
    verdict = compare_script(script(NETWORK + "run(12*ms)\ndefaultclock.dt = 0.7*ms\nrun(12*ms)\n"))
    assert verdict.verdict == "agree"
    assert "the script fails" in verdict.notes[0] and "not a multiple" in verdict.notes[0]


def test_a_time_step_that_does_not_fit_is_the_script_s_failure(script):
    path = script(
        "from brian2 import *\ncells = NeuronGroup(2, 'dv/dt = -v/ms : 1', method='exact')\n"
        "net = Network(cells)\nnet.run(0.5*ms)\ndefaultclock.dt = 1*ms\nnet.run(1*ms)"
    )
    verdict = compare_script(path)
    assert verdict.verdict == "agree"  # of the first run
    assert any(["Cannot set dt from 100. us to 1. ms" in note for note in verdict.notes])
