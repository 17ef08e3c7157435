"""Kernels in C: threads, segments, precision, optimised code, and memory."""

import gc
import os
from functools import cache
from pathlib import Path

import brian2
import numpy as np
import pytest
import torch
from brian2 import ms

from brianbridge.kernels import compiler
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box
from tests.agreement.backends import assert_gradients_agree
from tests.agreement.differentiation import trained
from tests.typical_networks import NAMES, TYPICAL

STEPS = 60
RECORD = ["cells.v", "cells"]


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def slowly(name):
    return pytest.param(name, marks=pytest.mark.slow)


@cache
def typical(name):
    """Model and spike gradient, made once."""
    brian2.start_scope()
    brian2.defaultclock.dt = 0.4 * ms
    brian2.seed(4)
    np.random.seed(4)
    return TYPICAL[name]()


@cache
def surrogate_of(name, segment="auto", dtype=torch.float64, backend="compiled"):
    model, gradient = typical(name)
    return Surrogate(model, gradient, dtype=dtype, segment=segment, backend=backend)


def run(surrogate, steps=STEPS, batch=5, record=RECORD, **options):
    return surrogate(duration=steps * surrogate.dt, record=record, **{"seed": 3, "batch": batch, **options})


def loss_of(records):
    """A number that depends on every recorded value in a different way."""
    scaled = [records[name].double() / (records[name].detach().abs().max() or 1) for name in RECORD]
    values = torch.cat(scaled, -1)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return (values * weights).sum()


def gradients_of(surrogate, loss):
    parameters = surrogate.named_values()
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    return dict(zip(parameters, found))


def assert_near(found, expected, tolerance):
    """The same to a part of the largest element of each parameter."""
    for name, value in expected.items():
        assert value.abs().max() > 0, f"{name} has no gradient"
        far = ((found[name].double() - value.double()).abs().max() / value.abs().max()).item()
        assert far <= tolerance, f"the gradient of {name} differs by {far:.3g}"


def assert_same(found, expected):
    assert all(torch.equal(found[name], value) for name, value in expected.items())


# -- threads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("name", NAMES)
def test_threads_change_nothing(name, dtype):
    surrogate, forward, gradients = surrogate_of(name, dtype=dtype), {}, {}
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for _ in range(2):
            records = run(surrogate)
            forward.setdefault(threads, []).append({k: records[k].detach() for k in RECORD})
            gradients.setdefault(threads, []).append(gradients_of(surrogate, loss_of(records)))
    assert forward[1][0]["cells"].sum() > 5
    for threads in (1, 2, 3):
        assert_same(forward[threads][0], forward[1][0])
        assert_same(forward[threads][1], forward[1][0])
        assert_same(gradients[threads][1], gradients[threads][0])
        assert_near(gradients[threads][0], gradients[1][0], 1e-12 if dtype == torch.float64 else 1e-4)


# -- segments, and simulations in pieces ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_segments_give_the_same_gradients(name):
    expected = gradients_of(surrogate_of(name), loss_of(run(surrogate_of(name))))
    for segment in (None, 1, 7, STEPS - 1, 2 * STEPS):
        surrogate = surrogate_of(name, segment)
        assert_near(gradients_of(surrogate, loss_of(run(surrogate))), expected, 1e-12)


@pytest.mark.parametrize("segment", [None, 7])
@pytest.mark.parametrize("name", NAMES)
def test_two_pieces_are_one(name, segment):
    """Gradients pass through the state in between, and through events that are under way."""
    surrogate = surrogate_of(name, segment)
    whole = run(surrogate, 2 * STEPS)
    first = run(surrogate)
    second = run(surrogate, initial=first.final, seed=None, batch=None)
    for key in RECORD:
        assert torch.equal(torch.cat([first[key], second[key]]), whole[key])
    expected = gradients_of(surrogate, (whole["cells.v"][STEPS:] ** 2).sum())
    assert_near(gradients_of(surrogate, (second["cells.v"] ** 2).sum()), expected, 1e-12)


def test_a_piece_after_a_detached_one():
    surrogate = surrogate_of("LIF with delays")
    first = run(surrogate)
    second = run(surrogate, initial=first.final.detach(), seed=None, batch=None)
    loss_of(second).backward()
    assert torch.isfinite(surrogate.named_values()["rec.w"].grad).all()


@pytest.mark.parametrize("segment", [None, 7])
@pytest.mark.parametrize("name", NAMES)
def test_backward_twice(name, segment):
    surrogate = surrogate_of(name, segment)
    records = run(surrogate)
    loss = loss_of(records)
    first = gradients_of(surrogate, loss)
    other = gradients_of(surrogate, records["cells.v"][-1].sum())
    assert_same(gradients_of(surrogate, loss), first)
    assert any(not torch.equal(other[key], first[key]) for key in first)


def test_two_simulations_before_their_backward_passes():
    surrogate = surrogate_of("short-term plasticity")
    alone = [
        gradients_of(surrogate, loss_of(run(surrogate, batch=b, steps=s))) for b, s in ((5, 60), (5, 31))
    ]
    first, second = (loss_of(run(surrogate, batch=b, steps=s)) for b, s in ((5, 60), (5, 31)))
    assert_same(gradients_of(surrogate, second), alone[1])
    assert_same(gradients_of(surrogate, first), alone[0])


# -- precision and optimisation -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_single_precision(name):
    double, single = (surrogate_of(name, dtype=dtype) for dtype in (torch.float64, torch.float32))
    noise = run(double, 25).noise
    ours, theirs = (run(s, 25, noise=noise, batch=None if noise else 5) for s in (single, double))
    torch.testing.assert_close(ours["cells.v"].double(), theirs["cells.v"], rtol=1e-4, atol=1e-5)
    assert_near(gradients_of(single, loss_of(ours)), gradients_of(double, loss_of(theirs)), 1e-3)


@pytest.mark.parametrize("name", [n if n in ("STDP", "dense") else slowly(n) for n in TYPICAL])
def test_optimised_code(name, monkeypatch):
    monkeypatch.setattr(compiler, "OPTIMISATION", "-O3")
    model, gradient = typical(name)
    assert_gradients_agree(model, gradient, RECORD, STEPS, batch=5)
    single = Surrogate(model, gradient, backend="compiled")
    eager = surrogate_of(name, dtype=torch.float32, backend="eager")
    ours, theirs = (run(s, 25) for s in (single, eager))
    torch.testing.assert_close(ours["cells.v"], theirs["cells.v"], rtol=1e-3, atol=1e-5)
    found = gradients_of(single, loss_of(ours))
    assert_near(found, gradients_of(eager, loss_of(theirs)), 1e-3)
    torch.set_num_threads(2)
    again = run(single, 25)
    assert_same({key: again[key] for key in RECORD}, {key: ours[key] for key in RECORD})
    assert_near(gradients_of(single, loss_of(again)), found, 1e-4)


# -- what random networks brought to light ----------------------------------------------------------------


def test_given_events_that_set_a_variable_to_a_constant():
    source = brian2.SpikeGeneratorGroup(2, [0, 1, 0], [0.5, 1, 2] * ms, name="source")
    cells = brian2.NeuronGroup(3, "dv/dt = (x - v)/(3*ms) : 1\nx : 1", method="euler", name="cells")
    cells.v, cells.x = "rand()", "rand()"
    there = brian2.Synapses(source, cells, on_pre="x_post = 0.4", name="there")
    there.connect(i=[0, 1], j=[0, 2])
    model = trained(brian2.Network(source, cells, there), ("cells", "v"), ("cells", "x"), namespace={})
    assert_gradients_agree(model, None, ["cells.v", "cells.x"], 30)


def spiking(equations, **options):
    """Five neurons that spike, with a variable x that may be trained."""
    cells = brian2.NeuronGroup(
        5,
        f"dv/dt = (15 + 0.1*x - v)/(2*ms) : 1\nx : 1\n{equations}",
        threshold="v > 1",
        reset="v = 0",
        refractory=1 * ms,
        method="euler",
        name="cells",
        **options,
    )
    cells.x = "0.5 + i"
    return cells


def test_a_record_in_double_precision():
    """What is made of the time of the last spike is in double precision, and so is its gradient."""
    cells = spiking("y = x*exp(-(t - lastspike)/(5*ms)) : 1\nz = 2*y : 1")
    model = trained(brian2.Network(cells), ("cells", "x"), namespace={})
    found = {}
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(model, Box(width=0.3), backend=backend)
        records = run(surrogate, record=["cells.v", "cells.y", "cells.z"])
        assert records["cells.y"].dtype == torch.float64
        found[backend] = gradients_of(surrogate, (records["cells.y"] ** 2).sum() + records["cells.v"].sum())
    assert_near(found["compiled"], found["eager"], 1e-5)


def test_a_value_in_double_precision_that_another_loop_uses():
    cells = spiking("z : 1\nother : 1 (linked)")
    cells.other = brian2.linked_var(cells, "v", index=np.arange(5)[::-1])
    cells.run_regularly("q = x*exp(-(t - lastspike)/(5*ms)); v = 0.5*other + 0.01*q; z = q*v")
    model = trained(brian2.Network(cells), ("cells", "x"), namespace={})
    assert_gradients_agree(model, Box(width=0.3), ["cells.v", "cells.z"], STEPS, batch=3)


def test_gradients_of_remainders_that_rounding_hides():
    cells = brian2.NeuronGroup(41, "dv/dt = (v % y)/second : 1\ny : 1", method="euler", name="cells")
    cells.v, cells.y = "0.1*(i - 20)", 0.1
    model = trained(brian2.Network(cells), ("cells", "v"), ("cells", "y"), namespace={})
    assert_gradients_agree(model, None, ["cells.v"], 3)


# -- memory -----------------------------------------------------------------------------------------------

MANY_STEPS = 400  # about 2 MB to be kept for the backward pass
MOST_GROWTH = 20e6  # bytes; 20 simulations that were kept would be 46 MB


def memory():
    """Bytes that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grows_by(action):
    for _ in range(3):
        action()
    before = memory()
    for _ in range(20):
        action()
    return memory() - before


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")


@needs_proc
@pytest.mark.parametrize("segment", [None, 50])
def test_no_leak(segment):
    surrogate = surrogate_of("AdEx", segment)
    assert grows_by(lambda: loss_of(run(surrogate, MANY_STEPS)).backward()) < MOST_GROWTH


@needs_proc
def test_simulations_without_a_backward_pass_give_their_memory_back():
    surrogate = surrogate_of("AdEx", None)
    assert grows_by(lambda: run(surrogate, MANY_STEPS)) < MOST_GROWTH
    assert grows_by(lambda: run(surrogate, MANY_STEPS).final) < MOST_GROWTH


@needs_proc
def test_many_graphs_at_once_give_their_memory_back():
    surrogate = surrogate_of("AdEx", None)
    assert grows_by(lambda: [run(surrogate, MANY_STEPS // 5) for _ in range(10)]) < MOST_GROWTH


def test_a_threshold_of_two_comparisons():
    """A gradient reaches a neuron that is near one of the two."""
    cells = brian2.NeuronGroup(
        30,
        "dv/dt = (i/10 + I - v)/(5*ms) : 1\nI : 1",
        threshold="v > 1 and v < 2.5",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.v = "i/10"
    synapses = brian2.Synapses(cells, cells, "w : 1", on_pre="I_post += w", name="synapses")
    synapses.connect()
    synapses.w = "0.01*(1 + i % 3)"
    model = trained(brian2.Network(cells, synapses), ("synapses", "w"))
    assert_gradients_agree(model, Box(width=0.4), ["cells.v"], 40)


def test_the_generated_step_can_be_read():
    model, gradient = typical("dense")
    surrogate = Surrogate(model, gradient)
    assert "def step(" in surrogate.source("eager")
    kernel = surrogate.source()
    assert all(f"/* {name} */" in kernel for name in ("cells_stateupdater", "cells_spike_resetter"))
    run(surrogate, record=["cells.v"])
    assert surrogate.source("compiled") != kernel, "what is recorded belongs to the kernel"
    with pytest.raises(ValueError, match="backend='c' is not one of"):
        surrogate.source("c")


def test_without_a_kernel_there_is_none_to_read():
    model, gradient = typical("dense")
    surrogate = Surrogate(model, gradient, dtype=torch.float64, exact=True)
    assert surrogate.source() == surrogate.source("eager")
    with pytest.raises(ValueError, match="there is no step in C"):
        surrogate.source("compiled")
