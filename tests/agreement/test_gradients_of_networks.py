"""Gradients through plasticity, gap junctions, operations, links and clocks, against finite differences."""

import pytest
from brian2 import *

from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.differentiation import check_against_finite_differences, trained
from tests.networks import AT_A_SPIKE, SHORT_TERM_PLASTICITY

SLOPE = FastSigmoid(width=0.3)


def neurons(n=3, name="cells", **options):
    cells = NeuronGroup(
        n,
        "dv/dt = (drive - v + I)/tau : 1\ndrive : 1 (constant)\ntau : second (constant)\nI : 1",
        threshold="v > 1",
        reset="v = 0",
        method=options.pop("method", "euler"),
        name=name,
        **options,
    )
    cells.v, cells.drive, cells.tau = "0.9*rand()", "1.1 + 0.4*rand()", "(4 + 3*rand())*ms"
    return cells


@pytest.mark.differentiable("Synapses: spike-timing dependent plasticity")
def test_spike_timing_dependent_plasticity():
    cells = neurons()
    synapses = Synapses(
        cells,
        cells,
        """w : 1
        dbefore/dt = -before/tau_b : 1 (event-driven)
        dafter/dt = -after/tau_a : 1 (event-driven)
        tau_b : second (constant)
        tau_a : second (constant)
        step : 1 (constant)""",
        on_pre="v_post += w; before += step; w = clip(w - after, 0, 1)",
        on_post="after += step; w = clip(w + before, 0, 1)",
        name="rec",
    )
    synapses.connect(condition="i != j")
    synapses.w, synapses.step = "0.2 + 0.1*rand()", "0.02 + 0.01*rand()"
    synapses.tau_b, synapses.tau_a = "(5 + rand())*ms", "(8 + rand())*ms"
    targets = [("rec", name) for name in ("w", "step", "tau_b", "tau_a")]
    model = trained(Network(cells, synapses), ("cells", "drive"), *targets)
    check_against_finite_differences(model, SLOPE, ["cells.v", "rec.w"], 40)


@pytest.mark.differentiable(
    "Synapses: short-term plasticity", "Inputs: SpikeGeneratorGroup, also periodic and with its own dt"
)
def test_short_term_plasticity_driven_by_given_spikes():
    source = SpikeGeneratorGroup(2, [0, 1, 0, 1, 0], [0.2, 0.5, 1.4, 2.0, 2.9] * ms, name="source")
    cells = neurons(2)
    synapses = Synapses(
        source,
        cells,
        SHORT_TERM_PLASTICITY,
        on_pre=AT_A_SPIKE,
        name="stp",
    )
    synapses.connect()
    synapses.delay = "0.3*ms*i + 0.2*ms*j"
    synapses.w, synapses.U, synapses.x, synapses.u = "0.5 + rand()", "0.2 + 0.2*rand()", 1, 0.3
    synapses.tau_d, synapses.tau_f = "(3 + rand())*ms", "(9 + rand())*ms"
    targets = [("stp", name) for name in ("w", "U", "tau_d", "tau_f", "x", "u")]
    model = trained(Network(source, cells, synapses), ("cells", "tau"), *targets)
    check_against_finite_differences(model, SLOPE, ["cells.v", "cells"], 45)


@pytest.mark.differentiable("Synapses: gap junctions", "Synapses: _pre and _post in any expression")
def test_gap_junctions():
    cells = neurons(4)
    junctions = Synapses(
        cells, cells, "g : 1 (constant)\nI_post = g*(v_pre - v_post) : 1 (summed)", name="gap"
    )
    junctions.connect(condition="i != j")
    junctions.g = "0.3*rand()"
    model = trained(Network(cells, junctions), ("cells", "drive"), ("cells", "v"), ("gap", "g"))
    check_against_finite_differences(model, SLOPE, ["cells.v", "cells"], 30)


@pytest.mark.differentiable("Schedule: several clocks")
def test_two_clocks():
    fast, slow = neurons(2, "fast", dt=0.1 * ms), neurons(2, "slow", dt=0.3 * ms)
    there = Synapses(fast, slow, "w : 1", on_pre="v_post += w", delay=0.4 * ms, name="there")
    back = Synapses(slow, fast, "w : 1", on_pre="v_post += w", delay=0.6 * ms, name="back")
    for synapses in (there, back):
        synapses.connect()
        synapses.w = "0.3*rand()"
    targets = [("there", "w"), ("back", "w"), ("fast", "tau"), ("slow", "drive")]
    model = trained(Network(fast, slow, there, back), *targets)
    check_against_finite_differences(model, SLOPE, ["fast.v", "slow.v"], 45)


@pytest.mark.differentiable(
    "Neurons: run_regularly with its own slot, order and dt", "Neurons: run_regularly of a subgroup"
)
def test_run_regularly():
    cells = neurons(4)
    cells.run_regularly("I = 0.5*I + 0.2*tanh(v)", dt=0.5 * ms)
    cells[1:3].run_regularly("v = 0.9*v + 0.1*I*drive", when="end", dt=0.2 * ms)
    model = trained(Network(cells), *[("cells", name) for name in ("drive", "tau", "v", "I")])
    check_against_finite_differences(model, SLOPE, ["cells.v", "cells.I"], 30)


@pytest.mark.differentiable("Neurons: linked variables", "Neurons: links to subexpressions and to links")
def test_linked_variables():
    cells = neurons(3)
    readers = NeuronGroup(
        4,
        "du/dt = (gain*y*z - u)/(3*ms) : 1\ny : 1 (linked)\nz : 1 (linked)\ngain : 1 (constant)",
        method="euler",
        name="readers",
    )
    source = NeuronGroup(4, "s : 1 (constant)\nshown = 1 + s**2 : 1", name="source")
    readers.gain, source.s = "1 + rand()", "rand()"
    readers.y, readers.z = linked_var(cells, "v", index=[2, 0, 0, 1]), linked_var(source, "shown")
    model = trained(Network(cells, readers, source), ("cells", "drive"), ("readers", "gain"), ("source", "s"))
    check_against_finite_differences(model, SLOPE, ["readers.u"], 30)


@pytest.mark.differentiable("Synapses: onto synapses")
def test_synapses_onto_synapses():
    cells = neurons(3)
    plain = Synapses(cells, cells, "w : 1", on_pre="v_post += w", name="plain")
    plain.connect(condition="i != j")
    plain.w = "0.2 + 0.2*rand()"
    onto = Synapses(cells, plain, "k : 1", on_pre="w_post += k", name="onto")
    onto.connect(p=0.6)
    onto.k = "0.05*rand() + 0.02"
    model = trained(Network(cells, plain, onto), ("plain", "w"), ("onto", "k"), ("cells", "tau"))
    check_against_finite_differences(model, SLOPE, ["cells.v", "plain.w"], 30)


@pytest.mark.differentiable("Inputs: PoissonInput", "Randomness: xi", "Randomness: randn()")
def test_what_random_numbers_are_multiplied_with():
    cells = NeuronGroup(
        3,
        """dv/dt = -v/tau + sigma*xi*tau**-0.5 : 1
        tau : second (constant)
        sigma : 1 (constant)
        w : 1 (constant)""",
        threshold="v > 1",
        reset="v = r*randn()",
        method="euler",
        name="cells",
        namespace={"r": 0.2},
    )
    cells.tau, cells.sigma, cells.w, cells.v = "(4 + rand())*ms", "0.5 + rand()", "0.3*rand() + 0.1", "rand()"
    drive = PoissonInput(cells, "v", 20, 50 * Hz, "w")
    model = trained(Network(cells, drive), *[("cells", name) for name in ("tau", "sigma", "w")])
    check_against_finite_differences(model, SLOPE, ["cells.v"], 30, seed=5)
