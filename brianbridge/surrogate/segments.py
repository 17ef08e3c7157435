"""Advance a simulation in segments, which the backward pass recomputes one after the other.

What is kept is the state between two segments. `torch.utils.checkpoint` would not do: in its recommended form
it keeps the graph of every step (more than 3 GB for 30 000 steps of 450 synapses), and in the other form no
gradient reaches what a segment has in common with the others.
"""

import math
from dataclasses import replace

import torch

from brianbridge.surrogate.feeding import rows_of
from brianbridge.surrogate.noise import GivenNoise

__all__ = ["advance_in_segments", "segment_length"]

KEPT_PER_STATE = 6  # tensors that autograd keeps per state array and step, roughly
UNSEGMENTED = 200e6  # bytes below which a run is not cut into segments


def segment_length(state, steps):
    """Steps between two kept states: all of them where memory is no concern, else about the root.

    Parameters
    ----------
    state : dict of str to Tensor or tuple of Tensor
    steps : int

    Returns
    -------
    int
    """
    size = sum(v.numel() * v.element_size() for v in state.values() if torch.is_tensor(v))
    if size * KEPT_PER_STATE * steps < UNSEGMENTED:
        return steps
    return max(1, math.isqrt(steps // KEPT_PER_STATE))


def advance_in_segments(generated, run, constants, length):
    """Take all steps of a run.

    Parameters
    ----------
    generated : GeneratedStep
    run : Run
    constants : tuple
        From its prelude.
    length : int
        Steps in a segment.

    Returns
    -------
    recorded : list of Tensor, shape (time, batch, n)
        One for each output of the program's records.
    state : tuple
        After the last step.
    """
    state = tuple(run.state[key] for key in generated.carried)
    recorded = [[] for record in generated.program.records for _ in record.outputs]
    end = run.first + run.steps
    for first in range(run.first, end, length):
        last = min(first + length, end)
        if length < run.steps and torch.is_grad_enabled():
            segment = _Segment(generated, run, constants, state, first, last)
            state, chunk = segment.split(_Recomputed.apply(segment, *segment.tensors))
        else:
            state, chunk = generated.advance(run, constants, state, first, last)
        for total, part in zip(recorded, chunk, strict=True):
            total.append(part)
    return [_joined(parts) for parts in recorded], state


class _Segment:
    """Some steps as a function of everything that a gradient may reach: states, constants, inputs, noise."""

    def __init__(self, generated, run, constants, state, first, last):
        self.generated, self.run, self.constants = generated, run, constants
        self.first, self.last = first, last
        self.inputs = [name for name, value in run.inputs.items() if value.requires_grad]
        self.noise = [key for key, value in run.noise.items() if _needs_gradient(value)]
        self.varying = [k for k, c in enumerate(constants) if torch.is_tensor(c) and c.requires_grad]
        flat, self.shape = _flatten(state)
        self.length = len(flat)
        self.tensors = [
            *flat,
            *(constants[k] for k in self.varying),
            *(run.inputs[name] for name in self.inputs),
            *(run.noise[key].rows for key in self.noise),
        ]
        given = [noise.rows for noise in run.noise.values() if isinstance(noise, GivenNoise)]
        #: All that is read again besides states.
        self.read_again = [*run.inputs.values(), *given, *(c for c in constants if torch.is_tensor(c))]

    def __call__(self, tensors):
        tensors = list(tensors)
        state, tensors = _unflatten(tensors[: self.length], self.shape), iter(tensors[self.length :])
        constants = list(self.constants)
        for k in self.varying:
            constants[k] = next(tensors)
        rows = self.run.rows | {name: rows_of(name, next(tensors)) for name in self.inputs}
        noise = self.run.noise | {key: replace(self.run.noise[key], rows=next(tensors)) for key in self.noise}
        run = replace(self.run, rows=rows, noise=noise)
        state, chunk = self.generated.advance(run, constants, state, self.first, self.last)
        return (*_flatten(state)[0], *chunk)

    def split(self, outputs):
        """State and records from the outputs of a call."""
        return _unflatten(outputs[: self.length], self.shape), outputs[self.length :]


class _Recomputed(torch.autograd.Function):
    """Run a segment without keeping its graph; run it again when gradients are asked for."""

    @staticmethod
    def forward(ctx, segment, *tensors):
        ctx.segment = segment
        ctx.set_materialize_grads(False)
        # all that is read again, so that PyTorch notices if somebody changes it
        ctx.save_for_backward(*tensors, *segment.read_again)
        return segment(tensors)

    @staticmethod
    def backward(ctx, *upstream):
        needed = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            tensors = [
                tensor.detach().requires_grad_(needs) for tensor, needs in zip(ctx.saved_tensors, needed)
            ]
            outputs = ctx.segment(tensors)
        pairs = [(o, u) for o, u in zip(outputs, upstream, strict=True) if o.requires_grad and u is not None]
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        if not pairs:
            return (None,) * (1 + len(tensors))
        ends, starts = zip(*pairs, strict=True)
        gradients = iter(torch.autograd.grad(ends, wanted, starts, allow_unused=True))
        return None, *(next(gradients) if needs else None for needs in needed)


def _needs_gradient(noise):
    return isinstance(noise, GivenNoise) and noise.rows.requires_grad


def _flatten(state):
    """State with its tuples of past events as one flat list.

    The shape has 1 for a plain tensor, minus their number for a tuple.
    """
    flat, shape = [], []
    for value in state:
        flat += [value] if torch.is_tensor(value) else list(value)
        shape.append(1 if torch.is_tensor(value) else -len(value))
    return flat, shape


def _unflatten(flat, shape):
    """Undo `_flatten`."""
    state, flat = [], list(flat)
    for count in shape:
        if count == 1:
            state.append(flat.pop(0))
        else:
            state.append(tuple(flat[:-count]))
            del flat[:-count]
    return tuple(state)


def _joined(parts):
    """Recorded values of several segments as one tensor; a segment without any has no say in its type."""
    return torch.cat([part for part in parts if len(part)] or parts[:1])
