"""The examples of docs/parameters.md run as they stand, one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb

TEXT = (Path(__file__).parents[1] / "docs" / "parameters.md").read_text()
EQUATIONS = """
dv/dt = (v_rest - v + 500*Mohm*(I_syn + I_in))/tau_m : volt
dI_syn/dt = -I_syn/tau_syn : amp
dr/dt = -r/(50*ms) : 1
I_in : amp
tau_m : second (constant)
area : integer (constant)
"""


def network(inputs):
    names = dict(v_rest=-70 * mV, tau_syn=20 * ms, stim=TimedArray(np.zeros((5, inputs)), dt=1 * ms))
    source = NeuronGroup(inputs, "u = stim(t, i) : 1", namespace=names, name="source")
    cells = NeuronGroup(
        40,
        EQUATIONS,
        threshold="v > -50*mV",
        reset="v = -65*mV; r += 1",
        namespace=names,
        method="euler",
        name="cells",
    )
    cells.v, cells.tau_m, cells.area = -70 * mV, 20 * ms, "i // 20"
    w_in = Synapses(
        source, cells, "w : amp\nI_in_post = w*u_pre : amp (summed)", namespace=names, name="w_in"
    )
    rec = Synapses(cells, cells, "w : amp", on_pre="I_syn_post += w", name="rec")
    out = NeuronGroup(1, "o : 1", name="out")
    w_out = Synapses(cells, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out")
    for synapses in (w_in, rec, w_out):
        synapses.connect()
    w_in.w, rec.w, w_out.w = "20*pA*randn()", "(1 - 2*int(i >= 32))*pA*rand()", "randn()"
    return dict(
        net=Network(source, cells, out, w_in, rec, w_out), cells=cells, w_in=w_in, rec=rec, w_out=w_out
    )


@pytest.mark.filterwarnings("error:.*best approximation")
def test_examples_run_in_order():
    names = {}
    exec("from brian2 import *", names)
    names |= dict(bb=bb, torch=torch, other_net=network(6)["net"], **network(4))
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(block, "parameters.md", "exec"), names)
    assert set(names["moved"].new) == {"source", "w_in"}
    assert names["by_modes_net"]["rec_modes"].N == 3
    assert bb.initial.spectral_radius(names["sparse"]) / pA == pytest.approx(1.5)


def test_accounts_are_those_that_are_printed(capsys):
    slow = str(bb.rescale_time(bb.load("li2020", cells=20), 3, "cells.tau_m", "cells.tau_r", "rec.tau"))
    for line in re.findall(r"^    ((?:scaled|changed): .*)$", TEXT, flags=re.M):
        for part in line.split("  ->  "):
            assert part.removeprefix("... ").replace("0.577350*xi) : volt", "0.57735") in slow
