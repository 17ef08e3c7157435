"""Synapses whose state is a linear filter: without a tape, the gradients are those of the eager step."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.kernels import sorted_synapses
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid
from tests.agreement.backends import assert_gradients_agree
from tests.agreement.differentiation import trained

STEPS = 75  # more than filters.c takes at once, forward and back
SLOPE = FastSigmoid(width=0.3, height=0.3)
RECORD = ["target.v", "target"]
DECAYING = """ds/dt = -s/tau : 1 (clock-driven)
w : 1 (constant)
tau : second (constant)
"""


@pytest.fixture(autouse=True)
def few_synapses_are_sorted(monkeypatch):
    monkeypatch.setattr(sorted_synapses, "FEWEST", 1)


def neurons(n, name):
    cells = NeuronGroup(
        n,
        """dv/dt = (drive - v + I)/tau_m : 1
        drive : 1
        tau_m : second (constant)
        share : 1 (constant)
        I : 1""",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name=name,
    )
    cells.v, cells.drive, cells.tau_m = "0.9*rand()", "1.1 + 0.4*rand()", "(2 + 2*rand())*ms"
    cells.share = "0.5 + rand()"
    return cells


def network(equations, on_pre, p=0.4, delay=None, times=1, method="euler", n=21, m=17):
    """Neurons that spike, and others that get what decaying synapses make of it, and answer."""
    source, target = neurons(n, "source"), neurons(m, "target")
    there = Synapses(source, target, equations, on_pre=on_pre, method=method, name="there")
    back = Synapses(target, source, "u : 1 (constant)", on_pre="v_post += u", name="back")
    i, j = np.nonzero(np.random.default_rng(5).random((n, m)) < p)
    there.connect(i=np.tile(i, times), j=np.tile(j, times))
    back.connect()
    there.w, there.tau, there.s = "0.3*(rand() - 0.4)", "(1 + 5*rand())*ms", "0.2*rand()"
    back.u = "0.1*(rand() - 0.5)"
    if delay is not None:
        there.delay = delay
    names = [("there", name) for name in ("w", "tau", "s")]
    names += [("source", "drive"), ("source", "share"), ("target", "tau_m"), ("back", "u")]
    return trained(Network(source, target, there, back), *names)


def filters_of(model, record=RECORD):
    """How many filters a kernel has."""
    surrogate = Surrogate(model, SLOPE, dtype=torch.float64, backend="compiled")
    surrogate(duration=surrogate.dt, record=record)
    (kernel,) = surrogate._backend.kernels.values()
    return kernel.source.filters


SUM = "I_post = s : 1 (summed)"
FILTERS = {
    "jumps by what is trained": (DECAYING + SUM, "s += w*(1*ms)/tau"),
    "sum with weights": (DECAYING + "I_post = w*s : 1 (summed)", "s += 1"),
    "all at once": (DECAYING + "I_post = w*s/tau*ms : 1 (summed)", "s += 0.5 + w*tau/ms"),
    "constants of the neurons": (
        DECAYING.replace("s/tau", "s/(tau + share_pre*ms)") + "I_post = s*share_pre : 1 (summed)",
        "s += w*share_pre",
    ),
}


@pytest.mark.parametrize("kind", FILTERS)
def test_gradients(kind):
    model = network(*FILTERS[kind])
    assert filters_of(model) == 1
    assert_gradients_agree(model, SLOPE, RECORD, STEPS, batch=3)


@pytest.mark.parametrize("delay", [0.3 * ms, "3*ms*rand()"])
@pytest.mark.parametrize("kind", ["sum with weights", "jumps by what is trained"])
def test_delays_and_a_compact_spike_gradient(kind, delay):
    model = network(*FILTERS[kind], delay=delay)
    assert filters_of(model) == 1
    assert_gradients_agree(model, Box(width=0.5, height=0.5), RECORD, STEPS)


@pytest.mark.parametrize("connections", [{"p": 1}, {"p": 0.05}, {"times": 2}, {"n": 1}, {"m": 1}])
def test_connections(connections):
    model = network(*FILTERS["all at once"], **{"p": 0.7} | connections)
    assert filters_of(model) == 1
    assert_gradients_agree(model, SLOPE, RECORD, 40)


def test_exact_integration():
    model = network(*FILTERS["jumps by what is trained"], method="exact")
    assert filters_of(model) == 1
    assert_gradients_agree(model, SLOPE, RECORD, STEPS)


def test_segments_and_the_state_at_the_end():
    """Continued from where a run has ended: the gradient passes through the states of the synapses."""
    model = network(*FILTERS["sum with weights"], delay="2*ms*rand()")
    found = {}
    for backend, segment in (("compiled", 13), ("compiled", None), ("eager", None)):
        surrogate = Surrogate(model, SLOPE, dtype=torch.float64, backend=backend, segment=segment)
        first = surrogate(duration=45 * surrogate.dt, record=RECORD)
        second = surrogate(duration=31 * surrogate.dt, record=RECORD, initial=first.final)
        (second["target.v"] ** 2).sum().backward()
        found[backend, segment] = [raw.grad for raw in surrogate.parameters() if raw.grad is not None]
    *ours, expected = found.values()
    for gradients in ours:
        for gradient, reference in zip(gradients, expected, strict=True):
            assert (gradient - reference).abs().max() <= 1e-9 * reference.abs().max()


def test_single_precision():
    """Nearby targets of single precision are found in another way than those far apart."""
    for n, m, p in ((40, 60, 0.5), (20, 900, 0.05)):
        model = network(*FILTERS["jumps by what is trained"], n=n, m=m, p=p)
        found = {}
        for dtype in (torch.float32, torch.float64):
            surrogate = Surrogate(model, Box(width=0.5, height=0.3), dtype=dtype, backend="compiled")
            records = surrogate(duration=40 * surrogate.dt, record=RECORD)
            (records["target.v"] ** 2).sum().backward()
            found[dtype] = [raw.grad for raw in surrogate.parameters() if raw.grad is not None]
        for ours, expected in zip(*found.values(), strict=True):
            assert (ours - expected).norm() <= 1e-4 * expected.norm()


def test_only_the_second_of_two_filters_has_a_gradient():
    """The first carries given spikes through weights that are not trained."""
    given = SpikeGeneratorGroup(9, np.arange(9), np.arange(9) * 0.3 * ms, name="a_given")
    source, target = neurons(9, "source"), neurons(7, "target")
    groups = []
    for name, sender, variable in (("a_first", given, "I"), ("b_second", source, "drive")):
        equations = DECAYING + f"{variable}_post = s : 1 (summed)"
        group = Synapses(sender, target, equations, on_pre="s += w", method="euler", name=name)
        group.connect()
        group.w, group.tau, group.s = "0.3*rand()", "(1 + 5*rand())*ms", "0.2*rand()"
        groups.append(group)
    names = [("b_second", "w"), ("b_second", "tau"), ("source", "drive")]
    model = trained(Network(given, source, target, *groups), *names)
    assert filters_of(model) == 2
    assert_gradients_agree(model, SLOPE, RECORD, STEPS)


OTHERS = {
    "nonlinear decay": (DECAYING.replace("-s/tau", "-s**2/tau") + SUM, "s += w"),
    "driven": (DECAYING.replace("-s/tau", "(0.1 - s)/tau") + SUM, "s += w"),
    "changing decay": (DECAYING.replace("-s/tau", "-s*v_post/tau") + SUM, "s += w"),
    "saturating jump": (DECAYING + SUM, "s += w*(1 - s)"),
    "changing jump": (DECAYING + SUM, "s += w*v_post"),
    "changing sum": (DECAYING + "I_post = s*(1 - v_post) : 1 (summed)", "s += w"),
    "set": (DECAYING + SUM, "s = w"),
    "two changes": (DECAYING + SUM + "\nx : 1", "s += w; x += 1"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_linear_filter_has_a_tape(kind):
    assert filters_of(network(*OTHERS[kind])) == 0


def test_a_recorded_state_is_none():
    model = network(*FILTERS["sum with weights"])
    assert filters_of(model, [*RECORD, "there.s"]) == 0
    assert_gradients_agree(model, SLOPE, [*RECORD, "there.s"], 30)
