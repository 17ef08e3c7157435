"""What equations may contain: refractoriness, subexpressions, shared and integer variables, timed inputs."""

# ruff: noqa: F841 - equations use names that the linter does not see

import numpy as np
import pytest
from brian2 import *

import brianbridge as bb
from tests.agreement.comparison import agree


@pytest.mark.parametrize("unless", ["", " (unless refractory)"])
@pytest.mark.parametrize(
    "refractory",
    ["3*ms", "t_ref", "t_ref*(1 + u)", "v > 0.2", "v > 0.2 and u < 0.4", "clamped", 2.5],
)
@pytest.mark.agrees(
    "Neurons: refractory periods given as time, variable, expression or condition",
    "Neurons: (unless refractory)",
)
def test_refractoriness(refractory, unless):
    cells = NeuronGroup(
        10,
        f"""dv/dt = (I - v)/(5*ms) : 1{unless}
        du/dt = -u/(20*ms) : 1
        dx/dt = -(v + x)/(9*ms) : 1 (unless refractory)
        I : 1 (constant)
        clamped = u > 0.3 : boolean
        t_ref : second (constant)""",
        threshold="v > 1",
        reset="v = 0.5*v; u += 0.3; x += 1",
        refractory=refractory * ms if isinstance(refractory, float) else refractory,
        method="euler",
    )
    cells.I, cells.t_ref = "1.2 + rand()", "1*ms + rand()*(4*ms)"
    assert agree(Network(cells), 400).total_spikes >= 10


@pytest.mark.parametrize("method", ["exponential_euler", "exact", "rk4"])
def test_refractoriness_of_dividing_methods(method):
    cells = NeuronGroup(
        10,
        """dv/dt = (I - v + 0.1*(2 - v)*g)/(5*ms) : 1 (unless refractory)
        g : 1 (constant)
        I : 1 (constant)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * ms,
        method=method,
    )
    cells.I, cells.g = "1.2 + rand()", "rand()"
    assert agree(Network(cells), 400).total_spikes > 20


def test_noise_while_refractory():
    cells = NeuronGroup(
        10,
        "dv/dt = (1.5 - v)/(5*ms) + 0.3*xi*(5*ms)**-0.5 : 1 (unless refractory)",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * ms,
        method="euler",
    )
    assert agree(Network(cells), 400).bit_equal


@pytest.mark.agrees("Neurons: subexpressions, also (constant over dt)")
def test_subexpressions():
    cells = NeuronGroup(
        10,
        """dv/dt = (drive - v)/tau : 1
        drive = gain*(1 + 0.5*sin(2*pi*f*t)) : 1
        gain = base*(1 + 0.1*i) : 1
        held = gain*v + u : 1 (constant over dt)
        du/dt = (held - u)/(2*tau) : 1
        high = v > 0.8 and u < 2 : boolean
        level = clip(floor(3*v), 0, 2) : integer
        base : 1 (constant)
        tau : second (constant, shared)""",
        threshold="high or v > 1.1",
        reset="v -= 0.4*level + 0.2",
        method="rk2",
        namespace={"f": 50 * Hz},
    )
    cells.base, cells.tau = "0.8 + 0.1*rand()", 7 * ms
    assert agree(Network(cells), 400).total_spikes > 20


@pytest.mark.agrees("Neurons: shared variables")
def test_shared_variables():
    cells = NeuronGroup(
        6,
        """dv/dt = (level - v)/tau : 1
        level : 1 (shared)
        tau = 5*ms + 3*ms*level : second (shared)
        twice = 2*level : 1 (shared, constant over dt)
        spread = twice + level : 1 (constant over dt)
        count : integer (shared)
        offset : 1 (shared)""",
        threshold="v > spread/6 + offset",
        reset="v = 0",
        method="euler",
        events={"tick": "v > 0.3*twice"},
    )
    cells.run_on_event("tick", "v = v*0.9 + 0.01*twice")
    cells.v, cells.level, cells.offset, cells.count = "0.1*i", 1.2, 0.1, 3
    synapses = Synapses(cells, cells, on_pre="v_post += 0.01*twice_pre*spread_post")
    synapses.connect(p=0.5)
    assert agree(Network(cells, synapses), 600).total_spikes > 20


@pytest.mark.agrees("Neurons: boolean and integer variables")
def test_boolean_and_integer_variables():
    cells = NeuronGroup(
        9,
        """dv/dt = (int(active)*(1 + kind) + (kind % 2) - v*(kind // 2 + 1))/(5*ms) : 1
        active : boolean (constant)
        kind : integer (constant)
        count : integer
        odd : boolean
        phase = (count + kind)/2 : 1""",
        threshold="v > 0.7 and (active or not odd)",
        reset="v = 0.1*(count % 3) + 0.01*phase; count += 1; odd = not odd",
        method="euler",
        name="counting",
    )
    cells.active, cells.kind = "i % 3 > 0", "i"
    result = agree(Network(cells), 400)
    assert result.total_spikes > 20
    assert result.records["counting.count"].max() > 3


def test_boolean_subexpression_in_a_threshold():
    cells = NeuronGroup(
        6,
        """dv/dt = (1.4 - v)/(5*ms) : 1
        awake = sin(i*t/(3*ms)) > -0.2 : boolean
        rate = int(awake)*(0.3 + 0.4*cos(v)*exp(-v)) : 1""",
        threshold="awake and rate > 0.2 and rand() < rate",
        reset="v = 0",
        method="euler",
    )
    result = agree(Network(cells), 200)
    assert result.bit_equal
    assert result.total_spikes > 10


@pytest.mark.agrees("Equations: functions of Brian2")
def test_functions_of_brian2():
    cells = NeuronGroup(
        6,
        """dv/dt = (1 + f - v)/(5*ms) : 1
        f = 0.1*(a + b + c) : 1
        a = exp(-abs(u)) + expm1(0.1*u) + log(1 + u**2) + log1p(u**2) + log10(2 + u) + sqrt(u**2 + 1) : 1
        b = sin(u) + cos(u) + tan(0.3*u) + sinh(0.1*u) + cosh(0.1*u) + tanh(u) + sign(u - 0.5) : 1
        c = arcsin(0.3*u) + arccos(0.3*u) + arctan(u) + exprel(u) + ceil(u) + floor(u) + int(u > 0.4)
            + clip(u, 0.2, 0.7) + u**3 + u**-2 + 2**u + u % 0.3 + u // 0.3 : 1
        du/dt = (v - u)/(9*ms) : 1""",
        threshold="v > 1.4",
        reset="v = 0",
        method="euler",
    )
    cells.u = "0.3 + 0.1*i"
    assert agree(Network(cells), 300).total_spikes > 5


@pytest.mark.agrees("Inputs: TimedArray with one or two dimensions, also beyond its end")
def test_timed_arrays():
    one = TimedArray(np.random.rand(15), dt=2 * ms)
    two = TimedArray(np.random.rand(30, 4) * mV, dt=1 * ms)  # over after 30 ms of 50
    uneven = TimedArray(np.random.rand(70), dt=0.7 * ms)
    fine = TimedArray(np.random.rand(1000), dt=0.05 * ms)
    cells = NeuronGroup(
        8,
        """dv/dt = (one(t) + two(t, channel)/mV + uneven(t) + fine(t)
                    + one(t - offset) + two(t - shift, i % 3)/mV - v)/(5*ms) : 1
        x = two(t, i // 2) : volt (constant over dt)
        offset : second (constant)
        shift : second (shared)
        channel : integer (constant)""",
        threshold="v > 2.5 + uneven(t)",
        reset="v = one(t) - 1",
        refractory="fine(t)*ms",
        method="rk4",
    )
    cells.channel, cells.offset, cells.shift = "(i*7) % 4", "rand()*10*ms", 3 * ms
    assert agree(Network(cells), 500).total_spikes > 20


@pytest.mark.agrees("Inputs: TimedArray in Synapses, indexed by synapse or neuron")
def test_timed_array_in_synapses():
    gate = TimedArray((np.random.rand(40, 5) > 0.5).astype(float), dt=1 * ms)
    cells = NeuronGroup(5, "dv/dt = (1.5 - v)/(5*ms) : 1", threshold="v > 1", reset="v = 0", method="exact")
    cells.v = "rand()"
    synapses = Synapses(
        cells, cells, "w : 1\nx = gate(t, i) : 1", on_pre="v_post += w*gate(t, j)*x", delay=1 * ms
    )
    synapses.connect(condition="i != j")
    synapses.w = 0.1
    assert agree(Network(cells, synapses), 600).total_spikes > 20


@pytest.mark.agrees("Equations: t and dt")
def test_time_in_equations():
    cells = NeuronGroup(
        4,
        """dv/dt = (1.5*int(t > 5*ms) + 0.5*exp(-(t - lastspike)/(3*ms)) - v)/(4*ms) : 1
        k = t_in_timesteps % 7 : integer""",
        threshold="v > 1 and t > 8*ms and k > 0",
        reset="v = t/second",
        refractory=1 * ms,
        method="euler",
    )
    assert agree(Network(cells), 400).total_spikes > 4


@pytest.mark.agrees("Equations: names that other languages reserve")
def test_names_that_collide():
    cells = NeuronGroup(
        3,
        """dv/dt = (t_3 + c0 - v)/(4*ms) : 1
        t_3 : 1
        c0 : 1
        ops : 1
        P : 1
        v_3 : 1
        lambda_ : 1""",
        threshold="v > 1",
        reset="a_v = 0.1\nv = a_v + P\nv_3 += 1",
        method="euler",
        name="a",
    )
    cells.t_3, cells.c0, cells.P = 1, "0.3 + 0.1*i", 0.05
    others = NeuronGroup(
        3,
        "dv/dt = (1.2 - v)/(4*ms) : 1\nv_3 : 1",
        threshold="v > 1",
        reset="v = 0",
        name="a_v",
        method="euler",
    )
    synapses = Synapses(
        cells, others, "x : 1", on_pre="x += 1; mask = x; v_post += 0.01", name="spikes_a_spike"
    )
    synapses.connect()
    assert agree(Network(cells, others, synapses), 300).total_spikes > 10


@pytest.mark.agrees("Neurons: custom events, run_on_event")
def test_custom_events():
    cells = NeuronGroup(
        6,
        """dv/dt = (1.3 - v)/(5*ms) : 1
        du/dt = -u/(5*ms) : 1""",
        threshold="v > 1",
        reset="v = 0",
        events={"half": "v > 0.5 and u < 0.1"},
        method="exact",
    )
    cells.run_on_event("half", "u += 1")
    cells.v = "rand()"
    synapses = Synapses(cells, cells, on_pre="v_post += 0.01", on_event={"pre": "half"})
    synapses.connect()
    result = agree(Network(cells, synapses), 400)
    assert result.spikes["neurongroup.half"] > 10


@pytest.mark.agrees("Schedule: slots and order of objects")
def test_thresholds_without_reset_and_order_of_objects():
    cells = NeuronGroup(5, "dv/dt = (1.2 - v)/(5*ms) : 1", threshold="v > 1", method="exact")
    cells.v = "rand()"
    synapses = Synapses(cells, cells, on_pre="v_post -= 0.05")
    synapses.connect()
    cells.thresholder["spike"].when = "start"
    synapses.pre.when, synapses.pre.order = "after_groups", 3
    assert agree(Network(cells, synapses), 300).total_spikes > 20


def test_only_equations():
    cells = NeuronGroup(4, "dx/dt = y/ms : 1\ndy/dt = (0.5*(1 - x**2)*y - x)/ms : 1", method="rk4")
    cells.x = "rand()"
    assert agree(Network(cells), 500).bit_equal


@pytest.mark.parametrize("steps", [(0.1, 0.5), (0.5, 0.1), (0.1, 0.3)])
@pytest.mark.agrees("Schedule: several clocks")
def test_two_clocks(steps):
    eqs = """dv/dt = (drive(t) + I - v)/(5*ms) + 0.2*xi*(5*ms)**-0.5 : 1 (unless refractory)
    I : 1"""
    drive = TimedArray(np.random.rand(60) + 0.8, dt=1 * ms)
    groups = [
        NeuronGroup(
            5, eqs, threshold="v > 1", reset="v = 0", refractory=1 * ms, method="euler", dt=dt * ms, name=name
        )
        for dt, name in zip(steps, ("one", "two"))
    ]
    there = Synapses(*groups, on_pre="v_post += 0.1", delay=0.7 * ms, name="there", dt=steps[0] * ms)
    back = Synapses(
        *groups[::-1], "I_post = 0.1*v_pre : 1 (summed)", on_pre="v_post -= 0.05", name="back", dt=0.1 * ms
    )
    for synapses in (there, back):
        synapses.connect(p=0.6)
    result = agree(Network(*groups, there, back), 600)
    assert min(result.spikes.values()) > 5


@pytest.mark.agrees("Networks: single precision (compared in double precision; trained as they are)")
def test_single_precision():
    """A network in float32 is wrapped as it is; rounding is all that differs in a short simulation."""
    prefs.core.default_float_dtype = np.float32
    try:
        cells = NeuronGroup(
            5,
            "dv/dt = (I - v)/(10*ms) : 1\nI : 1\ndw/dt = -w/(20*ms) : 1",
            threshold="v > 1",
            reset="v = 0; w += 0.1",
            method="exact",
            refractory=1 * ms,
            name="cells",
        )
        cells.I, cells.v = "1.1 + i*0.1", "0.1*i"
        synapses = Synapses(cells, cells, "k : 1", on_pre="v_post += k", delay=1 * ms)
        synapses.connect()
        synapses.k = 0.01
        network = Network(cells, synapses)
        model = bb.wrap(network)
        assert model["cells"].values["v"].dtype == np.float32
        records = bb.Surrogate(model)(duration=50 * ms, record=["cells.v", "cells.w", "cells"])
        states = StateMonitor(cells, ["v", "w"], record=True, when="end")
        spikes = SpikeMonitor(cells)
        network.add(states, spikes)
        network.run(50 * ms)
    finally:
        prefs.core.default_float_dtype = np.float64
    assert records["cells.v"][:, 0].numpy() == pytest.approx(states.v.T, abs=1e-4)
    assert records["cells.w"][:, 0].numpy() == pytest.approx(states.w.T, abs=1e-5)
    assert int(records["cells"].sum()) == spikes.num_spikes > 10
