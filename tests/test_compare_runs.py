"""`compare` follows a script with several runs: each is compared, the script goes on with real results."""

import json

import numpy as np
import pytest
from brian2 import *

from brianbridge.cli import main
from brianbridge.comparison import side_by_side
from brianbridge.comparison.agreement import (
    Comparison,
    EventAgreement,
    ObjectAgreement,
    RunAgreement,
    StateAgreement,
)
from brianbridge.comparison.surroundings import as_main_program
from brianbridge.comparison.verdict import compare_script
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.stepping import Stepper

NEURONS = """
from brian2 import *
defaultclock.dt = 0.5*ms
tau, drive = 10*ms, 1.5
def neurons(n, **options):
    group = NeuronGroup(n, 'dv/dt = (drive - v)/tau : 1', threshold='v > 1', reset='v = 0', method='exact',
                        **options)
    group.v = 'i/(N + 1.0)'
    return group
"""
NOISY = """
from brian2 import *
defaultclock.dt = 0.5*ms
names = {'tau': 10*ms, 'sigma': 0.3}
cells = NeuronGroup(4, '''dv/dt = (I - v)/tau + sigma*xi*tau**-0.5 : 1
    I : 1''', threshold='v > 1', reset='v = 0', method='euler', namespace=names)
synapses = Synapses(cells, cells, 'w : 1', on_pre='v_post += w', delay=2*ms)
synapses.connect(condition='i != j')
spikes = SpikeMonitor(cells)
"""


def steps_of(verdict):
    return [run.steps for run in verdict.comparison.runs]


# -- all runs are compared ----------------------------------------------------------------------------


def test_assignments_between_runs_are_part_of_both_sides(script, tmp_path):
    text = NOISY + (
        "store()\n"
        "counts = []\n"
        "for w in (-0.2, 0, 0.2):\n"
        "    restore()\n"
        "    cells.I, synapses.w = 1 + w, w\n"
        "    run(40*ms, report='text')\n"
        "    counts.append(spikes.num_spikes)\n"
        "savetxt('counts.txt', counts)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.comparison.bit_equal, verdict
    assert steps_of(verdict) == [80, 80, 80]
    # the script's own monitor has seen what was compared
    assert [run.spikes for run in verdict.comparison.runs] == list(np.loadtxt(tmp_path / "counts.txt"))
    assert verdict.comparison.runs[0].spikes < verdict.comparison.runs[2].spikes
    assert len(verdict.comparison.objects) == 2
    document = verdict.document()
    assert [run["steps"] for run in document["runs"]] == [80, 80, 80] and document["steps"] == 240
    assert {run["line"] for run in document["runs"]} == {text[: text.index("    run(40")].count("\n") + 1}


def test_what_a_script_does_between_its_runs_is_what_it_does_without_us(script, tmp_path):
    """Magic runs, runs of a `Network` and of modules beside the script, on monitors, plots and files."""
    script(
        "from brian2 import *\n"
        "def simulate(network, duration):\n"
        "    network.run(duration, lambda *seen: reports.append(seen[1]), 1*second, level=1)\n"
        "reports = []\n",
        "beside.py",
    )
    text = NEURONS + (
        "import beside, os, sys\n"
        "cells = neurons(3)\n"
        "watched = StateMonitor(cells, 'v', record=[1])\n"
        "run(20*ms, profile=True)\n"
        "summary = str(profiling_summary())\n"
        "plt.plot(watched.t/ms, watched.v[0])\n"
        "plt.savefig('figure.png')\n"
        "results = [watched.v[0]]\n"
        "def another(n, drive):\n"
        "    others = neurons(n)\n"
        "    network = Network(others)\n"
        "    beside.simulate(network, 30*ms)\n"
        "    return others.v[:]\n"
        "results.append(another(3, 2.0))\n"
        "tau = 8*ms\n"
        "others = neurons(int(10*watched.v[0][-1]))\n"  # a result makes the next network
        "network = Network(others)\n"
        "network.run(25*ms, namespace={'tau': 2*ms, 'drive': 1.1})\n"
        "results.append(others.v[:])\n"
        "assert beside.reports[0] == 0 and beside.reports[-1] == 1\n"
        "assert network.t == 25*ms\n"
        "save(sys.argv[1], concatenate(results))\n"
    )
    path = script(text)
    verdict = compare_script(path, argv=["ours.npy"])
    assert verdict.verdict == "agree" and verdict.notes == (), verdict
    assert steps_of(verdict) == [40, 60, 50]
    assert [place.file for place in verdict.places] == ["script.py", "beside.py", "script.py"]
    with as_main_program(path, ["alone.npy"]) as module:
        exec(text, vars(module))
    assert np.array_equal(np.load(tmp_path / "ours.npy"), np.load(tmp_path / "alone.npy"))
    assert (tmp_path / "figure.png").exists()


def test_every_run_has_its_own_noise_and_leaves_nothing_frozen(script, tmp_path):
    text = NOISY + (
        "cells.I = 2\n"
        "store()\n"
        "values = []\n"
        "for k in range(2):\n"
        "    restore()\n"
        "    run(20*ms)\n"
        "    values.append(array(cells.v))\n"
        "    assert set(names) == {'tau', 'sigma'}\n"
        "    assert 'update_abstract_code' not in vars(cells.state_updater)\n"
        "save('values', values)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.notes == (), verdict
    first, second = np.load(tmp_path / "values.npy")
    assert not np.any(first == second)


def test_what_is_not_connected_to_anything_visible_does_not_take_part(script):
    text = NEURONS + (
        "def connected():\n"
        "    hidden, cells = neurons(2), neurons(3)\n"
        "    synapses = Synapses(hidden, cells, on_pre='v += 0.1')\n"
        "    synapses.connect()\n"
        "    return [hidden], cells, synapses\n"
        "kept, cells, synapses = connected()\n"
        "run(10*ms)\n"
        "assert not synapses.active\n"
        "Network(kept).run(10*ms)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.notes == (), verdict
    assert [obj.n for obj in verdict.comparison.objects.values()] == [3, 2]


def test_objects_of_other_runs_are_counted_together_if_they_are_alike(script):
    text = NEURONS + (
        "for n in (2, 2, 3):\n"
        "    cells = neurons(n, name='cells')\n"
        "    network = Network(cells)\n"
        "    network.run(20*ms)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree"
    objects = verdict.comparison.objects
    assert list(objects) == ["cells", "cells (run 3)"]
    assert [obj.n for obj in objects.values()] == [2, 3]
    counted = [obj.events["spike"].brian2 for obj in objects.values()]
    one, two, three = [run.spikes for run in verdict.comparison.runs]
    assert counted == [one + two, three] and min(counted) > 0


def run_of(steps, differing=0, first=None, difference=0.0, relative=0.0, n=5, unit="V"):
    obj = ObjectAgreement("NeuronGroup", n)
    obj.events["spike"] = EventAgreement(3, 3, differing, first)
    obj.states["v"] = StateAgreement(unit, difference, relative)
    comparison = Comparison({"cells": obj})
    comparison.runs.append(RunAgreement(steps, steps, 1e-4, 3, comparison.agrees))
    return comparison


def test_differences_of_several_runs_are_the_largest_and_counts_their_sum():
    total = Comparison()
    parts = [
        run_of(100),
        run_of(50, difference=2e-6, relative=1e-3),
        run_of(70, 4, 7, difference=3e-6, relative=1e-12),
        run_of(30, n=6),
        run_of(30, unit="A"),
        run_of(30, n=6),
    ]
    for part in parts:
        total.add(part)
    cells = total.objects["cells"]
    assert cells.events["spike"] == EventAgreement(9, 9, 4, 157)
    assert cells.states["v"] == StateAgreement("V", 3e-6, 1e-3)
    assert not total.agrees and not total.bit_equal
    assert list(total.objects) == ["cells", "cells (run 4)", "cells (run 5)"]
    assert total.objects["cells (run 4)"].events["spike"].brian2 == 6
    assert total.steps == 310 and total.spikes == 18
    assert [run.agrees for run in total.runs] == [True, False, False, True, True, True]
    assert parts[0].objects["cells"].events["spike"].brian2 == 3


def test_a_difference_in_an_early_run_is_not_forgotten(script, monkeypatch):
    right = Operations.reset
    monkeypatch.setattr(Operations, "reset", lambda self, mask, new, old: right(self, mask, new + 1e-3, old))
    text = (
        NEURONS + "for drive in (1.5, 0.5, 1e6):\n    cells = neurons(2)\n    cells.v = 0.2\n    run(20*ms)\n"
    )
    verdict = compare_script(script(text.replace("1e6", "0.6")))
    assert verdict.verdict == "differ"
    assert [run.agrees for run in verdict.comparison.runs] == [False, True, True]
    assert "run 1" in verdict.message and "3 runs" in verdict.message
    verdict = compare_script(script(text + "Network(NetworkOperation(lambda: None)).run(1*ms)\n"))
    assert verdict.verdict == "differ" and len(verdict.refusals) == 1


def test_lockstep_through_several_runs(script, capsys):
    text = NOISY + "synapses.w = 0.1\nstore()\nrun(20*ms)\nrestore()\nrun(20*ms)\n"
    path = script(text)
    verdict = compare_script(path, lockstep=True)
    assert verdict.verdict == "agree" and steps_of(verdict) == [40, 40]
    assert verdict.document()["lockstep"]
    assert main(["compare", str(path), "--lockstep"]) == 0
    heading, *rows = capsys.readouterr().out.split("\n\n")[0].split("\n")
    assert heading.split() == "run called in steps dt spikes agrees".split()
    assert [row.split()[:7] for row in rows] == [
        [str(run), "script.py,", "line", str(text.count("\n") + line), "40", "0.5", "ms"]
        for run, line in ((1, -2), (2, 0))
    ]


# -- how far a script is followed ---------------------------------------------------------------------


def test_the_limit_holds_for_all_runs_together(script):
    text = NEURONS + (
        "for k in range(5):\n"
        "    cells = neurons(2)\n"
        "    try:\n"
        "        run(20*ms)\n"
        "    except:\n"
        "        pass\n"
        "    if k == 2:\n"
        "        raise RuntimeError('not reached, or not told')\n"
    )
    verdict = compare_script(script(text), steps=90)
    assert verdict.verdict == "agree"
    assert steps_of(verdict) == [40, 40, 10]
    assert [run.asked for run in verdict.comparison.runs] == [40, 40, 40]
    assert verdict.notes[0].startswith("Run 3 has 40 steps, of which 10") and "--steps" in verdict.notes[0]
    verdict = compare_script(script(text), steps=80)
    assert steps_of(verdict) == [40, 40] and "stopped after 80 steps" in verdict.notes[0]


def test_a_script_is_not_run_for_longer_than_it_asks(script):
    verdict = compare_script(script(NEURONS + "cells = neurons(2)\nrun(20*ms)\n"), steps=5000)
    assert steps_of(verdict) == [40] and verdict.notes == ()


def test_a_run_that_the_script_stops(script):
    text = NEURONS + (
        "cells = neurons(2)\n"
        "run(20*ms, lambda elapsed, done, *rest: stop() if 0 < done < 1 else None, 0*ms)\n"
        "run(20*ms)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.notes == ()
    assert [(run.steps, run.asked) for run in verdict.comparison.runs] == [(2, 40), (40, 40)]


def test_runs_of_nothing_are_carried_out(script):
    text = NEURONS + (
        "empty = Network()\n"
        "empty.run(1*second)\n"
        "cells = neurons(2)\n"
        "network = Network(cells)\n"
        "network.run(0*ms)\n"
        "assert cells._network is not None\n"
        "network.run(10*ms)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.notes == () and steps_of(verdict) == [20], verdict


def test_a_script_that_ends_in_its_own_way(script):
    once = NEURONS + "cells = neurons(2)\nrun(20*ms)\n"
    assert compare_script(script(once + "import sys\nsys.exit()\n")).notes == ()
    for ending, words in (("1/0", "ZeroDivisionError"), ("import sys; sys.exit('bye')", "sys.exit('bye')")):
        verdict = compare_script(script(once + ending + "\n"))
        assert verdict.verdict == "agree" and "1 run" not in verdict.message
        (note,) = verdict.notes
        assert words in note
    assert (
        f"script.py, line {once.count(chr(10)) + 1}: 1/0" in compare_script(script(once + "1/0\n")).notes[0]
    )


def test_what_brian2_refuses_arrives_in_the_script(script):
    text = NEURONS + (
        "bad = Network(NeuronGroup(1, 'dv/dt = -v/tow : 1'))\n"
        "try:\n"
        "    bad.run(1*ms)\n"
        "except BrianObjectException as error:\n"
        "    assert 'tow' in str(error.__cause__)\n"
        "try:\n"
        "    bad.run(-1*ms)\n"
        "except ValueError:\n"
        "    cells = neurons(2)\n"
        "run(20*ms)\n"
    )
    text = text.replace("from brian2 import *", "from brian2 import *\nfrom brian2.core.base import *")
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and verdict.notes == (), verdict
    verdict = compare_script(script(text + "del cells\nlate = neurons(1, refractory='tow')\nrun(1*ms)\n"))
    assert verdict.verdict == "agree"
    assert "the script fails" in verdict.notes[0] and "tow" in verdict.notes[0]
    assert "run(1*ms)" in verdict.notes[0]


# -- what is not compared -----------------------------------------------------------------------------


def test_a_refused_run_ends_the_script_and_is_named(script, capsys):
    script(
        "from brian2 import *\n"
        "def build():\n"
        "    return NeuronGroup(1, 'dv/dt = -v/ms : 1',\n"
        "                       method='gsl_rkf45', name='beside')\n",
        "other.py",
    )
    text = NEURONS + (
        "import other\n"
        "cells = neurons(2)\n"
        "run(20*ms)\n"
        "def build():\n"
        "    return NeuronGroup(1, 'dv/dt = -v/ms : 1', method='gsl', name='inside')\n"
        "try:\n"
        "    Network(build(), other.build()).run(20*ms)\n"
        "except Exception:\n"
        "    raise RuntimeError('not reached')\n"
    )
    path = script(text)
    assert main(["compare", str(path), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "refused" and len(document["runs"]) == 1 and document["objects"]
    line = text[: text.index("    return NeuronGroup(1")].count("\n") + 1
    found = {(r["object"], r["file"], r["line"]) for r in document["refusals"]}
    assert found == {("beside", "other.py", 3), ("inside", "script.py", line)}
    called = text[: text.index("    Network(build()")].count("\n") + 1
    assert f"run 2 (script.py, line {called}), for 2 reasons" in document["message"]
    assert "the run before agrees over 40 steps" in document["message"]
    assert main(["compare", str(path)]) == 2
    printed = capsys.readouterr().out
    assert "beside (other.py, line 3): " in printed and f"inside (script.py, line {line}): " in printed


def test_contained_objects_have_the_line_of_what_contains_them(script):
    text = NEURONS + (
        "from brian2 import Function\n"
        "odd = Function(lambda x: x, arg_units=[1], return_unit=1)\n"
        "cells = NeuronGroup(2, 'dv/dt = (odd(v) - v)/tau : 1',\n"
        "                    threshold='odd(v) > 1', reset='v = odd(0)',\n"
        "                    method='euler')\n"
        "synapses = Synapses(cells, cells,\n"
        "                    on_pre='v_post += odd(1)')\n"
        "synapses.connect()\n"
        "run(1*ms)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "refused"
    cells, synapses = [text[: text.index(what)].count("\n") + 1 for what in ("cells = ", "synapses = ")]
    lines = {refusal.object: verdict.made[refusal.object].line for refusal in verdict.refusals}
    assert {"stateupdater", "thresholder", "resetter"} <= {name.rpartition("_")[2] for name in lines}
    assert {line for name, line in lines.items() if "synapses" in name} == {synapses}
    assert {line for name, line in lines.items() if "synapses" not in name} == {cells}


def test_an_error_of_ours_is_told_as_such(script, monkeypatch, capsys):
    right, calls = side_by_side.captured, []

    def captured(network, namespace):
        calls.append(network)
        if len(calls) == 2:
            raise TypeError("something\nunforeseen")
        return right(network, namespace)

    monkeypatch.setattr(side_by_side, "captured", captured)
    text = NEURONS + (
        "for k in range(3):\n"
        "    try:\n"
        "        cells = neurons(2)\n"
        "        run(20*ms)\n"
        "    except Exception:\n"
        "        raise RuntimeError('not reached')\n"
    )
    path = script(text)
    assert main(["compare", str(path), "--json"]) == 70
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "error" and len(document["runs"]) == 1
    for words in ("run 2 (script.py", "TypeError: something unforeseen", "agrees over 40", "report it, with"):
        assert words in document["message"]
    calls[:] = [None]
    monkeypatch.setenv("BRIANBRIDGE_DEBUG", "1")
    assert main(["compare", str(path)]) == 70
    printed = capsys.readouterr()
    assert "Traceback" in printed.err and "Traceback" not in printed.out


def test_an_error_of_ours_during_a_run_is_no_failure_of_the_script(script, monkeypatch):
    def fail(self):
        raise KeyError("inside")

    monkeypatch.setattr(Stepper, "step", fail)
    verdict = compare_script(script(NEURONS + "cells = neurons(2)\nrun(20*ms)\n"))
    assert verdict.verdict == "error" and "in run 1 (script.py, line 11): KeyError" in verdict.message


# -- devices ------------------------------------------------------------------------------------------


def test_standalone_scripts_build_as_often_as_they_like(script):
    text = NEURONS + (
        "set_device('cpp_standalone', build_on_run=False, directory='out')\n"
        "for n in (2, 3):\n"
        "    device.reinit()\n"
        "    device.activate(build_on_run=False)\n"
        "    cells = neurons(n)\n"
        "    spikes = SpikeMonitor(cells)\n"
        "    run(20*ms)\n"
        "    device.build('out', compile=True, run=True)\n"
        "    assert spikes.num_spikes > 0\n"
        "device.delete(force=True)\n"
    )
    verdict = compare_script(script(text))
    assert verdict.verdict == "agree" and len(verdict.notes) == 1, verdict
    assert "cpp_standalone" in verdict.notes[0]
    assert steps_of(verdict) == [40, 40]
    with pytest.raises(TypeError):
        device.build("out")  # of the runtime device again


def test_a_run_that_takes_too_long_is_cut_short(script, monkeypatch):
    monkeypatch.setattr("brianbridge.comparison.verdict.MOST_SECONDS", 0)
    path = script(f"{NEURONS}\ncells = neurons(2)\nrun(50*ms)\nraise ValueError('not reached')")
    verdict = compare_script(path)
    assert verdict.verdict == "agree"
    assert 0 < verdict.comparison.steps < 100
    assert "The script's first run has 100 steps, of which" in verdict.notes[0]
    assert "which took 0 s; more can be compared with --steps" in verdict.notes[0]
    assert compare_script(path, 40).comparison.steps == 40  # asked for: no limit


def test_an_order_that_follows_from_names_is_noted(script):
    links = "b = NeuronGroup(2, 'du/dt = (y - u)/tau : 1\\n y : 1 (linked)', method='euler', name='b')"
    path = script(f"{NEURONS}\na = neurons(2, name='a')\n{links}\nb.y = linked_var(a, 'v')\nrun(5*ms)")
    verdict = compare_script(path)
    assert verdict.verdict == "agree"
    assert any(["a_stateupdater changes a.v, which b_stateupdater uses" in note for note in verdict.notes])
