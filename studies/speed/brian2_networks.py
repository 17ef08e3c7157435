"""The networks of `workloads` in Brian2, as a user of brianbridge has them: plain equations."""

from dataclasses import dataclass

import numpy as np
import workloads
from brian2 import (
    Mohm,
    Network,
    NeuronGroup,
    Synapses,
    TimedArray,
    ms,
    mV,
    nA,
    second,
    start_scope,
)

import brianbridge as bb


@dataclass(frozen=True)
class Brian2Network:
    """A network, and what of it is trained, driven and read.

    Parameters
    ----------
    network : Network
    train : dict
        For `brianbridge.wrap`.
    span : Quantity or float
        The voltage that is 1 mV in `workloads`.
    """

    network: Network
    train: dict
    span: object

    def __getitem__(self, name):
        return self.network[name]


def build(point, net):
    """The network of a point in Brian2."""
    start_scope()
    return NETWORKS[point.workload](net)


# -- what they have in common -------------------------------------------------------------------------------


def _source(net):
    """The inputs, and a neuron for each of their channels."""
    names = {"stim": TimedArray(net.stimulus[:, 0], dt=net.dt * ms)}
    channels = net.stimulus.shape[2]
    return NeuronGroup(channels, "u = stim(t, i) : 1", namespace=names, name="source", dt=net.dt * ms)


def _cells(net, equations, threshold, reset, values, **options):
    """A group with these values, each in the unit of `workloads`."""
    options = {"method": "euler", "name": "cells", "dt": net.dt * ms} | options
    cells = NeuronGroup(net.n, equations, threshold=threshold, reset=reset, **options)
    for name, unit in values.items():
        setattr(cells, name, getattr(net, name).astype(float) * unit)
    return cells


def _inputs(net, source, cells, unit):
    equations = f"w : {unit}\nI_in_post = w*u_pre : {unit} (summed)"
    w_in = Synapses(source, cells, equations, namespace=source.namespace, name="w_in", dt=net.dt * ms)
    channels = len(source)
    w_in.connect(i=np.repeat(np.arange(channels), net.n), j=np.tile(np.arange(net.n), channels))
    w_in.w = net.W_in.T.ravel().astype(float) * UNITS[unit]
    return w_in


def _readout(net, cells):
    """A linear readout of the filtered spikes, the `r` of each cell."""
    out = NeuronGroup(1, "o : 1", name="out", dt=net.dt * ms)
    w_out = Synapses(cells, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out", dt=net.dt * ms)
    w_out.connect()
    w_out.w = net.W_out[0].astype(float)
    return out, w_out


def _recurrent(net, cells, unit, on_pre, where=True, name="rec", **options):
    """Synapses that add their weight to a variable, from the cells where `where` is True."""
    rec = Synapses(
        cells, cells, f"w : {unit} (constant)", on_pre=on_pre, name=name, dt=net.dt * ms, **options
    )
    pre, post = np.nonzero(net.mask.T & np.broadcast_to(where, net.n)[:, None])
    rec.connect(i=pre, j=post)
    rec.w = net.W[post, pre].astype(float) * UNITS[unit]
    return rec


def _network(net, cells, recurrent, train, unit="amp", span=1 * mV):
    """Inputs, cells, synapses and readout together; all weights are trained."""
    source = _source(net)
    w_in = _inputs(net, source, cells, unit)
    out, w_out = _readout(net, cells)
    weights = {synapses.w: None for synapses in (w_in, w_out, *recurrent)}
    network = Network(source, cells, out, w_in, w_out, *recurrent)
    return Brian2Network(network, train | weights, span)


UNITS = {"amp": nA, "1": 1}
TIMES = bb.Bounds(1 * ms, 200 * ms)
READOUT = f"dr/dt = -r/({workloads.TAU_OUT}*ms) : 1"
AT_A_SPIKE = f"r += dt/({workloads.TAU_OUT}*ms)"


# -- the networks -------------------------------------------------------------------------------------------

LIF = f"""
dv/dt = (v_rest - v + R*I)/tau_m : volt
dI/dt = (I_in + drive - I)/tau_s : amp
{READOUT}
I_in    : amp
drive   : amp    (constant)
R       : ohm    (constant)
tau_m   : second (constant)
tau_s   : second (constant)
v_rest  : volt   (constant)
v_reset : volt   (constant)
theta   : volt   (constant)
"""
LIF_VALUES = {"drive": nA, "R": Mohm, "tau_m": ms, "tau_s": ms, "v_rest": mV, "v_reset": mV, "theta": mV}


def _lif_cells(net):
    cells = _cells(net, LIF, "v > theta", f"v = v_reset; {AT_A_SPIKE}", LIF_VALUES)
    cells.v = cells.v_rest
    train = {cells.tau_m: TIMES, cells.tau_s: TIMES}
    return cells, train | {
        getattr(cells, name): None for name in ("drive", "R", "v_rest", "v_reset", "theta")
    }


def shared_decay(net):
    """Spikes jump into one decaying current in each cell."""
    cells, train = _lif_cells(net)
    return _network(net, cells, [_recurrent(net, cells, "amp", "I_post += w")], train)


def delays(net):
    """As `shared_decay`, every synapse with a delay of its own."""
    cells, train = _lif_cells(net)
    rec = _recurrent(net, cells, "amp", "I_post += w")
    rec.delay = net.delay[rec.j[:], rec.i[:]] * net.dt * ms
    return _network(net, cells, [rec], train)


LI2020 = """
dv/dt = (v_rest - v + R*I)/tau_m : volt
dr/dt = -r/tau_r       : 1
I = I_syn + I_in + drive : amp
v_reset = v_rest + ahp : volt
I_syn  : amp
I_in   : amp
drive  : amp    (constant)
R      : ohm    (constant)
tau_m  : second (constant)
tau_r  : second (constant)
v_rest : volt   (constant)
ahp    : volt   (constant)
theta  : volt   (constant)
"""
LI2020_SYNAPSES = """
ds/dt = -s/tau : amp (clock-driven)
I_syn_post = s : amp (summed)
w   : amp    (constant)
tau : second (constant)
"""


def synaptic_decay(net):
    """Every synapse has a decay constant: `equations/li2020.toml` without noise and Dale's law."""
    values = {"drive": nA, "R": Mohm, "tau_m": ms, "tau_r": ms, "v_rest": mV, "ahp": mV, "theta": mV}
    cells = _cells(net, LI2020, "v > theta", "v = v_reset; r += 1*ms/tau_r", values)
    cells.v = cells.v_rest
    rec = Synapses(
        cells, cells, LI2020_SYNAPSES, on_pre="s += w*(1*ms)/tau", method="euler", name="rec", dt=net.dt * ms
    )
    rec.connect(i=net.pre, j=net.post)
    rec.w, rec.tau = net.w.astype(float) * nA, net.tau.astype(float) * ms
    train = {cells.tau_m: TIMES, cells.tau_r: TIMES, rec.tau: TIMES}
    train |= {getattr(cells, name): None for name in ("R", "v_rest", "ahp", "theta")}
    return _network(net, cells, [rec], train)


def adex(net):
    """Exponential integrate-and-fire with adaptation."""
    equations = f"""
    dv/dt = (v_rest - v + delta_T*exp((v - v_T)/delta_T) + R*(I - w_a))/tau_m : volt
    dw_a/dt = (a*(v - v_rest) - w_a)/tau_w : amp
    dI/dt = (I_in + drive - I)/tau_s : amp
    {READOUT}
    I_in    : amp
    drive   : amp    (constant)
    tau_m   : second (constant)
    tau_s   : second (constant)
    v_rest  : volt   (constant)
    v_reset : volt   (constant)
    v_T     : volt   (constant)
    v_cut   : volt   (constant)
    """
    names = {"R": 1 * Mohm, "delta_T": net.delta_T * mV, "tau_w": net.tau_w * ms}
    names |= {"a": net.a * nA / mV, "b": net.b * nA}
    values = {"drive": nA, "tau_m": ms, "tau_s": ms, "v_rest": mV, "v_reset": mV, "v_T": mV, "v_cut": mV}
    reset = f"v = v_reset; w_a += b; {AT_A_SPIKE}"
    cells = _cells(net, equations, "v > v_cut", reset, values, namespace=names)
    cells.v = cells.v_rest
    train = {cells.tau_m: TIMES, cells.tau_s: TIMES}
    train |= {getattr(cells, name): None for name in ("drive", "v_rest", "v_reset", "v_T")}
    return _network(net, cells, [_recurrent(net, cells, "amp", "I_post += w")], train)


def conductance(net):
    """Excitatory and inhibitory conductances in units of the leak."""
    equations = f"""
    dv/dt = (v_rest - v + R*(I_in + drive) + g_e*(E_e - v) + g_i*(E_i - v))/tau_m : volt
    dg_e/dt = -g_e/tau_e : 1
    dg_i/dt = -g_i/tau_i : 1
    {READOUT}
    I_in    : amp
    drive   : amp    (constant)
    tau_m   : second (constant)
    tau_e   : second (constant)
    tau_i   : second (constant)
    v_rest  : volt   (constant)
    v_reset : volt   (constant)
    theta   : volt   (constant)
    """
    names = {"R": 1 * Mohm, "E_e": net.E_e * mV, "E_i": net.E_i * mV}
    values = {"drive": nA, "tau_m": ms, "tau_e": ms, "tau_i": ms, "v_rest": mV, "v_reset": mV, "theta": mV}
    reset = f"v = v_reset; {AT_A_SPIKE}"
    cells = _cells(net, equations, "v > theta", reset, values, namespace=names, method="exponential_euler")
    cells.v = cells.v_rest
    train = {getattr(cells, name): TIMES for name in ("tau_m", "tau_e", "tau_i")}
    train |= {getattr(cells, name): None for name in ("drive", "v_rest", "v_reset", "theta")}
    excitatory = _recurrent(net, cells, "1", "g_e_post += w", ~net.inhibitory, "rec_e")
    inhibitory = _recurrent(net, cells, "1", "g_i_post += w", net.inhibitory, "rec_i")
    return _network(net, cells, [excitatory, inhibitory], train)


SHORT_TERM_PLASTICITY = """
w : 1 (constant)
dx/dt = (1 - x)/tau_d : 1 (event-driven)
du/dt = (U - u)/tau_f : 1 (event-driven)
U     : 1 (constant)
tau_d : second (constant)
tau_f : second (constant)
"""


def plasticity(net):
    """Working memory by facilitation; U, tau_f and tau_d belong to the cell, delays to the synapse."""
    equations = f"""
    dv/dt = (I_in + drive - v)/(15*ms) : 1 (unless refractory)
    {READOUT}
    I_in : 1
    drive : 1 (constant)
    """
    reset = f"v = 0; {AT_A_SPIKE}"
    cells = _cells(
        net,
        equations,
        "v > 1",
        reset,
        {"drive": 1},
        refractory=net.refractory * ms,
        method="exponential_euler",
    )
    rec = Synapses(
        cells,
        cells,
        SHORT_TERM_PLASTICITY,
        on_pre="u += U*(1 - u); v_post += w*u*x; x -= u*x",
        name="rec",
        dt=net.dt * ms,
    )
    pre, post = np.nonzero(net.mask.T)
    rec.connect(i=pre, j=post)
    rec.w, rec.delay = net.W[post, pre].astype(float), net.delay[post, pre] * net.dt * ms
    rec.U, rec.tau_f, rec.tau_d = net.U[pre].astype(float), net.tau_f[pre] * ms, net.tau_d[pre] * ms
    rec.x, rec.u = 1, "U"
    train = {rec.U: bb.Bounds(0.01, 0.9, tie="i")}
    train |= {rec.tau_f: bb.Bounds(0.1 * second, 3 * second, tie="i")}
    train |= {rec.tau_d: bb.Bounds(0.02 * second, 1 * second, tie="i")}
    return _network(net, cells, [rec], train, unit="1", span=1 / workloads.SPAN)


def rate(net):
    """Rate networks under Dale's law; `sigma` is such that one step adds the published noise."""
    activation = "clip(x, 0, inf)" if net.rectified else "1/(1 + exp(-x))"
    equations = f"""
    dx/dt = (I_rec + I_in - x)/tau + sigma*xi : 1
    r = {activation} : 1
    I_rec : 1
    I_in  : 1
    tau   : second (constant)
    """
    names = {"sigma": net.noise / (net.dt * ms) ** 0.5}
    cells = _cells(net, equations, None, None, {"tau": ms}, namespace=names)
    cells.x = 0.1
    rec = Synapses(
        cells, cells, "w : 1 (constant)\nI_rec_post = w*r_pre : 1 (summed)", name="rec", dt=net.dt * ms
    )
    pre, post = np.nonzero(net.mask.T)
    rec.connect(i=pre, j=post)
    rec.w = net.W[post, pre].astype(float)
    source = _source(net)
    w_in = _inputs(net, source, cells, "1")
    out = NeuronGroup(1, "o = s + b : 1\ns : 1\nb : 1 (constant)", name="out", dt=net.dt * ms)
    w_out = Synapses(cells, out, "w : 1\ns_post = w*r_pre : 1 (summed)", name="w_out", dt=net.dt * ms)
    w_out.connect()
    w_out.w = net.W_out[0].astype(float)
    train = {rec.w: bb.Dale(), w_out.w: None, out.b: None}
    train |= {w_in.w: None} if net.rectified else {cells.tau: bb.Bounds(20 * ms, 125 * ms)}
    return Brian2Network(Network(source, cells, out, rec, w_in, w_out), train, span=None)


NETWORKS = {
    "shared_decay": shared_decay,
    "scaling": shared_decay,
    "forward": shared_decay,
    "synaptic_decay": synaptic_decay,
    "synaptic_decay_dense": synaptic_decay,
    "adex": adex,
    "conductance": conductance,
    "delays": delays,
    "plasticity": plasticity,
    "rate": rate,
}
