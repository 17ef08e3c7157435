"""Synapses: every way in which one neuron's spikes or states reach another."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.model.capture import capture
from brianbridge.surrogate.module import Surrogate
from tests.agreement.comparison import agree, recordable

DRIVEN = """dv/dt = (I_ext + I - v)/(10*ms) + 2*mV*xi*(10*ms)**-0.5 : volt (unless refractory)
I_ext : volt (constant)
"""


def driven(n=12, name="cells", extra="I : volt", **options):
    """Noisy neurons that fire by themselves."""
    options = {
        "threshold": "v > 10*mV",
        "reset": "v = 0*mV",
        "refractory": 1 * ms,
        "method": "euler",
    } | options
    cells = NeuronGroup(n, DRIVEN + extra, name=name, **options)
    cells.I_ext = "14*mV + 4*mV*rand()"
    cells.v = "10*mV*rand()"
    return cells


def shuffled(n_pre, n_post, count, multiple=False):
    """Pairs in no order, the same pair more than once if `multiple`."""
    pairs = np.array([(i, j) for i in range(n_pre) for j in range(n_post)])
    chosen = np.random.choice(len(pairs), count, replace=multiple)
    return pairs[chosen].T


@pytest.mark.agrees("Synapses: v_post += w")
def test_current_synapses_in_shuffled_order():
    cells = driven(extra="dI/dt = -I/(5*ms) : volt")
    synapses = Synapses(cells, cells, "w : volt (constant)", on_pre="I_post += w")
    i, j = shuffled(12, 12, 40)
    synapses.connect(i=i, j=j)
    synapses.w = "(2*rand() - 0.7)*mV"
    result = agree(Network(cells, synapses))
    assert result.bit_equal
    assert result.total_spikes > 100


@pytest.mark.agrees("Synapses: several between one pair, multisynaptic_index")
def test_several_synapses_between_the_same_pair():
    cells = driven()
    synapses = Synapses(
        cells, cells, "w : volt (constant)", on_pre="v_post += w", multisynaptic_index="synapse_number"
    )
    i, j = shuffled(12, 12, 60, multiple=True)
    synapses.connect(i=i, j=j)
    synapses.w = "(rand() - 0.4)*mV*(1 + synapse_number)"
    synapses.delay = "rand()*2*ms"
    assert agree(Network(cells, synapses)).bit_equal


@pytest.mark.agrees("Synapses: conductances")
def test_conductance_synapses():
    gates = "\n".join(["dge/dt = -ge/(5*ms) : 1", "dgi/dt = -gi/(10*ms) : 1"])
    cells = NeuronGroup(
        20,
        "dv/dt = (-(v + 60*mV) - ge*v - gi*(v + 80*mV) + I)/(20*ms) : volt (unless refractory)\n"
        "I : volt (constant)\n" + gates,
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory=5 * ms,
        method="exponential_euler",
    )
    cells.v, cells.I = "-60*mV + 10*mV*rand()", "(11 + 5*rand())*mV"
    excite = Synapses(cells[:16], cells, on_pre="ge_post += 0.1")
    inhibit = Synapses(cells[16:], cells, on_pre="gi_post += 0.67")
    excite.connect(p=0.2)
    inhibit.connect(p=0.4)
    result = agree(Network(cells, excite, inhibit), 2000)
    assert result.total_spikes > 50


@pytest.mark.agrees("Synapses: gap junctions", "Synapses: _pre and _post in any expression")
def test_summed_synapses_that_read_both_sides():
    cells = driven(extra="I : volt\nr = clip(v/(10*mV), 0, 1) : 1")
    synapses = Synapses(cells, cells, "w : 1 (constant)\nI_post = w*(v_pre - v_post)*r_pre : volt (summed)")
    i, j = shuffled(12, 12, 50)
    synapses.connect(i=i, j=j)
    synapses.w = "rand()*0.2"
    assert agree(Network(cells, synapses)).bit_equal


@pytest.mark.agrees("Synapses: summed variables", "Neurons: subgroups as source and target")
def test_summed_variables_of_subgroups():
    cells, others = driven(), driven(7, "others")
    first = Synapses(cells[2:6], others[:3], "w : 1\nI_post = w*v_pre : volt (summed)", name="first")
    second = Synapses(cells[:4], others[3:], "w : 1\nI_post = w*v_pre + i*mV : volt (summed)", name="second")
    back = Synapses(others[1:5], cells[3:], on_pre="v_post += 0.5*mV", delay=0.7 * ms)
    for synapses in (first, second, back):
        synapses.connect(p=0.7)
    first.w, second.w = "rand()", "-rand()"
    assert agree(Network(cells, others, first, second, back)).bit_equal


@pytest.mark.agrees("Synapses: clock-driven equations")
def test_per_connection_decay_clock_driven():
    cells = driven()
    synapses = Synapses(
        cells,
        cells,
        """ds/dt = -s/tau : volt (clock-driven)
        tau : second (constant)
        w : volt (constant)
        I_post = s : volt (summed)""",
        on_pre="s += w*(1*ms)/tau",
        method="exact",
    )
    i, j = shuffled(12, 12, 40)
    synapses.connect(i=i, j=j)
    synapses.w, synapses.tau = "(rand() - 0.3)*5*mV", "(3 + 10*rand())*ms"
    assert agree(Network(cells, synapses)).total_spikes > 100


@pytest.mark.agrees("Synapses: spike-timing dependent plasticity", "Synapses: event-driven equations")
def test_spike_timing_dependent_plasticity():
    cells = driven()
    synapses = Synapses(
        cells,
        cells,
        """w : 1
        dApre/dt = -Apre/taupre : 1 (event-driven)
        dApost/dt = -Apost/taupost : 1 (event-driven)
        taupre : second (constant)
        taupost : second (constant)""",
        on_pre="v_post += w*mV; Apre += 0.1; w = clip(w + Apost, 0, 1)",
        on_post="Apost -= 0.12; w = clip(w + Apre, 0, 1)",
        delay={"pre": 0.5 * ms},
    )
    synapses.connect(condition="i != j", p=0.4)
    synapses.w, synapses.taupre, synapses.taupost = "rand()", "(10 + 20*rand())*ms", 15 * ms
    result = agree(Network(cells, synapses))
    assert result.records["synapses.w"].std() > 0


@pytest.mark.agrees("Synapses: short-term plasticity")
def test_short_term_plasticity():
    cells = driven()
    synapses = Synapses(
        cells,
        cells,
        """du/dt = -u/(100*ms) : 1 (event-driven)
        dx/dt = (1 - x)/(50*ms) : 1 (event-driven)
        w : volt (constant)""",
        on_pre="u += 0.2*(1 - u); v_post += w*u*x; x -= u*x",
    )
    synapses.connect(p=0.4)
    synapses.x, synapses.w = 1, "rand()*3*mV"
    assert agree(Network(cells, synapses)).total_spikes > 100


@pytest.mark.parametrize("delay", [None, 1.5, "each", "mixed"])
@pytest.mark.agrees(
    "Synapses: delays, one or one for each synapse",
    "Synapses: several pathways with their own delays and order",
)
def test_delays(delay):
    cells = driven()
    delays = {"pre": 0.3 * ms, "post": 1.2 * ms} if delay == "mixed" else None
    if isinstance(delay, float):
        delays = delay * ms
    synapses = Synapses(
        cells, cells, "x : 1", on_pre="v_post += 0.8*mV; x += 1", on_post="x *= 0.5", delay=delays
    )
    i, j = shuffled(12, 12, 40)
    synapses.connect(i=i, j=j)
    if delay == "each":
        synapses.pre.delay = "rand()*4*ms"
        synapses.post.delay = "rand()*0.3*ms"
    assert agree(Network(cells, synapses)).bit_equal


@pytest.mark.agrees("Synapses: x_post = ..., x_post *= ... and writing to x_pre")
def test_writing_to_the_presynaptic_neuron():
    cells = driven(extra="I : volt\ncount : integer\nfatigue : volt", reset="v = -fatigue; count += 1")
    synapses = Synapses(cells, cells, on_pre="fatigue_pre += 0.05*mV", on_post="fatigue_pre *= 0.9")
    synapses.connect(p=0.3)
    assert agree(Network(cells, synapses)).bit_equal


@pytest.mark.parametrize(
    "code",
    [
        "I_post = 2*mV",
        "I_post = I_ext_post",
        "I_post = 0.5*v_post + 1*mV; w += 1",
        "v_post *= 0.8",
        "v_post /= 1.1",
        "v_post -= w*mV",
        "I_post += w*v_pre - w*I_pre",
        "w += v_post/volt; v_pre += 0.1*mV",
        "flag_post = True",
        "count_post += 1",
        "count_post = 3",
        "w = v_pre/(10*mV)",
        "w = 2",
        "w = w*0.5 + 1",
        "v_post += rate*w*mV",
        "w = int(v_post > 0*mV)*w + int(v_post <= 0*mV)",
    ],
)
def test_statements_on_spikes(code):
    cells = driven(extra="I : volt\nflag : boolean\ncount : integer")
    synapses = Synapses(cells, cells, "w : 1\nrate : 1 (shared)", on_pre=code)
    i, j = shuffled(12, 12, 40)
    synapses.connect(i=i, j=j)
    synapses.w, synapses.rate = "rand()", 0.3
    synapses.delay = "int(rand()*3)*0.1*ms"
    agree(Network(cells, synapses), 300)


def test_synapses_that_divide_by_a_trace_which_is_zero_elsewhere():
    cells = driven()
    synapses = Synapses(cells, cells, "x : 1\nw : 1", on_pre="x += 1; w += 1/x; v_post += mV*log(x)/x")
    synapses.connect(p=0.3)
    result = agree(Network(cells, synapses), 60)
    assert (result.records["synapses.x"][-1] == 0).any()


def test_conditional_write_through_synapses():
    cells = driven(
        refractory="3*ms + 2*ms*i/N", extra="du/dt = (v - u)/ms : volt (unless refractory)\nI : volt"
    )
    synapses = Synapses(cells, cells, on_pre="v_post += 2*mV; u_post *= 3")
    synapses.connect(p=0.5)
    assert agree(Network(cells, synapses)).bit_equal


def test_no_synapses_and_silent_sources():
    cells, silent = driven(), driven(5, "silent", threshold="v > 1*volt")
    none = Synapses(
        cells, cells, "w : 1\nI_post = w*mV : volt (summed)", on_pre="v_post += w*mV", name="none"
    )
    none.connect(False)
    from_silent = Synapses(silent, cells, on_pre="v_post += 1*mV", delay=2 * ms, name="from_silent")
    from_silent.connect(p=0.5)
    result = agree(Network(cells, silent, none, from_silent), 300)
    assert result.spikes["silent.spike"] == 0


def test_a_chain_of_three_groups_by_name_order():
    first, middle, last = driven(5, "zeta"), driven(6, "mu"), driven(4, "alpha")
    there = Synapses(first, middle, on_pre="v_post += 1*mV", name="y")
    onward = Synapses(middle, last, on_pre="v_post *= 0.5", name="x")
    back = Synapses(last, first, "I_post = 0.1*v_pre : volt (summed)", name="a")
    for synapses in (there, onward, back):
        synapses.connect(p=0.6)
    assert agree(Network(first, middle, last, there, onward, back)).bit_equal


def test_synapses_with_a_shared_and_a_constant_over_dt_variable():
    cells = driven()
    synapses = Synapses(
        cells,
        cells,
        """w : 1
        scale : 1 (shared)
        gain = scale*w : 1 (constant over dt)
        factor = scale*2 : 1 (constant over dt)
        now = gain + factor : 1
        I_post = 0.02*now*v_pre : volt (summed)""",
        on_pre="w = 0.99*w + 0.01*now",
    )
    synapses.connect(p=0.3)
    synapses.w, synapses.scale = "rand()", 0.7
    agree(Network(cells, synapses), 500)


def test_neurons_linked_through_variables_of_other_synapses_in_order():
    """`(when, order, name)`: a summed variable reads what an earlier one wrote in the same step."""
    cells, out = driven(), NeuronGroup(3, "o : volt\np : volt", name="out")
    one = Synapses(cells, out, "o_post = v_pre : volt (summed)", name="b_first")
    two = Synapses(out, out, "p_post = o_pre : volt (summed)", name="c_second")
    three = Synapses(out, cells, "I_post = 0.01*p_pre : volt (summed)", name="a_third")
    for synapses in (one, two, three):
        synapses.connect()
    agree(Network(cells, out, one, two, three), 300)


def everything():
    """Most kinds of synaptic statements at once."""
    stim = TimedArray(np.random.rand(50, 12) * 4 * mV, dt=1 * ms)
    cells = driven(extra="I = stim(t, i) + G + H : volt\nG : volt\nH : volt\ncount : integer")
    synapses = Synapses(
        cells,
        cells,
        """w : 1
        dx/dt = -x/tau : 1 (event-driven)
        ds/dt = -s/tau : volt (clock-driven)
        tau : second (constant)
        late = t - lastspike_post < 3*ms : boolean
        G_post = s : volt (summed)""",
        on_pre={
            "pre": "x += 0.1; s += w*mV; v_post += 0.2*mV*int(late)",
            "other": """w += 0.01*x*(1 + (t - lastspike_post)/second*1e-4)
            H_post = 0.1*v_post
            count_post += 1""",
        },
        on_post="w = 0.9*w; H_pre *= 0.9",
        delay={"pre": 0.6 * ms},
        namespace={"stim": stim},
    )
    i, j = shuffled(12, 12, 50)
    synapses.connect(i=i, j=j)
    synapses.w, synapses.tau = "rand()*3", "(3 + 10*rand())*ms"
    synapses.other.delay = "rand()*3*ms"
    cells.namespace["stim"] = stim
    return Network(cells, synapses)


def test_everything_at_once():
    assert agree(everything(), 600).total_spikes > 50


def test_a_batch_is_its_trials():
    surrogate = Surrogate(capture(everything(), {}), dtype=torch.float64)
    names = recordable(surrogate.program, surrogate.model)
    together = surrogate(duration=20 * ms, record=names, batch=3, seed=1)
    for trial in range(3):
        noise = {key: value[:, trial : trial + 1] for key, value in together.noise.items()}
        alone = surrogate(duration=20 * ms, record=names, noise=noise)
        for name in names:
            np.testing.assert_allclose(
                together[name][:, trial], alone[name][:, 0], rtol=1e-12, atol=0, err_msg=name
            )


def test_states_keep_their_type_and_shape_in_float32():
    surrogate = Surrogate(capture(everything(), {}), dtype=torch.float32)
    final = surrogate(duration=20 * ms, record=["cells"], batch=2, seed=1).final
    for key, value in final.items():
        if key in surrogate.program.arrays:
            array = surrogate.program.arrays[key]
            assert value.shape == (2, array.value.size), key
            if array.kind == "float":
                wide = key.endswith(("lastspike", "lastupdate"))
                assert value.dtype == (torch.float64 if wide else torch.float32), key
