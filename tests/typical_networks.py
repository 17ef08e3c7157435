"""Networks of the kinds that are trained, of odd sizes: loops over neurons end within a vector."""

import numpy as np
import pytest
from brian2 import *

from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.differentiation import trained
from tests.networks import AT_A_SPIKE, SHORT_TERM_PLASTICITY

SLOPE = FastSigmoid(width=0.3, height=0.3)


def connected(synapses, p=1.0):
    """Connect with a given probability, never to oneself, in the order of the sources."""
    n, m = len(synapses.source), len(synapses.target)
    pairs = np.random.rand(n, m) < p
    if synapses.source.name == synapses.target.name:
        np.fill_diagonal(pairs, False)
    i, j = np.nonzero(pairs)
    synapses.connect(i=i, j=j)
    return synapses


def lif_with_delays(n=19):
    """Integrate-and-fire neurons with noise, refractoriness, and a delay for each synapse."""
    cells = NeuronGroup(
        n,
        """dv/dt = (drive + s - v)/tau_m + 0.1*xi*(10*ms)**-0.5 : 1 (unless refractory)
        ds/dt = -s/tau_s : 1
        drive : 1 (constant)
        tau_m : second (constant)
        tau_s : second (constant, shared)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=1 * ms,
        method="euler",
        name="cells",
    )
    cells.drive, cells.tau_m, cells.tau_s, cells.v = "1.1 + 0.3*rand()", "(8 + 4*rand())*ms", 5 * ms, "rand()"
    rec = connected(Synapses(cells, cells, "w : 1 (constant)", on_pre="s_post += w", name="rec"), 0.4)
    rec.w, rec.delay = "(rand() - 0.5)*0.4", "rand()*3*ms"
    targets = [("cells", name) for name in ("drive", "tau_m", "tau_s", "v", "s")]
    return trained(Network(cells, rec), *targets, ("rec", "w")), SLOPE


def adex(n=13):
    """Adaptive exponential integrate-and-fire neurons with refractoriness and conductance synapses."""
    cells = NeuronGroup(
        n,
        """dv/dt = (g_l*(E_l - v + D*exp((v - V_t)/D)) - w + I + ge*(E_e - v))/C : volt (unless refractory)
        dw/dt = (a*(v - E_l) - w)/tau_w : amp
        dge/dt = -ge/(5*ms) : siemens
        I : amp (constant)
        a : siemens (constant)
        b : amp (constant)
        tau_w : second (constant)""",
        threshold="v > -40*mV",
        reset="v = -65*mV; w += b",
        refractory=2 * ms,
        method="euler",
        namespace=dict(g_l=10 * nS, E_l=-70 * mV, E_e=0 * mV, D=2 * mV, V_t=-50 * mV, C=150 * pF),
        name="cells",
    )
    cells.v, cells.I, cells.a = "-65*mV + 12*mV*rand()", "(0.5 + 0.4*rand())*nA", "(2 + rand())*nS"
    cells.b, cells.tau_w = "(20 + 20*rand())*pA", "(30 + 50*rand())*ms"
    rec = connected(Synapses(cells, cells, "g : siemens (constant)", on_pre="ge_post += g", name="rec"), 0.3)
    rec.g, rec.delay = "2*nS*rand()", 1 * ms
    targets = [("cells", name) for name in ("I", "a", "b", "tau_w", "v")]
    return trained(Network(cells, rec), *targets, ("rec", "g")), FastSigmoid(width=4 * mV, height=0.03 / mV)


def plastic(n=11):
    """Spike-timing dependent plasticity."""
    cells = _driven(n)
    rec = Synapses(
        cells,
        cells,
        """w : 1
        dbefore/dt = -before/tau_b : 1 (event-driven)
        dafter/dt = -after/(7*ms) : 1 (event-driven)
        tau_b : second (constant)
        step : 1 (constant)""",
        on_pre="v_post += w; before += step; w = clip(w - after, 0, 1)",
        on_post="after += step; w = clip(w + before, 0, 1)",
        name="rec",
    )
    connected(rec, 0.5)
    rec.w, rec.step, rec.tau_b, rec.delay = (
        "0.05 + 0.1*rand()",
        "0.01 + 0.01*rand()",
        "(4 + rand())*ms",
        0.3 * ms,
    )
    targets = [("rec", name) for name in ("w", "step", "tau_b")]
    return trained(Network(cells, rec), ("cells", "drive"), *targets), SLOPE


def short_term(n=11):
    """Short-term plasticity with two different delays."""
    cells = _driven(n)
    rec = connected(Synapses(cells, cells, SHORT_TERM_PLASTICITY, on_pre=AT_A_SPIKE, name="rec"), 0.5)
    rec.w, rec.U, rec.x, rec.u = "0.3*rand()", "0.2 + 0.2*rand()", 1, 0.3
    rec.tau_d, rec.tau_f, rec.delay = "(3 + rand())*ms", "(9 + rand())*ms", "0.2*ms + 0.3*ms*(j % 2)"
    targets = [("rec", name) for name in ("w", "U", "tau_d", "tau_f", "x", "u")]
    return trained(Network(cells, rec), ("cells", "tau"), *targets), SLOPE


def synaptic_decay(n=11, p=1.0):
    """A decay constant of its own for each synapse: clock-driven synapses and a summed variable."""
    cells = _driven(n)
    rec = Synapses(
        cells,
        cells,
        """ds/dt = -s/tau_s : 1 (clock-driven)
        tau_s : second (constant)
        w : 1 (constant)
        I_post = s : 1 (summed)""",
        on_pre="s += w*(1*ms)/tau_s",
        method="exact",
        name="rec",
    )
    connected(rec, p)
    rec.w, rec.tau_s, rec.s = "(rand() - 0.4)*1.5", "(3 + 5*rand())*ms", "0.1*rand()"
    targets = [("rec", name) for name in ("w", "tau_s", "s")]
    return trained(Network(cells, rec), ("cells", "tau"), ("cells", "v"), *targets), FastSigmoid(
        width=0.3, height=0.3
    )


def dense(n=21):
    """All-to-all weights and a rate-like gap current: both run over a grid."""
    return _projected(n, 1.0)


def sparse(n=33):
    """The same with two in a hundred of all synapses."""
    return _projected(n, 0.03)


TYPICAL = {
    "LIF with delays": lif_with_delays,
    "AdEx": adex,
    "STDP": plastic,
    "short-term plasticity": short_term,
    "clock-driven synapses": synaptic_decay,
    "dense": dense,
    "sparse": sparse,
}

#: Their names as parameters of a test: a few of them quickly, all of them in the slow run.
FEW = ["STDP", "clock-driven synapses", "dense"]
NAMES = [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in TYPICAL]


def _driven(n):
    cells = NeuronGroup(
        n,
        "dv/dt = (drive - v + I)/tau : 1\ndrive : 1 (constant)\ntau : second (constant)\nI : 1",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.v, cells.drive, cells.tau = "0.9*rand()", "1.1 + 0.4*rand()", "(4 + 3*rand())*ms"
    return cells


def _projected(n, p):
    cells = _driven(n)
    rec = connected(
        Synapses(cells, cells, "w : 1 (constant)", on_pre="v_post += w", delay=0.4 * ms, name="rec"), p
    )
    rate = Synapses(cells, cells, "g : 1 (constant)\nI_post = g*tanh(v_pre) : 1 (summed)", name="rate")
    connected(rate, p)
    rec.w, rate.g = "(rand() - 0.5)*0.2", "(rand() - 0.5)*0.4"
    targets = [("cells", name) for name in ("drive", "tau", "v")]
    return trained(Network(cells, rec, rate), *targets, ("rec", "w"), ("rate", "g")), FastSigmoid(
        width=0.3, height=0.3
    )
