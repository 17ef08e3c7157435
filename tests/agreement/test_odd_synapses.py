"""Synapses: every way to connect and assign, odd statements, pathways, sums, synapses onto synapses."""

# ruff: noqa: F841 - equations use names that the linter does not see

import re

import numpy as np
import pytest
from brian2 import *

from brianbridge.generation.schedule import refusals_of_code
from brianbridge.model.capture import capture
from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.comparison import agree
from tests.agreement.differentiation import check_against_finite_differences, trained


def ticking(n, name, extra="", rate="(120 + 20*i)*Hz", **options):
    """Neurons that fire regularly and can be written to without changing that."""
    cells = NeuronGroup(
        n,
        f"dp/dt = rate : 1\nrate : Hz\nv : 1\nu : 1\n{extra}",
        threshold="p > 1",
        reset="p -= 1",
        method="euler",
        name=name,
        **options,
    )
    cells.rate, cells.p, cells.v, cells.u = rate, "(i % 4)*0.25", "0.1 + 0.07*i", "0.3 + 0.05*i"
    return cells


# -- connecting and assigning ---------------------------------------------------------------------------

CONNECTIONS = [
    dict(),
    dict(condition="i != j"),
    dict(condition="v_pre < v_post and not (i >= 2 and j == 1)"),
    dict(condition="i < int(N_post*0.5)", p="0.1*(j + 1)"),
    dict(p=0.4),
    dict(n=2),
    dict(condition="j > 0", n="i"),
    dict(i=[4, 1, 1, 0, 3], j=[2, 2, 2, 6, 0]),
    dict(i=3, j=[1, 5]),
    dict(i=[0, 1, 2], j=[5, 1, 0], p=0.7),
    dict(j="i"),
    dict(j="int(i/2) if i % 2 == 0"),
    dict(j="(i + (-1)**k) % N_post for k in range(2)"),
    dict(j="k for k in range(i - 3, i + 4, 2) if i != k", skip_if_invalid=True),
    dict(j="i + k for k in range(0, N_post - i)"),
    dict(j="k for k in sample(N_post, p=0.5) if v_post > 0.2"),
    dict(j="k for k in sample(N_post - 1, 0, -2, size=2)"),
    dict(j="k for k in sample(N_post, size=i + 4)", skip_if_invalid=True),
    dict(i="k for k in sample(0, N_pre, 2, size=2)"),
    dict(i="k for k in range(N_pre) if k != j"),
    dict(i="j % N_pre"),
]


@pytest.mark.agrees("Synapses: connect() with conditions, probabilities, arrays and generators")
def test_however_synapses_are_connected():
    source, target = ticking(5, "source"), ticking(7, "target", rate="0*Hz")
    network = Network(source, target)
    for number, arguments in enumerate(CONNECTIONS):
        synapses = Synapses(source, target, on_pre="v_post += 0.001*(1 + number_)", name=f"s{number}")
        synapses.namespace["number_"] = number
        synapses.connect(**arguments)
        assert len(synapses) > 0, arguments
        network.add(synapses)
    assert agree(network, 100).spikes["source.spike"] > 5


def test_however_synapses_get_their_values():
    source, target = ticking(3, "source"), ticking(4, "target", rate="0*Hz")
    synapses = Synapses(
        source,
        target,
        "w : 1\nx : 1\nflag : boolean (constant)\ncount : integer",
        on_pre="""v_post += w*int(flag)
        u_post += 0.01*x*k*(N_pre + N_post + N_incoming/N_outgoing)
        count += 1""",
        on_post="w = 0",
        multisynaptic_index="k",
    )
    synapses.connect(n=2)
    synapses.w[:] = (np.arange(24) % 7) * 0.01
    synapses.w[:, :, 1] = "0.5*v_post + 0.01*(i + j)"
    synapses.w[0, 1:3] = 0.2
    synapses.w["k == 0 and v_pre > 0.15"] = "0.01*k + u_post"
    synapses.w[target[2:4], 0] = 0.05
    synapses.x = "rand() + N_incoming"
    synapses.flag = "(i + j) % 3 > 0"
    synapses.pre.delay = "abs(v_pre - v_post)*10*ms"
    assert agree(Network(source, target, synapses), 150).records["synapses.count"].max() > 1


def test_variables_of_both_neurons_through_subexpressions():
    extra = "twice = 2*v : 1\nmore = 1.5*twice + i : 1"
    source, target = ticking(4, "source", extra), ticking(4, "target", extra)
    synapses = Synapses(
        source,
        target,
        "w : 1\nhere = more_post + 1 : 1\nthere = twice_pre + here*w : 1\nu_post = there*0.1 : 1 (summed)",
        on_pre="v_post += 0.01*more_pre; w += 0.001*here",
        on_post="v_pre -= 0.001*more_post*lastspike_gap",
    )
    synapses.namespace["lastspike_gap"] = 0.5
    synapses.connect(condition="i == 3 - j or i == j")
    agree(Network(source, target, synapses), 150)


@pytest.mark.agrees("Synapses: shared variables and subexpressions, also (constant over dt)")
def test_shared_and_held_values_in_pathways():
    source, target = ticking(3, "source"), ticking(3, "target", "level : 1 (shared)")
    amplitude, w_ext = 2, 0.5
    synapses = Synapses(
        source,
        target,
        """w : 1
        s : 1 (shared)
        total = level_post + s : 1 (shared)
        five = 5 : 1 (constant over dt)
        fixed = 0.1 : 1 (shared)
        outer = w_ext*w : 1
        da/dt = -held**2/(5*ms) : 1 (clock-driven)
        db/dt = -b**2/(5*ms) : 1 (clock-driven)
        held = a : 1 (constant over dt)""",
        on_pre="v_post += 0.01*(s + w + total + five + fixed + amplitude*outer + a + b)",
        method="rk2",
    )
    synapses.connect(j="i")
    synapses.w, synapses.s, target.level, synapses.a, synapses.b = "i + 1", 0.4, 0.2, "0.3*i", "0.3*i"
    result = agree(Network(source, target, synapses), 150)
    assert not np.allclose(result.records["synapses.a"][-1], result.records["synapses.b"][-1])


# -- statements -----------------------------------------------------------------------------------------

INDEPENDENT = [
    "v_post = v_post + w",
    "v_post = w*v_post",
    "v_post = factor*level",
    "v_pre += v_post*0.1",
    "v_pre = level; w = v_pre*2",
    "v_pre += w; u_post = level*u_post",
    "v_post = u_post; v_pre += 1",
    "a = v_pre; v_post += a",
    "v_post += 1; x = v_post",
    "w = 2*a; a += level; u_post += 0.1",
]
#: Done for one synapse after the other, each of which finds what the one before has left.
TAKING_TURNS = [
    "v_post += v_post",
    "v_post = 0.5*v_post + 0.1",
    "v_pre += 0.5*(1 - v_pre)",
    "v_post *= 1 - 0.1*v_post",
    "u_post += w; v_post = clip(v_post + 0.3, 0, 1)",
    "v_post += u_post; u_post = 0",
]
DEPENDENT = [
    "v_pre = w",
    "v_post = v_pre",
    "v_post += w + v_post",
    "a = v_post; v_post += w",
    "x = w; v_pre = x",
    "x = v_pre; v_post = x",
    "v_post += v_pre; v_pre += v_post",
    "v_post += w; u_post += v_post",
    "v_post += 1; w = v_post",
]


def pathways(statements):
    """A network in which each statement is a pathway with variables of its own, and spikes coincide."""

    def own(code, number):
        return re.sub(r"\b([vuwa])(?=_pre|_post|\b)", rf"\g<1>{number}", code)

    def equations(names):
        return "".join(f"{name}{number} : 1\n" for number in range(len(statements)) for name in names)

    source, target = ticking(3, "source", equations("vu")), ticking(3, "target", equations("vu"))
    synapses = Synapses(
        source,
        target,
        equations("wa") + "level : 1 (shared)",
        on_pre={f"path{number}": own(code, number) for number, code in enumerate(statements)},
        namespace={"factor": 0.75},
        name="synapses",
    )
    synapses.connect()
    for number in range(len(statements)):
        for group in (source, target):
            setattr(group, f"v{number}", "0.1 + 0.07*i")
            setattr(group, f"u{number}", "0.3 + 0.05*i")
        setattr(synapses, f"w{number}", "0.1 + 0.03*i + 0.01*j")
        setattr(synapses, f"a{number}", "0.2*i + 0.1*j")
    source.rate, source.p, synapses.level = "(500 + 500*int(i > 0))*Hz", 0, 0.6
    return Network(source, target, synapses)


def test_statements_that_do_not_depend_on_the_order_of_synapses():
    agree(pathways(INDEPENDENT), 40)


@pytest.mark.agrees("Synapses: statements that change a neuron's variable and read it")
def test_statements_in_which_synapses_take_turns():
    agree(pathways(TAKING_TURNS), 40)


@pytest.mark.parametrize(
    "code", ["v_post += 0.1*v_post; v_pre = 0.4", "v_pre = 0.4; v_post = clip(v_post, 0, 0.2)"]
)
def test_turns_of_synapses_that_meet_at_either_end(code):
    cells = ticking(5, "cells", rate="(500 + 500*int(i > 0))*Hz")
    synapses = Synapses(cells, cells, on_pre=code, name="synapses")
    synapses.connect(condition="i != j")
    agree(Network(cells, synapses), 60)


@pytest.mark.differentiable("Synapses: statements that change a neuron's variable and read it")
def test_gradient_through_synapses_that_take_turns():
    cells = NeuronGroup(
        4,
        "dv/dt = (1.2 + x - v)/tau : 1\nx : 1\ntau : second (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.v, cells.x, cells.tau = "0.8 - 0.1*i", "0.1 + 0.05*i", "(3 + i)*ms"
    synapses = Synapses(cells, cells, on_pre="x_post += 0.1*(1 - x_post)**2", name="synapses")
    synapses.connect(condition="i != j")
    model = trained(Network(cells, synapses), ("cells", "v"), ("cells", "x"), ("cells", "tau"))
    check_against_finite_differences(model, FastSigmoid(width=0.3), ["cells.v", "cells.x"], 40)


def test_statements_that_depend_on_the_order_of_synapses_are_refused():
    found = {r.object: r.construct for r in refusals_of_code(capture(pathways(DEPENDENT), {}))}
    assert set(found) == {f"synapses_path{number}" for number in range(len(DEPENDENT))}
    assert "v2_post += w2 + v2_post" in found["synapses_path2"]


def test_random_numbers_in_pathways():
    source, target = ticking(4, "source"), ticking(4, "target", "dx/dt = 0/ms : 1 (unless refractory)")
    resting = NeuronGroup(
        4,
        "dx/dt = 0/second : 1 (unless refractory)",
        threshold="i >= 2",
        refractory=defaultclock.dt,
        method="euler",
        name="resting",
    )
    synapses = Synapses(source, resting, "w : 1", on_pre="w = rand(); x_post += 0.5*randn() + rand()*w")
    synapses.connect()
    assert agree(Network(source, resting, synapses), 150).bit_equal


# -- pathways and delays --------------------------------------------------------------------------------


def test_before_the_postsynaptic_pathway_comes_the_presynaptic_one():
    cells = ticking(3, "cells", rate="500*Hz")
    cells.p = 0
    synapses = Synapses(cells, on_pre="v_post = 1; u_post = 1", on_post="v_post = 2")  # onto itself
    synapses.connect()
    result = agree(Network(cells, synapses), 100)
    assert (result.records["cells.v"][-1] == 2).all()
    assert (result.records["cells.u"][-1] == 1).all()


@pytest.mark.agrees("Synapses: on_event")
def test_pathways_by_their_own_events():
    cells = NeuronGroup(
        4,
        "dv/dt = 300*Hz : 1",
        threshold="v > 1 and v < 2",
        reset="v += 0.7",
        events={"high": "v > 2"},
        method="euler",
        name="cells",
    )
    cells.run_on_event("high", "v = 0.1*i")
    cells.v = [0, 0.5, 0.9, 2.5]
    synapses = Synapses(
        cells,
        cells,
        "a : integer\nb : integer\nc : integer\nd : integer",
        on_event={"path_a": "spike", "path_b": "high", "path_c": "spike", "path_d": "high"},
        on_pre={"path_a": "a += 1", "path_b": "b += 1"},
        on_post={"path_c": "c += 1", "path_d": "d += 1"},
        delay={"path_b": 0.3 * ms},
    )
    synapses.connect()
    clocked = NeuronGroup(
        2, "", events={"custom": "timestep(t, dt) == timestep((2 - i)*ms, dt)"}, name="clocked"
    )
    other = Synapses(clocked, cells, on_pre="v_post += 0.01", on_event="custom", name="other")
    other.connect()
    result = agree(Network(cells, clocked, synapses, other), 150)
    assert min(result.records[f"synapses.{name}"][-1].max() for name in "abcd") > 1
    assert result.spikes["clocked.custom"] == 2


def test_delays_assigned_in_every_way():
    source, target = ticking(5, "source", "x : meter"), ticking(5, "target", rate="(150 + 10*i)*Hz")
    source.x = "i*mmeter"
    velocity = 2 * meter / second
    synapses = Synapses(
        source,
        target,
        "w : 1",
        on_pre={"first": "v_post += w", "second": "u_post *= 1.01", "third": "w *= 0.99"},
        on_post="w += 0.01",
        delay={"second": 5 * ms, "third": 0.25 * ms},
    )
    synapses.connect(p=0.8)
    synapses.w = "0.01*(i + j + 1)"
    synapses.first.delay = "abs(x_pre - (N_post - j)*mmeter)/velocity"
    synapses.first.delay["j < 2"] = 0.14 * ms
    synapses.first.delay[3, :] = "0.15*ms + j*0.01*ms"
    synapses.second.delay = "0.35*ms"
    synapses.post.delay = np.linspace(0, 1, len(synapses)) * ms
    late = Synapses(source, target, on_pre="v_post -= 0.005", delay=1 * ms, name="late")
    late.connect(j="i")
    late.delay_ = 7e-4
    assert agree(Network(source, target, synapses, late), 200).total_spikes > 10


def test_spikes_of_a_generator_through_delays():
    several = SpikeGeneratorGroup(
        6,
        [0, 1, 4, 5, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5],
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2] * defaultclock.dt,
        name="several",
    )
    periodic = SpikeGeneratorGroup(3, [0, 1, 2], [0.2, 0, 0.7] * ms, period=1.2 * ms, name="periodic")
    target = NeuronGroup(3, "v : 1\nn : integer", name="target")
    flagged = Synapses(periodic, target, "use : boolean (constant)", on_pre="v_post += int(use); n_post += 1")
    flagged.connect()
    flagged.use = "i != j"
    weighted = Synapses(several, target, "w : 1", on_pre="v_post += w", name="weighted")
    weighted.connect()
    weighted.w, weighted.delay = "0.1*i + 0.01*j", "(i % 3 + j)*0.1*ms"
    both = Synapses(several, periodic, "a : 1\nb : 1", on_pre="a += 1", on_post="b += 2", name="both")
    both.connect(condition="i > j")
    result = agree(Network(several, periodic, target, flagged, weighted, both), 60)
    assert result.records["target.n"][-1].min() > 10


def test_pathways_run_on_the_clock_of_their_neurons():
    source, target = ticking(3, "source", dt=0.5 * ms), ticking(3, "target", dt=0.1 * ms)
    synapses = Synapses(
        source,
        target,
        "dw/dt = 1/ms : 1 (clock-driven)",
        on_pre="v_post += w",
        on_post="u_pre += 0.1",
        delay={"pre": 0.5 * ms, "post": 0.2 * ms},
        dt=1 * ms,
        method="euler",
    )
    synapses.connect()
    assert agree(Network(source, target, synapses), 150).total_spikes > 5


# -- sums -----------------------------------------------------------------------------------------------


def test_sums_in_both_directions_and_of_unequal_groups():
    few, many = ticking(2, "few", "s : 1\ny : 1"), ticking(9, "many", "s : 1\ny : 1")
    synapses = Synapses(
        few,
        many,
        """x : 1
        s_pre = v_post + x : 1 (summed)
        y_pre = x : 1 (summed)
        s_post = v_pre*x : 1 (summed)
        y_post = 2*x + k : 1 (summed)""",
        on_pre="x += 0.01",
        multisynaptic_index="k",
    )
    synapses.connect(i=[0, 0, 0, 0, 1, 1, 1], j=[3, 1, 1, 8, 2, 3, 2])
    synapses.x = "0.1*i + 0.02*j"
    assert agree(Network(few, many, synapses), 100).total_spikes > 2


# -- plasticity -----------------------------------------------------------------------------------------


def test_event_driven_equations_are_what_is_written_by_hand():
    pre, post = ticking(3, "first"), ticking(3, "second", rate="(170 + 30*i)*Hz")
    tau, level = 20 * ms, 0.3
    driven = Synapses(
        pre,
        post,
        "w : 1\nda/dt = (target - a)/tau : 1 (event-driven)\ntarget = c*level : 1\nc : 1",
        on_pre="a += 0.1; w = clip(w + a, 0, 1)",
        on_post="a += 0.2; w = clip(w - a, 0, 1); c += 0.01",
        name="driven",
    )
    manual = Synapses(
        pre,
        post,
        "w : 1\na : 1\nc : 1\nlastupdate : second",
        on_pre="""a = c*level + (a - c*level)*exp((lastupdate - t)/tau) + 0.1
        w = clip(w + a, 0, 1)
        lastupdate = t""",
        on_post="""a = c*level + (a - c*level)*exp((lastupdate - t)/tau) + 0.2
        w = clip(w - a, 0, 1); c += 0.01
        lastupdate = t""",
        name="manual",
    )
    for synapses in (driven, manual):
        synapses.connect()
        synapses.w, synapses.c = 0.5, "0.1*i"
    result = agree(Network(pre, post, driven, manual), 250)
    np.testing.assert_allclose(result.records["driven.w"][-1], result.records["manual.w"][-1], rtol=1e-9)


def test_plasticity_with_traces_in_the_neurons():
    cells = ticking(6, "cells", "dA/dt = -A/ms : 1\nge : 1", rate="1000*Hz")
    cells.p = "abs(3 - i)*0.1 + 0.7"
    synapses = Synapses(
        cells[:3],
        cells[3:],
        "down : 1\nup : 1",
        on_pre="ge_post += down - up; A_pre += 1; down = clip(down + A_post, 0, 10)",
        on_post="A_post += 1; up = clip(up + A_pre, 0, 10)",
    )
    synapses.connect()
    assert agree(Network(cells, synapses), 50).records["synapses.up"][-1].min() > 1


# -- further objects ------------------------------------------------------------------------------------


@pytest.mark.agrees("Synapses: linked variables")
def test_linked_variables_in_synapses():
    single = NeuronGroup(1, "dx/dt = -x/(10*ms) : 1", method="exact", name="single")
    common = NeuronGroup(3, "level : 1 (shared)", name="common")
    field = NeuronGroup(6, "dx/dt = (i*0.1 - x)/(3*ms) : 1", method="exact", name="field")
    cells = ticking(4, "cells")
    synapses = Synapses(
        cells,
        cells,
        """x : 1 (linked)
        level : 1 (linked)
        place : 1 (linked)
        which : integer (constant)""",
        on_pre="v_post += 0.01*(x + level + place)",
    )
    synapses.connect(condition="i != j")
    synapses.x, synapses.level = linked_var(single.x), linked_var(common.level)
    synapses.place = linked_var(field.x, index="which")
    synapses.which, single.x, common.level = "(i + 2*j) % 6", 1, 0.5
    agree(Network(single, common, field, cells, synapses), 100)


def test_synapses_onto_synapses():
    cells, modulators = ticking(4, "cells"), ticking(3, "modulators", rate="(90 + 50*i)*Hz")
    target = NeuronGroup(4, "v : 1\nn : integer", name="target")
    main = Synapses(
        cells,
        target,
        "w : integer\ng : 1\nq : 1",
        on_pre="n_post += w; v_post += g + q",
        multisynaptic_index="k",
        name="main",
    )
    main.connect(j="i", n=2)
    main.w, main.g = 1, "0.1*i + k"
    spikes = Synapses(modulators, main, "m : 1", on_pre="w_post += 1; g_post *= m", name="spikes")
    spikes.connect(condition="k_post == 1 and i != i_post")
    spikes.m, spikes.delay = 0.9, "0.1*ms*j_post"
    sums = Synapses(modulators, main, "x : 1\nq_post = x*v_pre : 1 (summed)", name="sums")
    sums.connect(condition="i >= j")
    sums.x = "0.01*i"
    back = Synapses(main, modulators, "v_post = 0.01*g_pre : 1 (summed)", name="back")
    back.connect(j="i % 3")
    result = agree(Network(cells, modulators, target, main, spikes, sums, back), 150)
    assert result.records["main.w"][-1].max() > 1
