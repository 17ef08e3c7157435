"""Which back end takes the steps, and what both refuse."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.kernels import call
from brianbridge.surrogate import backends
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.differentiation import trained

RECORD = ["cells.v", "cells"]


@pytest.fixture
def said(monkeypatch):
    """Lines for the user, also those that were logged once before."""
    lines = []
    monkeypatch.setattr(backends.logger, "info", lambda line, **options: lines.append(line))
    return lines


def cells_of(extra="", n=3):
    cells = NeuronGroup(
        n,
        f"dv/dt = (drive - v)/(4*ms) : 1\ndrive : 1 (constant)\n{extra}",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
    )
    cells.drive = "1.2 + 0.1*i"
    return cells


def model_of(extra="", **namespace):
    return trained(Network(cells_of(extra)), ("cells", "drive"), namespace=namespace)


@implementation("torch", lambda x: torch.tanh(x))
@check_units(x=1, result=1)
def squashed(x):
    return np.tanh(x)


def simulate(surrogate, record=RECORD, **options):
    return surrogate(duration=10 * surrogate.dt, record=record, **options)


# -- where kernels cannot go ----------------------------------------------------------------------------


def test_a_record_that_cannot_be_compiled_slows_only_its_own_simulation(said):
    surrogate = Surrogate(model_of("seen = squashed(v) : 1", squashed=squashed), FastSigmoid(width=0.3))
    for _ in range(2):
        simulate(surrogate, ["cells.seen"])
        assert surrogate.backend == "eager"
        simulate(surrogate)
        assert surrogate.backend == "compiled"
    assert len(said) == 1 and "is written for PyTorch" in said[0]


def test_a_surrogate_that_is_moved():
    """The device meta stands for a graphics card."""
    surrogate = Surrogate(model_of())
    assert surrogate.backend == "compiled"
    assert surrogate.to("meta").backend == "eager"
    insisting = Surrogate(model_of(), backend="compiled").to("meta")
    with pytest.raises(ValueError, match="backend='compiled' is not possible: the device 'meta' runs in PyT"):
        simulate(insisting)


@pytest.mark.parametrize("option", ["exact", "smooth"])
def test_modes_of_pytorch_are_named(option, said):
    surrogate = Surrogate(model_of(), FastSigmoid(width=0.3), dtype=torch.float64, **{option: True})
    simulate(surrogate), simulate(surrogate)
    (line,) = said
    assert f"{option}=True runs in PyTorch" in line
    Surrogate(model_of(), FastSigmoid(width=0.3), dtype=torch.float64, backend="eager", **{option: True})
    surrogate.twin()
    assert len(said) == 1


def test_other_devices_are_named(said):
    Surrogate(model_of(), device="meta")
    (line,) = said
    assert "device 'meta' runs in PyTorch" in line


def test_steppers_are_named(said):
    surrogate = Surrogate(model_of())
    for _ in range(2):
        surrogate.stepper(3).step()
    (line,) = said
    assert "Surrogate.stepper runs in PyTorch" in line
    assert surrogate.backend == "compiled"
    with pytest.raises(ValueError, match="backend='compiled' has no stepper"):
        Surrogate(model_of(), backend="compiled").stepper(3)
    Surrogate(model_of(), backend="eager").stepper(3)
    assert len(said) == 1


# -- segments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("segment", [0, -3, 2.5, "all", np.int64(0), np.zeros(2)])
def test_segments_that_are_none(segment):
    with pytest.raises(ValueError, match="segment=.* is not a number of steps from 1 on, 'auto' or None"):
        Surrogate(model_of(), segment=segment)


@pytest.mark.parametrize("segment", [4, np.int64(4), np.uint8(4)])
@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_segments_by_any_whole_number(segment, backend, monkeypatch):
    lengths = []

    class Watched(call.Problem):
        def __init__(self, **options):
            super().__init__(**options)
            lengths.append(self.segment)

    monkeypatch.setattr(call, "Problem", Watched)
    surrogate = Surrogate(model_of(), FastSigmoid(width=0.3), segment=segment, backend=backend)
    simulate(surrogate)["cells.v"].sum().backward()
    assert lengths == ([4] if backend == "compiled" else [])


# -- given spikes ---------------------------------------------------------------------------------------


def driven(dt=None):
    given = SpikeGeneratorGroup(2, [0, 1], [0, 1] * ms, dt=dt, name="given")
    cells = cells_of()
    there = Synapses(given, cells, "w : 1", on_pre="v_post += w", name="there")
    there.connect()
    there.w = 0.1
    return trained(Network(given, cells, there), ("there", "w"))


@pytest.mark.parametrize("backend", ["compiled", "eager"])
@pytest.mark.parametrize("value", [2, 0.3, -1])
def test_given_spikes_are_zero_or_one(value, backend):
    surrogate, spikes = Surrogate(driven(), backend=backend), np.zeros((10, 1, 2))
    spikes[3, 0, 1] = 1
    surrogate({"given": spikes})
    spikes[4, 0, 0] = value
    with pytest.raises(ValueError, match=rf"spikes of given are 1 where .* but contain {value}\. .* at most"):
        surrogate({"given": spikes})


@pytest.mark.parametrize("given", [False, True])
def test_a_piece_that_is_shorter_than_the_step_of_a_generator(given):
    found, model = {}, driven(dt=1 * ms)
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(model, dtype=torch.float64, backend=backend)
        options = {"inputs": {"given": np.ones((3, 1, 2))}} if given else {}
        first = surrogate(duration=0.5 * ms, record=RECORD, **options)
        second = surrogate(duration=0.3 * ms, record=RECORD, initial=first.final, **options)
        third = surrogate(duration=0.5 * ms, record=RECORD, initial=second.final, **options)
        found[backend] = torch.cat([piece["cells.v"] for piece in (first, second, third)]).detach()
    assert len(found["eager"]) == 13
    torch.testing.assert_close(found["compiled"], found["eager"], rtol=1e-12, atol=0)
