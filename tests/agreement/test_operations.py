"""`run_regularly`, linked variables, and synapses onto synapses."""

# ruff: noqa: F841 - equations use names that the linter does not see

import numpy as np
import pytest
from brian2 import *

from brianbridge.bridge import wrap
from tests.agreement.comparison import agree


def neurons(n=4, name="cells", **options):
    return NeuronGroup(
        n,
        "dv/dt = (1.2 - v + I)/(10*ms) : 1\nI : 1\nx : 1\nk : integer",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name=name,
        **options,
    )


@pytest.mark.parametrize("when", ["start", "before_groups", "after_resets", "end"])
@pytest.mark.agrees("Neurons: run_regularly with its own slot, order and dt")
def test_run_regularly(when):
    cells = neurons()
    cells.run_regularly("x = v + I; I = 0.1*sin(t/ms)", dt=0.7 * ms, when=when)
    cells.run_regularly("k += 1", when=when, order=-1)
    assert agree(Network(cells), 300).bit_equal


@pytest.mark.agrees("Neurons: run_regularly of a subgroup")
def test_run_regularly_on_a_part():
    cells = neurons(6)
    cells[1:4].run_regularly("x = 2*x + i; v = 0.5*v", dt=2 * ms)
    cells[3:].run_regularly("x += v", when="end")
    result = agree(Network(cells), 200)
    assert result.bit_equal
    x = result.records["cells.x"][-1, 0].numpy()
    assert x[0] == 0 and np.all(x[2:] != 0)


def test_run_regularly_respects_unless_refractory():
    cells = NeuronGroup(
        5,
        "dv/dt = (1.5 - v)/(5*ms) : 1 (unless refractory)",
        threshold="v > 1",
        reset="v = 0",
        refractory=3 * ms,
        method="euler",
    )
    cells.v = "rand()"
    cells[1:].run_regularly("v = v + 0.05", dt=0.3 * ms)
    assert agree(Network(cells), 300).bit_equal


def test_run_regularly_at_steps_of_its_own():
    """0.1 ms and 0.25 ms have only 0.05 ms in common."""
    cells = neurons()
    cells.run_regularly("v += 0.02", dt=0.25 * ms)
    result = agree(Network(cells), 400)
    assert result.bit_equal
    assert result.surrogate.program.dt == pytest.approx(0.05e-3)


@pytest.mark.agrees("Schedule: clocks that are no multiples of each other")
def test_clocks_that_are_no_multiples_of_each_other():
    fast = NeuronGroup(2, "dv/dt = (x - v)/(3*ms) : 1\nx : 1 (linked)", method="euler", dt=0.2 * ms)
    slow = NeuronGroup(2, "du/dt = (1 - u)/(9*ms) : 1", method="euler", dt=0.3 * ms)
    fast.x = linked_var(slow, "u")
    result = agree(Network(fast, slow), 120)
    assert result.bit_equal
    assert result.surrogate.program.dt == pytest.approx(0.1e-3)


def test_run_regularly_more_often_than_the_group_has_steps():
    """Brian2 reads t from the group's clock, which then stands at its next step already."""
    slow = NeuronGroup(3, "x : 1\ny : 1", dt=0.4 * ms, name="slow")
    slow.run_regularly("x = t/ms; y += timed(t)", dt=0.1 * ms)
    timed = TimedArray(np.arange(20.0), dt=0.5 * ms)
    assert agree(Network(slow), 100).bit_equal


def test_run_regularly_of_a_poisson_group():
    poisson = PoissonGroup(4, 100 * Hz)
    poisson.run_regularly("rates = clip(rates + 40*Hz*randn(), 0*Hz, 300*Hz)", dt=5 * ms)
    result = agree(Network(poisson), 300)
    assert result.bit_equal
    assert result.total_spikes > 3


@pytest.mark.agrees("Synapses: run_regularly")
def test_run_regularly_of_synapses():
    cells = neurons()
    synapses = Synapses(cells, cells, "w : 1", on_pre="v_post += w")
    synapses.connect(condition="i != j")
    synapses.w = "0.2*rand()"
    synapses.run_regularly("w = clip(w*1.1 - 0.01*v_post, 0, 0.3)", dt=1 * ms)
    assert agree(Network(cells, synapses), 300).bit_equal


def test_coarser_training_step_keeps_the_interval_of_run_regularly():
    cells = neurons()
    cells.run_regularly("x += 1", dt=10 * ms)
    cells.run_regularly("I = v")
    model = wrap(Network(cells)).with_dt(0.5e-3)
    runners = {r.name: r for r in model.live()["cells"].contained_objects}
    assert float(runners["cells_run_regularly"].clock.dt) == 10e-3
    assert float(runners["cells_run_regularly_1"].clock.dt) == 0.5e-3


@pytest.mark.parametrize("index", ["same", "array", "variable", "part", "single", "shared"])
@pytest.mark.agrees("Neurons: linked variables")
def test_linked_variables(index):
    cells = neurons(4)
    shared = NeuronGroup(1, "ds/dt = -s/(7*ms) : 1", method="exact", name="single")
    shared.s = 1
    scalar = NeuronGroup(3, "z : 1 (shared)", name="scalar")
    scalar.z = 0.4
    readers = NeuronGroup(
        4, "du/dt = (y - u)/(5*ms) : 1\ny : 1 (linked)\nwhich : integer", method="euler", name="readers"
    )
    part = cells[0:4]
    readers.which = [3, 0, 0, 2]
    readers.y = {
        "same": linked_var(cells, "v"),
        "array": linked_var(cells.v, index=[3, 2, 1, 1]),
        "variable": linked_var(cells.v, index="which"),
        "part": linked_var(part, "v"),
        "single": linked_var(shared, "s"),
        "shared": linked_var(scalar, "z"),
    }[index]
    assert agree(Network(cells, readers, shared, scalar), 200).bit_equal


@pytest.mark.agrees("Neurons: links to subexpressions and to links")
def test_linked_to_a_subexpression_and_to_a_link():
    first = NeuronGroup(3, "dv/dt = (1 - v)/(5*ms) : 1\ntwice = 2*v + x : 1\nx : 1", method="euler")
    second = NeuronGroup(3, "a : 1 (linked)\nb : 1 (linked)\ndu/dt = (a - u)/(3*ms) : 1", method="euler")
    third = NeuronGroup(3, "c : 1 (linked)\ndz/dt = (c - z)/(3*ms) : 1", method="euler")
    first.x = "rand()"
    second.a, second.b = linked_var(first, "twice"), linked_var(first, "v")
    third.c = linked_var(second, "b")
    assert agree(Network(first, second, third), 100).bit_equal


def test_groups_linked_to_each_other():
    a = NeuronGroup(2, "dv/dt = (other - v)/(5*ms) : 1\nother : 1 (linked)", method="euler", name="a")
    b = NeuronGroup(2, "dv/dt = (1 - other - v)/(5*ms) : 1\nother : 1 (linked)", method="euler", name="b")
    a.other, b.other = linked_var(b, "v"), linked_var(a, "v")
    assert agree(Network(a, b), 100).bit_equal


def test_synapses_read_linked_variables():
    cells = neurons()
    readers = NeuronGroup(4, "y : 1 (linked)\ntotal : 1", name="readers")
    readers.y = linked_var(cells, "v")
    synapses = Synapses(cells, readers, "total_post = w*y_post : 1 (summed)\nw : 1", on_pre="w += y_post")
    synapses.connect()
    assert agree(Network(cells, readers, synapses), 200).bit_equal


@pytest.mark.agrees("Synapses: onto synapses")
def test_synapses_onto_synapses():
    cells = neurons(5)
    plain = Synapses(cells, cells, "w : 1\ngain : 1", on_pre="v_post += gain*w", name="plain")
    plain.connect(condition="i != j")
    plain.w, plain.gain = "0.2*rand()", 1
    onto = Synapses(cells, plain, "strength : 1", on_pre="gain_post += strength", delay=0.7 * ms, name="onto")
    onto.connect(p=0.3)
    onto.strength = "0.1*rand()"
    back = Synapses(plain, cells, "x_post = gain_pre*v_post : 1 (summed)", name="back")
    back.connect(j="i % 5")
    result = agree(Network(cells, plain, onto, back), 400)
    assert result.bit_equal
    assert result.records["plain.gain"][-1].max() > 1
