"""Subgroups as source, target, in sums, in connections, with code of their own and under monitors."""

import numpy as np
import pytest
from brian2 import *

from tests.agreement.comparison import agree


def cells(n, name, extra=""):
    group = NeuronGroup(
        n,
        f"dp/dt = rate : 1\nrate : Hz\nv : 1\ntwice = 2*v : 1\nlevel : 1 (shared)\n{extra}",
        threshold="p > 1",
        reset="p -= 1",
        method="euler",
        name=name,
    )
    group.rate, group.p, group.v, group.level = "(150 + 20*i)*Hz", "(i % 4)*0.25", "0.1*i", 0.5
    return group


def test_spikes_from_and_to_subgroups():
    source, target = cells(10, "source"), cells(12, "target")
    inner = source[2:9][1:5]  # of a subgroup
    pairs = [
        (source[1:6], target[10:]),
        (source[9:], target),
        (inner, target[[4, 5, 6]]),
        (target[-3:], source[3]),
    ]
    network = Network(source, target)
    for number, (first, second) in enumerate(pairs):
        synapses = Synapses(
            first,
            second,
            "w : 1\nwithin = 0.01*(i + 2*j + N_pre - N_post) : 1",
            on_pre="v_post += w + 0.01*within + 0.01*twice_pre",
            on_post={"after": "w = 0.9*w + 0.001*i + 0.01*level_pre"},
            name=f"s{number}",
        )
        synapses.connect()
        synapses.w = "0.01*(i + j) + 0.001*v_pre"
        synapses.pre.delay = "abs(i - j)*0.2*ms"
        synapses.after.delay = 0.3 * ms
        network.add(synapses)
    result = agree(network, 150)
    assert min(result.spikes.values()) > 10


@pytest.mark.agrees("Neurons: subgroups under monitors")
def test_subgroups_without_a_name_or_a_reference():
    group = cells(8, "group")
    synapses = Synapses(group[:3], group[4:], on_pre="v_post += 0.1*twice_post - 0.05", name="synapses")
    synapses.connect(condition="i == j or v_pre > 0.1")
    record = [
        StateMonitor(group[2:5], "v", record=0),
        SpikeMonitor(group[1:]),
        PopulationRateMonitor(group[:2]),
    ]
    result = agree(Network(group, synapses, record), 100)
    np.testing.assert_array_equal(record[0].v[0][1:], result.records["group.v"][:-1, 0, 2])


CONNECTIONS = [
    dict(i=2, j=2),
    dict(condition="v_pre > 0.2 or i == 2 and j == 4"),
    dict(condition="v_post < 1.2", p=0.7),
    dict(j="i + k for k in range(N_post - i)"),
    dict(j="k for k in range(N_post * int(v_pre > 0.2)) if v_post > 0.9", n=2),
    dict(j="k for k in sample(N_post, p=0.5*int(v_pre > 0.1))"),
    dict(condition="True", n="i"),
]


def test_connections_that_look_at_the_variables_of_subgroups():
    source, target = cells(9, "source"), cells(14, "target")
    network = Network(source, target)
    for number, arguments in enumerate(CONNECTIONS):
        synapses = Synapses(source[1:6], target[8:], "w : 1", on_pre="v_post += w", name=f"s{number}")
        synapses.connect(**arguments)
        assert len(synapses), arguments
        synapses.w = "0.01*v_post + 0.02*i"
        synapses.w[source[2:4], target[9:12]] = 0.1
        synapses.w["j > 3"] = "0.01*j"
        network.add(synapses)
    agree(network, 100)


@pytest.mark.agrees("Synapses: sums into subgroups")
def test_sums_into_a_part_leave_the_rest_alone():
    source, target = cells(4, "source"), cells(9, "target", "I : 1\nJ : 1")
    target.I, target.J = "10 + i", "20 + i"
    network = Network(source, target)
    for number, part in enumerate((target[1:2], target[3:5])):
        synapses = Synapses(
            source[number:],
            part,
            "x : 1\nI_post = x*v_pre + 0.1*twice_post : 1 (summed)",
            on_pre="x += 0.1",
            name=f"s{number}",
        )
        synapses.connect(n=1 + number)
        synapses.x = "i + 0.1*j"
        network.add(synapses)
    into_source = Synapses(
        target[2:7], source[1:3], "level_sum = v_pre + i : 1", on_pre="v_post += level_sum"
    )
    into_source.connect()
    network.add(into_source)
    result = agree(network, 60)
    last = result.records["target.I"][-1, 0]
    np.testing.assert_array_equal(last[[0, 2, 5, 8]], [10, 12, 15, 18])


def test_regular_code_of_subgroups():
    group = NeuronGroup(10, "n : integer\nx : 1\ndv/dt = (x - v)/ms : 1", method="euler", name="group")
    group.run_regularly("n += 16")
    first, second = group[:2], group[2:6]
    first.run_regularly("n += 8; x = i")
    second.run_regularly("x = 0.1*rand() + i*v", dt=0.3 * ms)
    group[4:8].run_regularly("n += 2*i", when="end")
    second[1:3].run_regularly("n += 100", dt=1 * ms)
    agree(Network(group), 40)


def test_values_assigned_through_subgroups():
    group = cells(10, "group")
    part = group[3:7]
    part.v = "v + i*0.1"
    part.v["i == 0"] = 2
    part.v[1:3] = [0.3, 0.4]
    part.rate *= 2
    group.p[part] = "0.5*p"
    group[2:6][1:2].v = 0.7
    part.v_ += 0.01
    assert agree(Network(group), 60).total_spikes > 5
