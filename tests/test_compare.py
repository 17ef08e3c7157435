"""`compare` and one run: every way in which a user's script can end has its verdict, nothing is left behind.

For scripts with several runs see test_compare_runs.py.
"""

import json
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from brian2 import *

from brianbridge.cli import main
from brianbridge.comparison.agreement import StateAgreement
from brianbridge.comparison.side_by_side import compare
from brianbridge.comparison.verdict import compare_script
from brianbridge.comparison.watching import Difference
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.stepping import Stepper

NETWORK = """
from brian2 import *
tau = 10*ms
cells = NeuronGroup(12, 'dv/dt = (1.5 - v)/tau + 0.2*xi*tau**-0.5 : 1', threshold='v > 1', reset='v = 0',
                    method='euler')
cells.v = 'rand()'
synapses = Synapses(cells, cells, on_pre='v_post += 0.05', delay=0.5*ms)
synapses.connect(condition='i != j')
"""


# -- scripts that are compared ------------------------------------------------------------------------


def test_plain_script_agrees_bit_for_bit(script):
    verdict = compare_script(script(NETWORK + "run(30*ms)\nraise RuntimeError('not reached')\n"))
    assert verdict.verdict == "agree", verdict
    comparison = verdict.comparison
    assert comparison.bit_equal and comparison.steps == 300 and comparison.spikes > 20
    (cells,) = [obj for obj in comparison.objects.values() if obj.kind == "NeuronGroup"]
    assert cells.events["spike"].brian2 == cells.events["spike"].surrogate == comparison.spikes
    assert set(cells.states) == {"v"}


def test_script_with_functions_plots_arguments_files_and_modules_beside_it(script, tmp_path, capfd):
    script("def build():\n    return 'v > limit'\n", "beside.py")
    (tmp_path / "drive.txt").write_text("1.5 1.6 1.7")
    path = script("""
import os, sys
import matplotlib
matplotlib.use('TkAgg')
from brian2 import *
from beside import build

def main(limit):
    drive = loadtxt('drive.txt')
    cells = NeuronGroup(3, '''dv/dt = (I - v)/tau : 1
    I : 1''', threshold=build(), reset='v = 0', method='exact')
    cells.I = drive
    tau = 5*ms
    print('printed by Python')
    os.system('echo printed by another program')
    plt.plot(drive)
    plt.show()
    prefs.codegen.target = 'cython'
    defaultclock.dt = 0.2*ms
    try:
        run(20*ms, report='text')
    except Exception:
        print('swallowed')

if __name__ == '__main__':
    main(float(sys.argv[1]))
""")
    before = os.getcwd(), list(sys.path), matplotlib.get_backend().lower(), np.random.get_state()[1].tolist()
    verdict = compare_script(path, argv=["1"])
    assert verdict.verdict == "agree", verdict
    assert verdict.comparison.steps == 100 and verdict.comparison.spikes > 0
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "printed by Python" in printed.err and "another program" in printed.err
    assert "swallowed" not in printed.err
    after = os.getcwd(), list(sys.path), matplotlib.get_backend().lower(), np.random.get_state()[1].tolist()
    assert after == before
    assert "beside" not in sys.modules
    assert prefs.codegen.target == "numpy" and defaultclock.dt == 0.1 * ms


def test_names_come_from_where_the_run_is_called(script):
    verdict = compare_script(
        script("""
from brian2 import *
tau = 1*mV                                      # not the one that is meant
def simulate(network):
    network.run(10*ms, namespace={'tau': 5*ms})
cells = NeuronGroup(2, 'dv/dt = -v/tau : 1', method='exact')
cells.v = 1
simulate(Network(cells))
""")
    )
    assert verdict.verdict == "agree", verdict


def test_a_script_may_close_its_streams_and_set_hooks(script, capfd):
    text = NETWORK + "import sys, logging\nlogging.basicConfig()\nprint('seen')\nsys.excepthook = None\n"
    verdict = compare_script(script(text + "sys.stdout.close()\nsys.stderr.close()\nrun(5*ms)\n"))
    assert verdict.verdict == "agree"
    print("still open")
    printed = capfd.readouterr()
    assert printed.out == "still open\n" and printed.err == "seen\n"
    assert sys.excepthook is not None


def test_a_bare_except_and_a_run_of_no_duration_do_not_matter(script):
    text = NETWORK + "run(0*ms)\ntry:\n    run(5*ms)\nexcept:\n    pass\nrun(50*ms)\n"
    verdict = compare_script(script(text), steps=50)
    assert verdict.verdict == "agree" and verdict.comparison.steps == 50


def test_only_visible_objects_take_part(script):
    text = NETWORK + "def simulate():\n    run(5*ms)\n\nsimulate()\n"
    hidden = "def hide():\n    global kept\n    kept = [NeuronGroup(1, 'x : 1', name='hidden')]\nhide()\n"
    verdict = compare_script(script(text + hidden))
    assert verdict.verdict == "agree"
    assert len(verdict.comparison.objects) == 2


def test_standalone_script_runs_on_the_runtime_device(script):
    text = "from brian2 import *\nset_device('cpp_standalone', build_on_run=False)\n"
    verdict = compare_script(script(text + NETWORK + "run(5*ms)\ndevice.build()\n"))
    assert verdict.verdict == "agree"
    assert "cpp_standalone" in verdict.notes[0]


def test_two_clocks_delays_and_custom_events(script):
    verdict = compare_script(
        script("""
from brian2 import *
cells = NeuronGroup(8, '''dv/dt = (1.5 - v)/(10*ms) : 1
armed : boolean
count : integer''', threshold='v > 1', reset='v = 0; count += 1', events={'half': 'v > 0.5 and armed'},
    method='exact')
cells.run_on_event('half', 'armed = False')
cells.v, cells.armed = 'rand()', True
slow = NeuronGroup(8, 'dx/dt = -x/(10*ms) : 1', threshold='x > 1', reset='x = 0', method='exact', dt=0.5*ms)
to_slow = Synapses(cells, slow, on_pre='x += 0.4', delay=2*ms)
to_slow.connect(p=0.5)
run(60*ms)
"""),
        steps=500,
    )
    assert verdict.verdict == "agree", verdict
    (events,) = [obj.events for obj in verdict.comparison.objects.values() if "half" in obj.events]
    assert events["half"].brian2 > 0
    assert "600 steps" in verdict.notes[0]


# -- scripts that are not -----------------------------------------------------------------------------


def test_all_refusals_are_listed_with_the_lines_of_the_script(script):
    path = script("""from brian2 import *
cells = NeuronGroup(2, 'dv/dt = -v/ms : 1', method='gsl_rkf45', name='cells')
@network_operation
def look():
    pass
run(5*ms)
""")
    verdict = compare_script(path)
    assert verdict.verdict == "refused"
    document = verdict.document()
    assert {r["line"] for r in document["refusals"]} == {2, 3}
    assert all([r["object"] and r["construct"] and r["remedy"] for r in document["refusals"]])
    assert document["objects"] == {}


def test_numbers_that_cannot_be_replayed_are_refused(script):
    text = NETWORK + "cells.run_regularly('v += rand()', dt=0.02*ms)\nrun(5*ms)\n"
    verdict = compare_script(script(text))
    assert verdict.verdict == "refused"
    (refusal,) = verdict.refusals
    assert "cannot be replayed" in refusal.construct
    assert verdict.made[refusal.object].line == text[: text.index("cells.run_regularly")].count("\n") + 1


def test_single_precision_is_refused_where_a_group_asks_for_it(script):
    text = NETWORK.replace("method='euler'", "method='euler', dtype=float32")
    verdict = compare_script(script(text + "run(5*ms)\n"))
    assert verdict.verdict == "refused"
    assert "single precision" in verdict.refusals[0].construct and "dtype" in verdict.refusals[0].remedy


def test_a_preference_for_single_precision_is_declined(script, monkeypatch):
    text = NETWORK.replace("tau =", "prefs.core.default_float_dtype = float32\ntau =", 1)
    verdict = compare_script(script(text + "run(5*ms)\n"))
    assert verdict.verdict == "agree"
    assert "single precision" in verdict.notes[0] and "default_float_dtype" in verdict.notes[0]
    nonsense = NETWORK.replace("tau =", "prefs.core.default_float_dtype = 'float32'\ntau =", 1)
    assert "PreferenceError" in compare_script(script(nonsense)).message
    assert prefs.core.default_float_dtype is np.float64
    monkeypatch.setitem(prefs, "core.default_float_dtype", np.float32)  # nothing is declined any more
    assert prefs.core.default_float_dtype is np.float32


FAILING = {
    "raises": ("def f():\n    return 1/0\nf()\n", "ZeroDivisionError", "script.py, line 2: return 1/0"),
    "syntax": ("x = = 1\n", "script.py, line 1 is not valid Python", "x = = 1"),
    "no run": ("from brian2 import *\nG = NeuronGroup(1, 'v : 1')\n", "no run", "script.py"),
    "exit": ("import sys\nsys.exit(3)\n", "sys.exit(3)", "script.py"),
    "import": ("import no_such_module\n", "no_such_module", "line 1"),
    "name": (
        "from brian2 import *\nG = NeuronGroup(1, 'dv/dt = -v/tow : 1')\nrun(1*ms)\n",
        "Brian2 complains",
        "tow",
    ),
    "units": (
        "from brian2 import *\nG = NeuronGroup(1, 'dv/dt = -v : 1')\nrun(1*ms)\n",
        "Brian2 complains",
        "units",
    ),
    "slot": (
        "from brian2 import *\nG = NeuronGroup(1, 'v : 1')\n"
        "M = StateMonitor(G, 'v', True, when='x')\nrun(1*ms)\n",
        "Brian2 does not run",
        "script.py, line 4: run(1*ms)",
    ),
    "no unit": ("from brian2 import *\nG = NeuronGroup(1, 'v : 1')\nrun(1)\n", "run", "line 3"),
    "empty": ("from brian2 import *\nGs = [NeuronGroup(1, 'v : 1')]\nrun(1*ms)\n", "empty network", "lists"),
    "no Exception": ("class Odd(BaseException):\n    pass\nraise Odd('so')\n", "Odd: so", "line 3"),
    "null": ("\0", "script.py", "runs no network"),
}


@pytest.mark.parametrize("case", FAILING)
def test_failing_scripts_are_told_in_words(script, case):
    text, *expected = FAILING[case]
    verdict = compare_script(script(text))
    assert verdict.verdict == "failed"
    for words in expected:
        assert words in verdict.message
    assert "Traceback" not in verdict.message and "brianbridge" not in verdict.message


POOL = "with multiprocessing.get_context('fork').Pool(1) as pool:\n    pool.map(simulate, [1])\n"
PROCESS = (
    "process = multiprocessing.get_context('fork').Process(target=simulate, args=[1])\nprocess.start()\n"
)


@pytest.mark.parametrize("way", [POOL, PROCESS + "process.join()\n"])
def test_run_in_another_process_is_reported(script, way):
    text = NETWORK + "def simulate(k):\n    run(5*ms)\n\nimport multiprocessing\n" + way
    verdict = compare_script(script(text))
    assert verdict.verdict == "failed" and "another process" in verdict.message
    assert "script.py runs no network" in verdict.message


# -- differences --------------------------------------------------------------------------------------


def test_a_wrong_surrogate_is_found(script, monkeypatch, capsys):
    right = Operations.reset
    monkeypatch.setattr(Operations, "reset", lambda self, mask, new, old: right(self, mask, new + 1e-3, old))
    path = script(NETWORK + "run(100*ms)\n")
    assert main(["compare", str(path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "differ"
    (cells,) = [obj for obj in document["objects"].values() if obj["events"]]
    assert not cells["agrees"]
    assert cells["events"]["spike"]["differing_bins"] > 0
    assert cells["states"]["v"]["relative_to_range"] > 1e-4
    assert main(["compare", str(path)]) == 1
    assert "--lockstep" in capsys.readouterr().out


def test_lockstep_restarts_from_brian2_at_every_step(monkeypatch):
    def drift(self):
        right(self)
        self.state = {k: v + 1e-6 if k.endswith(".x") else v for k, v in self.state.items()}

    right = Stepper.step
    monkeypatch.setattr(Stepper, "step", drift)
    differences = {}
    for lockstep in (False, True):
        cells = NeuronGroup(2, "dx/dt = 1/second : 1", method="euler", name=f"cells_{lockstep}")
        comparison = compare(Network(cells), {}, 100, lockstep=lockstep)
        differences[lockstep] = comparison.objects[cells.name].states["x"].difference
    assert differences[False] == pytest.approx(1e-4)
    assert differences[True] == pytest.approx(1e-6)


def test_lockstep_of_a_network_with_delays_agrees(script):
    verdict = compare_script(script(NETWORK + "run(30*ms)\n"), lockstep=True)
    assert verdict.verdict == "agree" and verdict.comparison.bit_equal


def test_not_a_number_equals_not_a_number():
    state = Difference()
    state.see(np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 1.0 + 2e-9]))
    assert state.largest == pytest.approx(2e-9) and state.relative == pytest.approx(2e-9)
    state.see(np.array([5.0, 1.0]), np.array([5.0, 1.0]))
    assert state.relative == pytest.approx(5e-10)
    state.see(np.array([np.nan]), np.array([1.0]))
    assert state.largest == state.relative == np.inf


def test_a_variable_that_stays_zero_in_brian2_alone_differs_whatever_its_unit():
    state = Difference()
    state.see(np.zeros(2), np.array([0.0, 5e-10]))
    assert state.largest == 5e-10 and state.relative == 1
    assert not StateAgreement("A", state.largest, state.relative).agrees


def test_a_long_run_of_a_small_network():
    cells = NeuronGroup(3, "dx/dt = -x/ms : 1", method="exact", name="cells")
    comparison = compare(Network(cells), {}, 5000)
    assert comparison.agrees and comparison.steps == 5000


# -- the command --------------------------------------------------------------------------------------


def command(*arguments):
    code = "import sys; from brianbridge.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_command_prints_one_json_object(script):
    path = script(NETWORK + "import sys\nprint(sys.argv[1])\nrun(500*ms)\n")
    run = command("compare", str(path), "--json", "--steps", "100", "--", "from-the-command-line")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["verdict"] == "agree" and document["steps"] == 100 and document["refusals"] == []
    assert run.stderr.strip() == "from-the-command-line"  # and no log messages of Brian2


def test_command_prints_a_table_and_one_sentence(script, capsys):
    assert main(["compare", str(script(NETWORK + "run(5*ms)\n"))]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[0].split() == "object neurons event in Brian2 in brianbridge differing bins".split()
    assert "agrees with Brian2 over 50 steps" in lines[-1]


def test_exit_status_of_the_other_verdicts(script, capsys):
    refused = script(NETWORK + "cells.run_regularly('v = x_unknown')\nrun(5*ms)\n")
    assert main(["compare", str(refused), "--json"]) in (2, 3)
    assert json.loads(capsys.readouterr().out)["verdict"] in ("refused", "failed")
    gsl = "from brian2 import *\nG = NeuronGroup(1, 'dv/dt = -v/ms : 1', method='gsl')\nrun(1*ms)\n"
    assert main(["compare", str(script(gsl))]) == 2
    assert "->" in capsys.readouterr().out
    assert main(["compare", str(script("1/0"))]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_unusable_files(tmp_path, capsys):
    assert main(["compare", str(tmp_path / "missing.py"), "--json"]) == 65
    assert "missing.py" in json.loads(capsys.readouterr().out)["error"]
    assert main(["compare", str(tmp_path)]) == 65
    notebook = tmp_path / "a.ipynb"
    notebook.write_text("{}")
    assert main(["compare", str(notebook)]) == 65
    assert "nbconvert" in capsys.readouterr().err
    assert main(["compare", str(notebook), "--steps", "0"]) == 64
