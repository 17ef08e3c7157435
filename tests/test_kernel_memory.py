"""What kernels keep for the backward pass: memory that others may change, and how much of it there is."""

import gc

import pytest
import torch
from brian2 import *

from brianbridge.kernels import kernel
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.differentiation import trained

# -- memory that others may change ----------------------------------------------------------------------


def driven(dtype=torch.float32, **options):
    stimulus = TimedArray(np.zeros((50, 3)), dt=0.1 * ms, name="stimulus")
    cells = NeuronGroup(
        3,
        "dv/dt = (gain*stimulus(t, i) - v)/(4*ms) : 1\ngain : 1 (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.gain = 1.5
    model = trained(Network(cells), ("cells", "gain"), namespace={"stimulus": stimulus})
    return Surrogate(model, FastSigmoid(width=0.3), dtype=dtype, **options)


def given(surrogate, **options):
    return torch.ones(50, 1, 3, dtype=surrogate.ops.dtype, **options)


@pytest.mark.parametrize("backend", ["compiled", "eager"])
@pytest.mark.parametrize("segment", [None, 7])
def test_an_input_that_changes_before_the_backward_pass(backend, segment):
    surrogate = driven(backend=backend, segment=segment)
    stimulus = given(surrogate)
    records = surrogate({"stimulus": stimulus}, record="cells.v")
    stimulus.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        records["cells.v"].sum().backward()


@pytest.mark.parametrize("segment", [None, 7])
def test_initial_states_and_final_ones_may_change(segment):
    """The backward pass does not read them."""
    surrogate, found = driven(segment=segment), []
    for factor in (1, 2):
        initial = torch.full((1, 3), 0.2)
        records = surrogate({"stimulus": given(surrogate)}, record="cells.v", initial={"cells.v": initial})
        initial.mul_(factor)
        records.final["cells.v"].detach().mul_(factor)
        (raw,) = surrogate.named_values().values()
        found.append(torch.autograd.grad(records["cells.v"].sum(), raw)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("segment", [None, 7])
def test_records_that_change_stay_changed(segment):
    surrogate, found = driven(segment=segment), []
    for factor in (1, 1e3):
        records = surrogate({"stimulus": given(surrogate)}, record="cells.v")
        loss, values = records["cells.v"].sum(), records["cells.v"].detach().numpy()
        values *= factor
        expected = values.copy()
        (raw,) = surrogate.named_values().values()
        found.append(torch.autograd.grad(loss, raw)[0])
        assert np.array_equal(values, expected)
    assert torch.equal(*found)


def test_second_derivatives_are_refused():
    surrogate = driven()
    records = surrogate({"stimulus": given(surrogate)}, record="cells.v")
    (raw,) = surrogate.named_values().values()
    (first,) = torch.autograd.grad((records["cells.v"] ** 2).sum(), raw, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


# -- what is on the tape --------------------------------------------------------------------------------


def recurrent(n=37):
    cells = NeuronGroup(
        n,
        "dv/dt = (1.5 + I - v)/tau : 1\ndI/dt = -I/(3*ms) : 1\ntau : second (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.tau, cells.v = "(4 + rand())*ms", "rand()"
    rec = Synapses(cells, cells, "w : 1 (constant)", on_pre="I_post += w", name="rec")
    rec.connect(condition="i != j", p=0.3)
    rec.w = "0.1*randn()"
    return trained(Network(cells, rec), ("cells", "tau"), ("rec", "w"))


def test_the_tape_has_what_the_backward_pass_reads():
    """Not what a spike adds to: before anybody reads it, the state update takes back an older value."""
    surrogate = Surrogate(recurrent(), FastSigmoid(width=0.3), backend="compiled")
    surrogate(duration=surrogate.dt, record="cells.v")
    (made,) = surrogate._backend.kernels.values()
    assert sorted(made.source.taped) == ["s_cells_I", "s_cells_v"]
    assert [array for _, array in made.source.at_reset] == ["s_cells_v"]


@pytest.mark.parametrize("make", [recurrent, lambda: plastic(1.5, n=20)])
def test_a_tape_that_does_not_fit_into_the_cache(make):
    """It is written otherwise than short ones, which segments have."""
    torch.manual_seed(1)
    model, found = make(), []
    for segment in (None, 40):
        surrogate = Surrogate(model, FastSigmoid(width=0.3), backend="compiled", segment=segment)
        records = surrogate(duration=6000 * surrogate.dt, record="cells.v", batch=2)
        raw = list(surrogate.named_values().values())
        found.append(torch.autograd.grad(records["cells.v"].square().mean(), raw))
    for whole, in_segments in zip(*found, strict=True):
        assert torch.isfinite(whole).all() and whole.any()
        assert torch.equal(whole, in_segments)


# -- how much memory ------------------------------------------------------------------------------------


def plastic(drive, n=60):
    """Spike-timing-dependent plasticity, whose synapses put what they change at events on the tape."""
    cells = NeuronGroup(
        n,
        "dv/dt = (drive - v)/(5*ms) : 1\ndrive : 1 (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.drive, cells.v = drive, "rand()"
    rec = Synapses(
        cells,
        cells,
        """w : 1
        dpre/dt = -pre/(20*ms) : 1 (event-driven)
        dpost/dt = -post/(20*ms) : 1 (event-driven)""",
        on_pre="v_post += 0.01*w\npre += 0.1\nw = clip(w - post, 0, 1)",
        on_post="post += 0.1\nw = clip(w + pre, 0, 1)",
        name="rec",
    )
    rec.connect(condition="i != j")
    rec.w = "rand()"
    return trained(Network(cells, rec), ("cells", "drive"), ("rec", "w"))


@pytest.fixture
def segments(monkeypatch):
    """Lengths of the segments of all simulations."""
    lengths, length_of = [], kernel.Kernel.segment_length
    monkeypatch.setattr(
        kernel.Kernel, "segment_length", lambda *a: lengths.append(length_of(*a)) or lengths[-1]
    )
    return lengths


STEPS = 400


def simulate(surrogate, batch=4):
    records = surrogate(duration=STEPS * surrogate.dt, record=["cells.v", "cells"], batch=batch)
    records["cells.v"].sum().backward()
    return records["cells"].sum().item()


def test_what_events_put_on_the_tape_is_counted(segments, monkeypatch):
    """At first as expected of neurons that spike at a usual rate, then as in the simulation before."""
    surrogate = Surrogate(plastic(1.5), FastSigmoid(width=0.3), backend="compiled")
    spikes = simulate(surrogate)
    assert segments == [STEPS] and spikes > 1500
    at_events = spikes * 59 * 2 * 8  # at least two numbers of each synapse before and behind the neuron
    monkeypatch.setattr(kernel, "WHOLE_TAPE", at_events)
    simulate(surrogate)
    assert segments[-1] < STEPS / 2
    fresh = Surrogate(surrogate.model, FastSigmoid(width=0.3), backend="compiled")
    monkeypatch.setattr(kernel, "EXPECTED_RATE", 0)
    simulate(fresh), simulate(fresh)
    assert segments[-2] == STEPS and segments[-1] < STEPS / 2
    silent = Surrogate(plastic(0.5), FastSigmoid(width=0.3), backend="compiled")
    monkeypatch.setattr(kernel, "EXPECTED_RATE", 500)
    simulate(silent), simulate(silent)
    assert segments[-2] < STEPS / 2 and segments[-1] == STEPS


def test_memory_is_given_back_with_the_last_surrogate():
    """A library keeps that of one simulation for the next one, but not longer than anybody can ask for it."""
    model = plastic(1.5)
    first, second = (Surrogate(model, FastSigmoid(width=0.3), backend="compiled") for _ in range(2))
    simulate(first), simulate(second)
    (made,) = first._backend.kernels.values()
    code = made.code
    del made
    assert code.has_spare()
    del first
    gc.collect()
    assert code.has_spare()
    del second
    gc.collect()
    assert not code.has_spare()


def test_memory_is_given_back_with_a_simulation_that_outlives_its_surrogate():
    surrogate = Surrogate(plastic(1.5), FastSigmoid(width=0.3), backend="compiled")
    records = surrogate(duration=STEPS * surrogate.dt, record="cells.v")
    (made,) = surrogate._backend.kernels.values()
    code = made.code
    del made, surrogate
    records["cells.v"].sum().backward()
    del records
    gc.collect()
    assert not code.has_spare()
