"""Networks that several tests share."""

import contextlib

import numpy as np
from brian2 import *
from brian2.devices.device import reinit_devices

#: Tsodyks & Markram's synapse: x is what is left of the transmitter, u the part of it that a spike releases.
SHORT_TERM_PLASTICITY = """
w : 1 (constant)
dx/dt = (1 - x)/tau_d : 1 (event-driven)
du/dt = (U - u)/tau_f : 1 (event-driven)
U : 1 (constant)
tau_d : second (constant)
tau_f : second (constant)
"""
AT_A_SPIKE = "u += U*(1 - u); v_post += w*u*x; x -= u*x"


@contextlib.contextmanager
def standalone(**options):
    """On Brian2's C++ device, of which nothing is left afterwards."""
    set_device("cpp_standalone", build_on_run=False, **options)
    try:
        yield
    finally:
        reinit_devices()
        set_device("runtime")


def small_network():
    """Driven and recurrent, with a timed input, constants, a sum and a delay."""
    names = dict(tau_syn=8 * ms, v_rest=-70 * mV, sigma=3 * mV / sqrt(ms))
    names["stim"] = TimedArray(np.random.rand(40, 2), dt=1 * ms)
    source = NeuronGroup(2, "u = stim(t, i) : 1", namespace=names, name="source", dt=1 * ms)
    cells = NeuronGroup(
        6,
        """dv/dt = (v_rest - v + R*(I_syn + I_in))/tau_m + sigma*xi : volt
        dI_syn/dt = -I_syn/tau_syn : amp
        dr/dt = -r/tau_syn : 1
        I_in : amp
        tau_m : second (constant)
        R : ohm (shared, constant)
        k : integer
        theta : volt (constant)
        power = R*I_in**2 : watt""",
        threshold="v > theta",
        reset="v = v_rest; r += 1",
        method="euler",
        namespace=names,
        name="cells",
        dt=1 * ms,
    )
    cells.v, cells.tau_m, cells.R, cells.theta = "-70*mV + 15*mV*rand()", 20 * ms, 100 * Mohm, -60 * mV
    w_in = Synapses(
        source, cells, "w : amp\nI_in_post = w*u_pre : amp (summed)", namespace=names, name="w_in", dt=1 * ms
    )
    w_in.connect()
    w_in.w = "100*pA*rand()"
    rec = Synapses(cells, cells, "w : amp", on_pre="I_syn_post += w", delay=2 * ms, name="rec", dt=1 * ms)
    rec.connect(condition="i != j")
    rec.w = "(1 - 2*int(i < 2))*50*pA*rand()"
    net = Network(source, cells, w_in, rec)
    return net, cells, w_in, rec, names["stim"]
