"""Order ties: Brian2's result changes with the sorting of names where one is reported, and nowhere else."""

from itertools import groupby

import numpy as np
import pytest
from brian2 import *
from hypothesis import given, settings
from hypothesis import strategies as st

from brianbridge.generation.schedule import program_of
from brianbridge.generation.ties import find_ties, ties_of
from brianbridge.model.capture import capture
from brianbridge.model.rebuild import rebuild
from tests.agreement.comparison import agree


class OtherNames(Network):
    """A network in which ties are resolved as if the names sorted the other way round."""

    @property
    def sorted_objects(self):
        tied = groupby(super().sorted_objects, key=lambda obj: (obj.when, obj.order))
        return [obj for _, objects in tied for obj in reversed(list(objects))]


def states_after(build, kind, steps=3):
    network = kind(*build())
    network.run(steps * defaultclock.dt, namespace={})
    states = network.get_states(units=False, read_only_variables=False)
    return {
        f"{group}.{name}": value
        for group, values in states.items()
        if not group.startswith("clock") and group != "defaultclock"
        for name, value in values.items()
    }


def differing(build, steps=3):
    """States in Brian2 that depend on how ties are resolved, beyond rounding."""
    one, other = (states_after(build, kind, steps) for kind in (Network, OtherNames))
    return [key for key in one if not np.allclose(one[key], other[key], rtol=1e-9, atol=1e-12)]


def ties(build):
    model = capture(Network(*build()), {})
    return find_ties(program_of(model, rebuild(model)))


# -- networks -----------------------------------------------------------------------------------------


def cells(n=4, name="cells", **options):
    group = NeuronGroup(
        n,
        "dv/dt = (1.5 - v + I)/(2*ms) : 1\nI : 1\nx : 1\ny : 1\nz : 1\nk : integer",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name=name,
        **options,
    )
    group.v, group.x, group.y, group.z, group.I = "1.1*(i % 2)", "1 + i", "2 - 0.3*i", "0.7*i", "0.1*i"
    group.k = "N - 1 - i"
    return group


def synapses(name, on_pre, model="w : 1", source=None, target=None, **options):
    links = Synapses(source, target, model, on_pre=on_pre, name=name, method="euler", **options)
    links.connect()
    links.w = "0.1 + 0.01*i + 0.02*j"
    return links


def two_operations():
    group = cells()
    group.run_regularly("x = 2*y")
    group.run_regularly("y = x + 1")
    return [group]


def operations_that_only_add():
    group = cells()
    group.run_regularly("x += 1; y *= 2")
    group.run_regularly("x -= z; y /= 3")
    return [group]


def operations_that_add_and_scale():
    group = cells()
    group.run_regularly("x += 1")
    group.run_regularly("x *= 2")
    return [group]


def operations_that_add_what_they_read():
    group = cells()
    group.run_regularly("x += x*y")
    group.run_regularly("x += 1")
    return [group]


def operations_at_steps_of_their_own():
    group = cells()
    group.run_regularly("x = 2*y", dt=0.2 * ms)
    group.run_regularly("y = x + 1", dt=0.3 * ms)
    return [group]


def operations_on_other_parts():
    group = cells()
    group[:2].run_regularly("x = 3*x + 1; v = 0.2")
    group[2:].run_regularly("x = 2*x; v *= 0.9")
    return [group]


def operations_on_parts_that_overlap():
    group = cells()
    group[:3].run_regularly("x = 3*x + 1")
    group[2:].run_regularly("x = 2*x")
    return [group]


def operations_that_share_a_local_name():
    group = cells()
    group.run_regularly("tmp = x; y = tmp")
    group.run_regularly("tmp = z; z = 2*tmp")
    return [group]


def linked_variable():
    first = cells(name="first")
    second = NeuronGroup(4, "ds/dt = (u - s)/ms : 1\nu : 1 (linked)", method="euler", name="second")
    second.u = linked_var(first, "v")
    return [first, second]


def linked_to_what_does_not_change():
    first = cells(name="first")
    second = NeuronGroup(4, "ds/dt = (u - s)/ms : 1\nu : 1 (linked)", method="euler", name="second")
    second.u = linked_var(first, "z")
    return [first, second]


def synapses_that_watch_the_neuron():
    group = cells()
    return [group, synapses("links", None, "dw/dt = (v_post - w)/ms : 1 (clock-driven)", group, group)]


def summed_variable():
    group = cells()
    links = synapses("links", None, "w : 1\nI_post = w*(v_pre - v_post) : 1 (summed)", group, group)
    return [group, links]


def sums_that_follow_each_other():
    group = cells()
    links = synapses(
        "links", None, "w : 1\nx_post = w*v_pre : 1 (summed)\ny_post = w*x_pre : 1 (summed)", group, group
    )
    return [group, links]


def sum_over_a_part():
    """Brian2 gives sums the order of their target minus one, and a subgroup that of its group plus one."""
    group = cells()
    return [group, synapses("a", None, "w : 1\nI_post = w : 1 (summed)", group, group[:2])]


def sums_over_two_parts():
    group = cells()
    equations = "w : 1\nI_post = w : 1 (summed)"
    both = [
        synapses(name, None, equations, group, part) for name, part in [("a", group[:2]), ("b", group[2:])]
    ]
    for links in both:
        links.summed_updaters["I_post"].order = -1
    return [group, *both]


def inputs_that_add_up():
    group = cells()
    return [
        group,
        synapses("a", "v_post += w", source=group, target=group),
        synapses("b", "v_post -= w", source=group, target=group),
    ]


def input_and_shunt():
    group = cells()
    return [
        group,
        synapses("a", "v_post += w", source=group, target=group),
        synapses("b", "v_post *= 0.5", source=group, target=group),
    ]


def input_and_shunt_of_other_cells():
    group = cells()
    return [
        group,
        synapses("a", "v_post += w", source=group, target=group[:2]),
        synapses("b", "v_post *= 0.5", source=group, target=group[2:]),
    ]


def onto(links, on_pre, group):
    """Synapses whose targets are synapses."""
    second = Synapses(group, links, on_pre=on_pre, name="second")
    second.connect()
    return second


def synapses_onto_synapses():
    group = cells()
    first = synapses("first", "v_post += w", source=group, target=group)
    return [group, first, onto(first, "w_post *= 0.5", group)]


STDP = """w : 1
    dp/dt = -p/(20*ms) : 1 (event-driven)
    dq/dt = -q/(20*ms) : 1 (event-driven)"""


def stdp():
    group = cells()
    return [
        group,
        synapses(
            "links",
            "v_post += w; p += 0.1; w = clip(w + q, 0, 1)",
            STDP,
            group,
            group,
            on_post="q -= 0.1; w = clip(w + p, 0, 1)",
        ),
    ]


def stdp_with_a_pathway_beside():
    group = cells()
    return [group, synapses("links", {"effect": "v_post += w", "plasticity": "p += 0.1"}, STDP, group, group)]


def stdp_in_two_pathways():
    group = cells()
    links = synapses("links", {"up": "p += 0.1", "down": "p *= 0.5"}, STDP, group, group)
    links.p = 0.3
    return [group, links]


def stdp_that_others_change():
    group = cells()
    links = synapses("first", "v_post += w; p += 0.1", STDP, group, group)
    links.p = 0.3
    return [group, links, onto(links, "p_post += 0.2", group)]


def poisson_input_and_operation():
    group = cells()
    group.run_regularly("v += 0.1", when="synapses")
    return [group, PoissonInput(group, "v", 5, 0 * Hz, weight=0.1)]


def events():
    group = cells(events={"low": "v < 0.5", "high": "v > 0.2"})
    group.run_on_event("low", "x = 2*x")
    group.run_on_event("high", "x += 1")
    return [group]


def events_that_do_not_meet():
    group = cells(events={"low": "v < 0.5", "high": "v > 0.2"})
    group.run_on_event("low", "x = 2*x")
    group.run_on_event("high", "y += 1")
    return [group]


def event_after_the_spike():
    group = cells(events={"after": "t - lastspike < 0.15*ms"}, refractory=1 * ms)
    group.run_on_event("after", "x += 1")
    group.set_event_schedule("after", when="thresholds")
    return [group]


def reset_with_its_threshold():
    group = cells()
    group.resetter["spike"].when = "thresholds"
    return [group]


def pathway_with_its_threshold():
    group = cells()
    links = synapses("a_link", "x_post += w*t/ms", source=group, target=group)
    links.pre.when, links.pre.order = "thresholds", 0
    return [group, links]


def gated_by_what_a_threshold_sets():
    group = NeuronGroup(
        4,
        "dv/dt = (1.5 - v)/(2*ms) : 1 (unless refractory)",
        threshold="v > 1",
        reset="v = 0",
        refractory=1 * ms,
        method="euler",
        name="cells",
    )
    group.v = "1.1*(i % 2)"
    group.run_regularly("v += 0.05", when="thresholds")
    return [group]


TIED = [
    two_operations,
    operations_that_add_and_scale,
    operations_that_add_what_they_read,
    operations_at_steps_of_their_own,
    operations_on_parts_that_overlap,
    linked_variable,
    synapses_that_watch_the_neuron,
    sums_that_follow_each_other,
    sum_over_a_part,
    input_and_shunt,
    synapses_onto_synapses,
    stdp_in_two_pathways,
    stdp_that_others_change,
    events,
    event_after_the_spike,
    reset_with_its_threshold,
    pathway_with_its_threshold,
    gated_by_what_a_threshold_sets,
]
FREE = [
    operations_that_only_add,
    operations_on_other_parts,
    operations_that_share_a_local_name,
    linked_to_what_does_not_change,
    summed_variable,
    sums_over_two_parts,
    inputs_that_add_up,
    input_and_shunt_of_other_cells,
    stdp,
    stdp_with_a_pathway_beside,
    poisson_input_and_operation,
    events_that_do_not_meet,
]


@pytest.mark.parametrize("build", TIED)
def test_a_tie_that_matters_is_reported(build):
    assert ties(build)
    assert differing(build, steps=20)


@pytest.mark.parametrize("build", FREE)
def test_a_tie_that_does_not_matter_is_not_reported(build):
    assert differing(build, steps=20) == []
    assert ties(build) == []


@pytest.mark.parametrize(
    "build",
    [
        two_operations,
        linked_variable,
        sum_over_a_part,
        synapses_onto_synapses,
        event_after_the_spike,
        reset_with_its_threshold,
        pathway_with_its_threshold,
    ],
)
@pytest.mark.agrees("Schedule: order by name where slot and order are the same")
def test_the_surrogate_resolves_ties_as_brian2_does(build):
    assert agree(Network(*build()), 40).bit_equal


STATEMENTS = st.sampled_from(
    "x = 2*y|x = 2*x|x += y|x += 1|x -= 0.3*z|x *= 1.5|x /= z + 3|y = x + z|y += 2|y *= x|z = 1|z -= x|"
    "tmp = 2*x; z = 3*tmp|k += 1|k = 3 - k|y = 0.1*k|v += 0.01|x = 0.1*x**2|I = 0.5*v".split("|")
)


@settings(max_examples=20)
@given(st.lists(STATEMENTS, min_size=1, max_size=3), st.lists(STATEMENTS, min_size=1, max_size=3))
def test_two_operations_without_a_tie_commute(first, second):
    def build():
        group = cells()
        group.run_regularly("\n".join(first), name="a")
        group.run_regularly("\n".join(second), name="b")
        return [group]

    assert ties(build) or differing(build) == []


# -- words --------------------------------------------------------------------------------------------


def test_a_tie_in_words():
    model = capture(Network(*two_operations()), {})
    (text,) = ties_of(program_of(model, rebuild(model)))
    assert text == (
        "cells_run_regularly changes cells.x, which cells_run_regularly_1 uses afterwards; "
        "cells_run_regularly uses cells.y, which cells_run_regularly_1 changes afterwards "
        "(both in slot 'start', order 0)"
    )
    (tie,) = ties(pathway_with_its_threshold)
    assert (tie.first, tie.second) == ("a_link_pre", "cells_spike_thresholder")
    assert tie.shared == {"the event cells.spike": "used first"}
    (tie,) = ties(synapses_that_watch_the_neuron)
    assert (tie.first, tie.second) == ("cells_stateupdater", "links_stateupdater")
    assert tie.shared == {"cells.v": "changed first"}


def test_an_order_of_its_own_settles_a_tie():
    def build():
        group = cells()
        group.run_regularly("x = 2*y")
        group.run_regularly("y = x + 1", order=1)
        return [group]

    assert ties(build) == []
    assert differing(build) == []
