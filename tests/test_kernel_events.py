"""Pathways in C whose events cannot all be delivered at once: turns, assignments, events under way."""

import brian2
import numpy as np
import pytest
import torch
from brian2 import Network, NeuronGroup, Synapses, ms

from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid
from tests.agreement.backends import assert_gradients_agree
from tests.agreement.differentiation import trained
from tests.agreement.test_lockstep import assert_lockstep

RECORD = ["cells.v", "cells.x", "cells"]
STEPS = 40

TAKING_TURNS = [
    "x_post += 0.3*(1 - x_post)",
    "x_post *= 1 - 0.1*x_post; y_post += w",
    "y_post += x_post; x_post = 0",
    "x_post = clip(x_post + 0.3, 0, 1); v_pre = 0.4",
    "v_post += 0.1*v_post; v_pre = 0.4",  # the same array at both ends
]
ASSIGNING = [
    "x_post = 0.4; y_post += w",
    "x_post = 0.3 + 0.2*v_post; x_post = 0.5; y_post += w",
    "x_post = 0.5; x_pre = 0.2",
    "y_post = 0.4*v_post; x_post += y_pre",
]
READING = [
    "x_post += w*x_pre",
    "x_post *= 1 + w*x_pre; y_pre += x_pre",
    "y_pre = v_pre; w = 0.9*y_pre*w; x_post += w",
]
SUMMING = ["x_post += w", "x_post += w; w = clip(w + 0.1*v_post, 0, 1)"]


def network(on_pre, delay="rand()*3*ms", p=0.4, refractory=False, n=13):
    """Recurrent neurons, with synapses onto oneself."""
    brian2.start_scope()
    brian2.defaultclock.dt = 0.2 * ms
    brian2.seed(3)
    np.random.seed(3)
    cells = NeuronGroup(
        n,
        f"""dv/dt = (drive + x + 0.1*y - v)/(5*ms) : 1
        dx/dt = -x/(3*ms) : 1 {"(unless refractory)" if refractory else ""}
        drive : 1
        y : 1""",
        threshold="v > 1",
        reset="v = 0",
        refractory=refractory,
        method="euler",
        name="cells",
    )
    cells.v, cells.x, cells.y, cells.drive = "0.95*rand()", "0.2*rand()", "0.1*rand()", "1.1 + 0.4*rand()"
    synapses = Synapses(cells, cells, "w : 1", on_pre=on_pre, name="synapses")
    i, j = np.nonzero(np.random.rand(n, n) < p)
    synapses.connect(i=i, j=j)
    synapses.w, synapses.delay = "0.3*(rand() - 0.3)", delay
    return Network(cells, synapses)


def model_of(net):
    return trained(net, *(("cells", name) for name in ("v", "x", "y", "drive")), ("synapses", "w"))


def assert_backends_agree(model):
    assert assert_lockstep(model, 20) > 3
    for gradient in (FastSigmoid(width=0.3, height=0.3), Box(width=0.3)):
        assert_gradients_agree(model, gradient, RECORD, STEPS, batch=2)


@pytest.mark.parametrize("on_pre", TAKING_TURNS + ASSIGNING + READING + SUMMING)
def test_every_kind_of_statement(on_pre):
    assert_backends_agree(model_of(network(on_pre)))


def test_variables_that_stand_still_while_refractory():
    assert_backends_agree(model_of(network("x_post += 0.3*(1 - x_post)", refractory=1 * ms)))


@pytest.mark.parametrize("on_pre", [*SUMMING, TAKING_TURNS[0], ASSIGNING[2], READING[1]])
def test_events_under_way_at_the_start(on_pre):
    net = network(on_pre)
    net.run(8 * ms)
    model = model_of(net)
    assert len(model["synapses"].pathways[0].under_way) > 3
    assert_backends_agree(model)


def test_events_under_way_in_a_grid():
    net = network(SUMMING[0], delay="2*ms", p=1)
    net.run(8 * ms)
    assert_backends_agree(model_of(net))


@pytest.mark.parametrize("on_pre", [SUMMING[1], TAKING_TURNS[0], READING[1]])
def test_segments(on_pre):
    """What is recomputed is what was computed."""
    net, found = network(on_pre), []
    net.run(8 * ms)
    model = model_of(net)
    for segment in (None, 7):
        surrogate = Surrogate(model, FastSigmoid(width=0.3), dtype=torch.float64, segment=segment)
        records = surrogate(duration=STEPS * surrogate.dt, record=RECORD, batch=2, seed=1)
        (records["cells.v"] ** 2).sum().backward()
        values = surrogate.named_values().values()
        found.append([value.grad for value in values if value.grad is not None])
    for whole, parts in zip(*found):
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12 * float(whole.abs().max()))


def test_events_that_nothing_makes():
    net = network(SUMMING[0])
    net["cells"].thresholder["spike"].active = False
    model = model_of(net)
    assert Surrogate(model, backend="compiled")(duration=20 * ms, record="cells")["cells"].sum() == 0
    assert_gradients_agree(model, FastSigmoid(width=0.3), ["cells.v", "cells.x"], STEPS)


@pytest.mark.parametrize("on_pre", ["x_post += w", "x_post += w*v_post"])
@pytest.mark.parametrize("slot", ["synapses", "before_thresholds"])
def test_gradients_to_events_before_the_start(on_pre, slot):
    """With different delays; the events of the first piece arrive in the second."""
    net = network(on_pre, delay="0.4*ms + rand()*3*ms")
    net["synapses"].pre.when = slot
    model, found = model_of(net), []
    assert_gradients_agree(model, FastSigmoid(width=0.3), RECORD, STEPS, batch=2)
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(model, FastSigmoid(width=0.3), dtype=torch.float64, backend=backend)
        first = surrogate(duration=STEPS * surrogate.dt, batch=2)
        second = surrogate(duration=STEPS * surrogate.dt, record=RECORD, initial=first.final)
        (second["cells.v"] ** 2).sum().backward()
        found.append([value.grad for value in surrogate.named_values().values() if value.grad is not None])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))
