"""Gradients against finite differences of the smooth forward pass, and against formulas written by hand."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid, Triangle
from tests.agreement.differentiation import check_against_finite_differences, gradients, trained


def lif(n, extra="", synaptic="I_syn : amp", method="euler", **options):
    cells = NeuronGroup(
        n,
        f"""dv/dt = (v_rest - v + R*(I + I_syn))/tau_m : volt{extra}
        {synaptic}
        v_rest : volt (constant)
        v_reset : volt (constant)
        theta : volt (constant)
        R : ohm (constant)
        I : amp (constant)
        tau_m : second (constant)
        tau_s : second (constant)""",
        threshold="v > theta",
        reset="v = v_reset",
        method=method,
        name="cells",
        **options,
    )
    cells.v_rest, cells.v_reset, cells.theta = (
        "-70*mV + rand()*mV",
        "-72*mV + rand()*mV",
        "-55*mV + rand()*mV",
    )
    cells.R, cells.tau_m, cells.tau_s = "40*Mohm + 10*rand()*Mohm", "(10 + 5*rand())*ms", "(4 + 3*rand())*ms"
    cells.I, cells.v = "0.4*nA + 0.3*rand()*nA", "-70*mV + 12*rand()*mV"
    return cells


@pytest.fixture(autouse=True)
def coarse_steps():
    defaultclock.dt = 0.5 * ms


NEURON = ["tau_m", "R", "theta", "v_rest", "v_reset", "v"]
GRADIENTS = {"fast sigmoid": FastSigmoid(width=3 * mV), "wide box": Box(width=90 * mV)}


@pytest.mark.parametrize("kind", GRADIENTS)
@pytest.mark.differentiable("Synapses: v_post += w", "Neurons: thresholds and resets")
def test_exponential_current_synapses(kind):
    cells = lif(4, synaptic="dI_syn/dt = -I_syn/tau_s : amp")
    synapses = Synapses(cells, cells, "w : amp (constant)", on_pre="I_syn_post += w", name="rec")
    synapses.connect(condition="i != j")
    synapses.w = "(rand() - 0.3)*0.3*nA"
    model = trained(Network(cells, synapses), *[("cells", name) for name in [*NEURON, "tau_s"]], ("rec", "w"))
    check_against_finite_differences(model, GRADIENTS[kind], ["cells.v", "cells"], 60)


@pytest.mark.parametrize("delay", [None, 1, "each"])
@pytest.mark.differentiable("Synapses: delays, one or one for each synapse")
def test_delays(delay):
    cells = lif(4, synaptic="dI_syn/dt = -I_syn/tau_s : amp")
    synapses = Synapses(
        cells,
        cells,
        "w : amp (constant)",
        on_pre="I_syn_post += w",
        delay=None if not isinstance(delay, int) else delay * ms,
        name="rec",
    )
    synapses.connect(condition="i != j")
    synapses.w = "(rand() - 0.3)*0.3*nA"
    if delay == "each":
        synapses.delay = "rand()*3*ms"
    model = trained(Network(cells, synapses), ("cells", "tau_m"), ("rec", "w"), ("cells", "v"))
    check_against_finite_differences(model, FastSigmoid(width=3 * mV), ["cells.v"], 50)


@pytest.mark.differentiable("Synapses: clock-driven equations", "Synapses: summed variables")
def test_per_connection_decay():
    cells = lif(4)
    synapses = Synapses(
        cells,
        cells,
        """ds/dt = -s/tau : amp (clock-driven)
        tau : second (constant)
        w : amp (constant)
        I_syn_post = s : amp (summed)""",
        on_pre="s += w*(1*ms)/tau",
        method="exact",
        name="rec",
    )
    synapses.connect(condition="i != j")
    synapses.w, synapses.tau, synapses.s = "(rand() - 0.3)*2*nA", "(3 + 5*rand())*ms", "rand()*0.2*nA"
    model = trained(Network(cells, synapses), ("cells", "tau_m"), ("rec", "w"), ("rec", "tau"), ("rec", "s"))
    check_against_finite_differences(model, FastSigmoid(width=3 * mV), ["cells.v", "rec.s"], 50)


def conductance_based(refractory):
    flag = " (unless refractory)" if refractory else ""
    cells = NeuronGroup(
        4,
        f"""dv/dt = (g_leak*(E_leak - v) + ge*(E_e - v) + gi*(E_i - v) + I)/C : volt{flag}
        dge/dt = -ge/tau_e : siemens
        dgi/dt = -gi/tau_i : siemens
        I : amp (constant)
        g_leak : siemens (constant)
        tau_e : second (constant, shared)
        tau_i : second (constant)""",
        threshold="v > -50*mV",
        reset="v = -65*mV",
        refractory=2 * ms if refractory else False,
        method="exponential_euler",
        namespace=dict(E_leak=-70 * mV, E_e=0 * mV, E_i=-80 * mV, C=200 * pF),
        name="cells",
    )
    cells.v, cells.I = "-65*mV + 12*rand()*mV", "(0.2 + 0.3*rand())*nA"
    cells.g_leak, cells.tau_e, cells.tau_i = "(10 + 3*rand())*nS", 4 * ms, "(6 + 2*rand())*ms"
    excite = Synapses(cells[:3], cells, "w : siemens (constant)", on_pre="ge_post += w", name="excite")
    inhibit = Synapses(cells[3:], cells, "w : siemens (constant)", on_pre="gi_post += w", name="inhibit")
    excite.connect()
    inhibit.connect()
    excite.w, inhibit.w = "rand()*4*nS", "rand()*8*nS"
    targets = [("cells", name) for name in ("g_leak", "tau_e", "tau_i", "v")]
    return trained(Network(cells, excite, inhibit), *targets, ("excite", "w"), ("inhibit", "w"), namespace={})


@pytest.mark.parametrize("refractory", [False, True])
@pytest.mark.differentiable("Synapses: conductances")
def test_conductance_synapses(refractory):
    # while refractory the smooth neuron jumps: spikes above 1/2 start it, so keep the times away from 1/2
    check_against_finite_differences(
        conductance_based(refractory), FastSigmoid(width=2 * mV), ["cells.v", "cells.ge"], 50
    )


@pytest.mark.parametrize("unless", ["", " (unless refractory)"])
@pytest.mark.differentiable(
    "Neurons: refractory periods given as time, variable, expression or condition",
    "Neurons: (unless refractory)",
)
def test_refractoriness(unless):
    cells = lif(3, extra=unless, refractory=2 * ms, synaptic="dI_syn/dt = -I_syn/tau_s : amp")
    synapses = Synapses(cells, cells, "w : volt (constant)", on_pre="v_post += w", name="rec")
    synapses.connect(condition="i != j")
    synapses.w = "(rand() - 0.3)*2*mV"
    model = trained(Network(cells, synapses), *[("cells", name) for name in NEURON], ("rec", "w"))
    check_against_finite_differences(model, FastSigmoid(width=1 * mV), ["cells.v"], 40)


@pytest.mark.differentiable("Synapses: event-driven equations")
def test_event_driven_synapses():
    cells = lif(3)
    synapses = Synapses(
        cells,
        cells,
        """w : volt (constant)
        dx/dt = (1 - x)/tau_d : 1 (event-driven)
        du/dt = -u/tau_f : 1 (event-driven)
        tau_d : second (constant)
        tau_f : second (constant)""",
        on_pre="u += 0.3*(1 - u); v_post += w*u*x; x -= u*x",
        name="rec",
    )
    synapses.connect(condition="i != j")
    synapses.x, synapses.w = 1, "(rand() + 0.1)*5*mV"
    synapses.tau_d, synapses.tau_f = "(10 + 5*rand())*ms", "(20 + 5*rand())*ms"
    targets = [("rec", name) for name in ("w", "tau_d", "tau_f", "x")]
    model = trained(Network(cells, synapses), ("cells", "tau_m"), ("cells", "v"), *targets)
    check_against_finite_differences(model, FastSigmoid(width=3 * mV), ["cells.v"], 40)


@pytest.mark.differentiable("Synapses: x_post = ..., x_post *= ... and writing to x_pre")
def test_assignments_and_factors_on_spikes():
    cells = lif(4, synaptic="I_syn : amp\nx : 1\ny : 1")
    synapses = Synapses(
        cells, cells, "w : 1 (constant)", on_pre="x_post *= w; y_post = v_post/mV", name="rec"
    )
    synapses.connect(condition="i != j")
    synapses.w, cells.x = "0.5 + rand()", 1
    model = trained(Network(cells, synapses), ("rec", "w"), ("cells", "tau_m"), ("cells", "x"))
    check_against_finite_differences(model, FastSigmoid(width=3 * mV), ["cells.x", "cells.y"], 12)


@pytest.mark.parametrize("gradient", [Triangle(width=60 * mV), Box(width=200 * mV)])
def test_other_gradients_away_from_their_kinks(gradient):
    cells = lif(3)
    model = trained(Network(cells), *[("cells", name) for name in NEURON])
    check_against_finite_differences(model, gradient, ["cells.v", "cells"], 30)


# -- formulas by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reset_gradient", [True, False])
def test_unrolled_formula_with_box_gradient(reset_gradient):
    """Two LIF neurons, 12 steps: the tangent of every state, carried along by hand."""
    n, steps, dt, tau, theta, reset, width = 2, 60, 0.5e-3, 10e-3, 1.0, 0.2, 0.6
    cells = NeuronGroup(
        n,
        "dv/dt = (I + s - v)/(10*ms) : 1\nds/dt = -s/(5*ms) : 1\nI : 1 (constant)",
        threshold="v > 1",
        reset="v = 0.2",
        method="euler",
        name="cells",
    )
    cells.I = [1.4, 1.1]
    synapses = Synapses(cells, cells, "w : 1 (constant)", on_pre="s_post += w", name="rec")
    synapses.connect(condition="i != j")
    synapses.w = [0.7, -0.3]
    model = trained(Network(cells, synapses), ("rec", "w"))
    surrogate = Surrogate(model, Box(width=width), dtype=torch.float64, reset_gradient=reset_gradient)
    records = surrogate(duration=steps * dt * second, record=["cells.v", "cells"])
    readout = torch.arange(1.0, steps + 1, dtype=torch.float64)[:, None, None]
    (records["cells.v"] * readout).sum().backward()

    w, current = np.array([0.7, -0.3]), np.array([1.4, 1.1])
    v, s = np.zeros(n), np.zeros(n)
    dv, ds = np.zeros((n, 2)), np.zeros((n, 2))  # derivatives with respect to the two weights
    total, spikes = np.zeros(2), 0
    for k in range(steps):
        v, s, dv, ds = (
            v + dt / tau * (current + s - v),
            s - dt / 5e-3 * s,
            dv + dt / tau * (ds - dv),
            ds - dt / 5e-3 * ds,
        )
        z = (v > theta).astype(float)
        dz = (np.abs(v - theta) <= width / 2)[:, None] / width * dv
        s = s + np.array([w[1] * z[1], w[0] * z[0]])
        ds = ds + np.array([[0, z[1]], [z[0], 0]]) + np.array([w[1] * dz[1], w[0] * dz[0]])
        dv = (1 - z)[:, None] * dv + (dz * (reset - v)[:, None] if reset_gradient else 0)
        v = np.where(z > 0, reset, v)
        total += (k + 1) * dv.sum(0)
        spikes += z.sum()
    assert spikes > 3 and records["cells"].sum() == spikes
    ours = surrogate.parameter[0].raw.grad.numpy()
    np.testing.assert_allclose(ours, total, rtol=1e-9)


@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_a_trace_of_the_spikes_keeps_its_gradient_without_that_of_the_reset(backend):
    """``v = 0`` is decided by v, ``r += 1`` is the spike itself: r sums the spikes of a single neuron."""
    cells = NeuronGroup(
        1,
        "dv/dt = (I - v)/(10*ms) : 1\nr : 1\nI : 1 (constant)",
        threshold="v > 1",
        reset="v = 0; r += 1",
        method="euler",
        name="cells",
    )
    cells.I = 1.5
    model = trained(Network(cells), ("cells", "I"))
    surrogate = Surrogate(model, Box(width=1), dtype=torch.float64, reset_gradient=False, backend=backend)
    records = surrogate(duration=30 * ms, record=["cells.r", "cells"])
    records["cells.r"][-1].sum().backward()
    dt, tau, v, dv, total = 0.5, 10, 0.0, 0.0, 0.0
    for _ in range(60):
        v, dv = v + dt / tau * (1.5 - v), dv + dt / tau * (1 - dv)
        total += dv * (abs(v - 1) <= 0.5)
        if v > 1:
            v, dv = 0.0, 0.0
    assert records["cells"].sum() >= 2
    np.testing.assert_allclose(surrogate.parameter[0].raw.grad.numpy(), total, rtol=1e-9)


def test_a_comparison_of_something_else_has_no_gradient():
    """In ``v > theta and x < 1`` only v is in the unit of the spike gradient."""
    cells = NeuronGroup(
        3,
        "dv/dt = (I - v)/(10*ms) : volt\ndx/dt = (a - x)/(10*ms) : 1\nI : volt (constant)\na : 1 (constant)",
        threshold="v > 10*mV and x < 0.5 and t > 3*ms",
        reset="v = 0*mV",
        method="euler",
        name="cells",
    )
    cells.I, cells.a = "(12 + 3*i)*mV", 0.7
    model = trained(Network(cells), ("cells", "I"), ("cells", "a"))
    surrogate = Surrogate(model, FastSigmoid(width=3 * mV), dtype=torch.float64)
    surrogate(duration=20 * ms, record=["cells"])["cells"].sum().backward()
    current, a = (p.raw.grad for p in surrogate.parameter)
    assert (current.abs() > 0).all()
    assert a is None or (a == 0).all()


@pytest.mark.stopped(
    "Inputs: PoissonGroup with rates as numbers, text or TimedArray",
    "Randomness: rand()",
    why="a comparison with a random number is of chance",
)
def test_a_comparison_with_random_numbers_has_no_gradient():
    cells = NeuronGroup(3, "x : 1 (constant)", threshold="rand() < x", name="cells")
    cells.x = 0.5
    model = trained(Network(cells), ("cells", "x"))
    surrogate = Surrogate(model, FastSigmoid(width=1), dtype=torch.float64)
    assert not surrogate(duration=20 * ms, record=["cells"])["cells"].requires_grad


# -- never NaN ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.differentiable("State updaters: euler, rk2, rk4, exponential_euler")
def test_exponential_euler_with_refractory_and_several_conductances(dtype):
    found = gradients(conductance_based(True), FastSigmoid(width=2 * mV), ["cells.v"], 200, dtype=dtype)
    for name, value in found.items():
        assert torch.isfinite(value).all(), name
        assert (value != 0).any(), name


@pytest.mark.differentiable("Equations: functions of Brian2")
def test_exprel_at_zero():
    cells = NeuronGroup(
        3,
        "dm/dt = a*exprel((V - v)/(4*mV))*(1 - m)/ms : 1\nv : volt\nV : volt (constant)\na : 1 (constant)",
        method="exponential_euler",
        name="cells",
    )
    cells.V, cells.v, cells.a = [13, 13, 12] * mV, [13, 13.0001, 13] * mV, 0.3
    model = trained(Network(cells), ("cells", "V"), ("cells", "a"))
    check_against_finite_differences(model, None, ["cells.m"], 20)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.differentiable("State updaters: exact, linear, independent")
def test_equal_time_constants_under_exact_integration(dtype):
    cells = NeuronGroup(
        2,
        """dv/dt = (g - v)/tau_m : 1
        dg/dt = -g/tau_s : 1
        tau_m : second (constant)
        tau_s : second (constant)""",
        method="exact",
        name="cells",
    )
    cells.g, cells.tau_m, cells.tau_s = 1, [10, 12] * ms, 10 * ms
    model = trained(Network(cells), ("cells", "tau_m"), ("cells", "tau_s"))
    with pytest.raises(FloatingPointError, match="two time constants are equal"):
        gradients(model, None, ["cells.v"], 10, dtype=dtype)


def test_division_by_a_trace_that_is_zero_without_spikes():
    cells = lif(4, synaptic="I_syn : amp")
    synapses = Synapses(
        cells,
        cells,
        "x : 1\nw : amp (constant)\ny : 1",
        on_pre="x += 1; I_syn_post += w*log(x)/x; y = y + sqrt(x)/x**2",
        name="rec",
    )
    synapses.connect(condition="i != j")
    synapses.w = "rand()*0.05*nA"
    found = gradients(
        trained(Network(cells, synapses), ("rec", "w"), ("rec", "x"), ("cells", "tau_m")),
        FastSigmoid(width=3 * mV),
        ["cells.v", "rec.y"],
        60,
    )
    for name, value in found.items():
        assert torch.isfinite(value).all(), name
        assert (value != 0).any(), name


# -- the same gradients otherwise -------------------------------------------------------------------------


def recurrent(noise=""):
    cells = NeuronGroup(
        6,
        f"""dv/dt = (I + s - v)/tau_m {noise} : 1 (unless refractory)
        ds/dt = -s/(5*ms) : 1
        I : 1 (constant)
        tau_m : second (constant)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=1 * ms,
        method="euler",
        name="cells",
    )
    cells.I, cells.tau_m = "1.1 + 0.3*rand()", "(8 + 4*rand())*ms"
    synapses = Synapses(
        cells, cells, "w : 1 (constant)\nx : 1", on_pre="s_post += w*(1 + x); x += 0.1", name="rec"
    )
    synapses.connect(condition="i != j", p=0.6)
    synapses.w, synapses.delay = "(rand() - 0.5)*0.5", "rand()*3*ms"
    return trained(
        Network(cells, synapses),
        ("rec", "w"),
        ("cells", "tau_m"),
        ("cells", "v"),
        ("cells", "I"),
        namespace={},
    )


def test_segments_give_the_same_gradients():
    model = recurrent("+ 0.2*xi*(10*ms)**-0.5")
    whole, cut = (
        gradients(model, FastSigmoid(width=0.3), ["cells.v", "cells"], 100, segment=segment)
        for segment in (None, 7)
    )
    for name, value in whole.items():
        np.testing.assert_allclose(cut[name], value, rtol=1e-12, atol=1e-12 * float(value.abs().max()))


def test_float32_gradients():
    model = recurrent()
    double, single = (
        gradients(model, FastSigmoid(width=0.3), ["cells.v", "cells"], 60, dtype=dtype)
        for dtype in (torch.float64, torch.float32)
    )
    for name, value in double.items():
        np.testing.assert_allclose(single[name], value, rtol=1e-3, atol=1e-3 * float(value.abs().max()))


def test_exact_mode_has_the_same_gradients():
    model = conductance_based(True)
    plain, exact = (
        gradients(model, FastSigmoid(width=2 * mV), ["cells.v"], 100, exact=exact) for exact in (False, True)
    )
    for name, value in plain.items():
        np.testing.assert_allclose(exact[name], value, rtol=1e-7, atol=1e-9 * float(value.abs().max()))
