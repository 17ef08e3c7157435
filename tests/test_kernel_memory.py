"""What kernels keep for the backward pass: memory that others may change, and how much of it there is."""

import pytest
import torch
from brian2 import *

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
