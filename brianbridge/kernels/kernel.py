"""Run a compiled kernel: arguments, memory, and its place in PyTorch's graph."""

import ctypes
import math
import weakref
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from brianbridge.kernels.call import TORCH_TYPES, Call
from brianbridge.kernels.compiler import library
from brianbridge.kernels.source import TRIALS_TOGETHER, write_source
from brianbridge.kernels.tables import Tables

__all__ = ["Feed", "Kernel"]

WHOLE_TAPE = 256e6  # bytes below which everything is kept for the backward pass
CACHED_TAPE = 5e5  # bytes
EXPECTED_RATE = 50.0  # events of a neuron per second, as long as no simulation has shown another rate
LIVING = Counter()  # kernels of each library


@dataclass
class Feed:
    """What one simulation hands to a kernel.

    Attributes
    ----------
    batch, first, steps : int
    states : dict of str to Tensor, shape (batch, n)
        By key, in the order of `Rendered.states`.
    histories : dict of str to Tensor, shape (batch, steps, n)
        Events of the present step and of those before, newest first.
    inputs : dict of str to Tensor, shape (time, batch or 1, n)
    noise : list of Tensor, shape (draws, batch or 1, n)
        Random numbers of every place, without rows where the kernel draws them; then the events of every
        group that only sends some.
    noise_first : list of int
        Step of the first row.
    draws : list of (str, int) or None
        For every place of random numbers that the kernel draws: function, and number of the place.
    seed : int
        Of the random numbers.
    threads : int
    segment : int, 'auto' or None
    """

    batch: int
    first: int
    steps: int
    states: dict
    histories: dict
    inputs: dict
    noise: list
    noise_first: list
    draws: list
    seed: int
    threads: int
    segment: object

    @property
    def tensors(self):
        """All tensors that a gradient may reach."""
        return [*self.states.values(), *self.histories.values(), *self.inputs.values(), *self.noise]


class Kernel:
    """A step in C, compiled for the kinds of its arguments; their values and sizes may change.

    Parameters
    ----------
    rendered : Rendered
    program : Program
    routes : dict of str to Route
    constants : tuple
        What the prelude returned.
    feed : Feed
    dtype : torch.dtype
    gradients : dict
        C function, width and height of every spike gradient, by key of the comparison.
    reset_gradient : bool
    """

    def __init__(self, rendered, program, routes, constants, feed, dtype, gradients, reset_gradient):
        self.rendered, self.program, self.dtype = rendered, program, dtype
        self.routes = routes
        names = dict(zip(rendered.constants, constants, strict=True))
        shapes = {key: tuple(value.shape) for key, value in feed.inputs.items()}
        tables = Tables(
            rendered, program, names, shapes, dtype, _varied(rendered, names, feed), gradients, reset_gradient
        )
        self.source = write_source(tables, self.routes)
        self.tables = tables
        self.varied = [
            number for number, name in enumerate(rendered.constants) if f"c_{name}" in tables.varied
        ]
        self.at_event = self._pushed_at_event()
        sizes = (program.events[event] for event in rendered.events)
        self.sent = [n * min(1.0, EXPECTED_RATE * program.dt) for n in sizes]  # events in a step
        self.code = library(self.source.text, tables.is_single)
        self._forward, self._backward = self.code.run_forward, self.code.run_backward
        self._forward.restype = ctypes.c_void_p
        self._forward.argtypes = [ctypes.c_void_p]
        self._backward.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.code.release.argtypes = [ctypes.c_void_p]
        self.code.events_sent.restype = ctypes.c_int64
        self.code.events_sent.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        LIVING[self.code._handle] += 1
        weakref.finalize(self, _gone, self.code)

    def lanes(self, trials):
        """How many of its trials a thread takes together: even parts, where they share the rows of a grid.

        Not where their states and tapes would evict each other from the cache, unless the grid is larger.
        """
        states = sum(map(self.bytes_of, self.tables.arrays))
        places = max((grid.rows * grid.columns for _, grid in self.tables.grid_constants), default=0)
        if not places or states > max(CACHED_TAPE / TRIALS_TOGETHER, places * self.dtype.itemsize):
            return 1
        return -(-trials // -(-trials // TRIALS_TOGETHER))

    @property
    def varying(self):
        """Whether each output depends on what a gradient is wanted of: records, states, histories."""
        return [symbol in self.tables.varied for symbol in self.output_symbols]

    @property
    def output_symbols(self):
        tables = self.tables
        carried = [*map(tables.symbol, tables.states), *map(tables.event, self.rendered.events)]
        return [f"o_{number}" for number in range(len(tables.output_types))] + carried

    def advance(self, constants, feed):
        """Take all steps.

        Parameters
        ----------
        constants : tuple
        feed : Feed

        Returns
        -------
        recorded : list of Tensor, shape (rows, batch, n)
        states : list of Tensor, shape (batch, n)
        histories : list of Tensor, shape (batch, steps, n)
        """
        constants, feed = self._arranged(constants, feed)
        tensors = [
            *(value.contiguous() for value in feed.states.values()),
            *(value.contiguous() for value in feed.histories.values()),
            *(constants[number] for number in self.varied),
            *(_for_gradient(value, feed.batch) for value in feed.inputs.values()),
            *(_for_gradient(value, feed.batch) for value in feed.noise),
        ]
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            outputs = list(_Simulated.apply(self, constants, feed, *tensors))
        else:
            outputs = Call(self, constants, feed, tensors, taping=False).forward()
        recorded = [self._as_made("output", j, outputs.pop(0)) for j in range(len(self.tables.output_types))]
        states = [self._as_made("state", key, outputs.pop(0)) for key in feed.states]
        return recorded, states, outputs

    def release(self, handle):
        """Give back the memory of a simulation: to the next one, if there can be one."""
        self.code.release(handle)
        _forget_unused(self.code)

    def _arranged(self, constants, feed):
        """Constants, states and noise of sorted synapses in their order."""
        if not self.source.arranged:
            return constants, feed
        names = self.rendered.constants
        constants = tuple(
            self._sorted("constant", name, value) for name, value in zip(names, constants, strict=True)
        )
        states = {key: self._sorted("state", key, value) for key, value in feed.states.items()}
        noise = [self._sorted("noise", number, value) for number, value in enumerate(feed.noise)]
        return constants, replace(feed, states=states, noise=noise)

    def _sorted(self, what, name, value):
        sorted_group = self.source.arranged.get((what, name))
        if sorted_group is None or (not torch.is_tensor(value) and not isinstance(value, tuple)):
            return value
        if isinstance(value, tuple):
            return self._sorted(what, name, value[0]), False
        if value.shape[-1:] != sorted_group.synapses.shape:
            return value
        return value.index_select(-1, torch.from_numpy(sorted_group.synapses))

    def _as_made(self, what, name, value):
        """Values of sorted synapses in the order in which these were made."""
        sorted_group = self.source.arranged.get((what, name))
        if sorted_group is None or value.shape[-1:] != sorted_group.synapses.shape:
            return value
        return value.index_select(-1, torch.from_numpy(sorted_group.places))

    def segment_length(self, feed):
        """Steps between two kept states: all of them where the tape is short.

        Otherwise as few as memory allows, for a tape that stays in the cache, but not more than where memory
        is least.
        """
        if isinstance(feed.segment, int):
            return min(feed.segment, feed.steps)
        tape = sum(self.bytes_of(symbol) for symbol in self.source.taped) + 64 * (len(feed.histories) + 1)
        tape += sum(sent * size for sent, size in zip(self.sent, self.at_event, strict=True))
        if feed.segment is None or tape * feed.steps * feed.batch < WHOLE_TAPE:
            return feed.steps
        states = sum(map(self.bytes_of, self.tables.arrays)) * feed.batch
        least = math.isqrt(int(feed.steps * states / (tape * min(feed.threads, feed.batch))))
        cached = max(CACHED_TAPE / tape, feed.steps * states / WHOLE_TAPE)
        return max(1, min(feed.steps, int(min(least, cached))))

    def _pushed_at_event(self):
        """Bytes that one event puts on the tape, at all its synapses on average, of every kind of event."""
        names = {self.tables.event(event): event for event in self.rendered.events}
        pushed = dict.fromkeys(self.rendered.events, 0.0)
        for name, array in self.source.at_reset:
            pushed[names[name]] += self.torch_type(array).itemsize
        for part in self.rendered.parts:
            block = part.block
            if block.kind == "pathway":
                synapses = len(self.routes[block.name].synapses) / self.program.events[block.event]
                arrays = self.source.at_event.get(block.name, ())
                pushed[block.event] += synapses * sum(self.torch_type(a).itemsize for a in arrays)
        return list(pushed.values())

    def bytes_of(self, symbol):
        """Size of an array of the block of states."""
        return self.length_of(symbol) * torch.empty(0, dtype=self.torch_type(symbol)).element_size()

    def length_of(self, symbol):
        temporaries = self.tables.temporaries
        return temporaries[symbol][1] if symbol in temporaries else self.tables.length(symbol[2:])

    def synapses(self, pathway):
        """Places of the synapses of a pathway, in the order in which events reach them."""
        route = self.routes[pathway]
        block = next(block for block in self.program.blocks if block.name == pathway)
        sorted_group = self.tables.sorted_groups.get(block.group)
        if sorted_group is None:
            return route.synapses
        return sorted_group.places[route.synapses].astype(np.int32)

    def torch_type(self, symbol):
        tables = self.tables
        kind = tables.temporaries[symbol][0] if symbol in tables.temporaries else tables.type(symbol[2:])
        return TORCH_TYPES.get(kind, self.dtype)


def _gone(code):
    LIVING[code._handle] -= 1
    _forget_unused(code)


def _forget_unused(code):
    """Free the memory that a library keeps for the next simulation, if none of its kernels is left."""
    if not LIVING[code._handle]:
        code.forget_spare()


def _varied(rendered, names, feed):
    """C identifiers of what a gradient is wanted of."""
    if not torch.is_grad_enabled():
        return set()
    named = {f"c_{name}": value for name, value in names.items()}
    named |= {f"x_{number}": value for number, value in enumerate(feed.inputs.values())}
    named |= {f"r_{number}": value for number, value in enumerate(feed.noise)}
    named |= {f"s_{rendered.identifiers[key]}": value for key, value in feed.states.items()}
    named |= {f"z_{rendered.identifiers[f'spikes {key}']}": value for key, value in feed.histories.items()}
    return {
        symbol
        for symbol, value in named.items()
        if torch.is_tensor(value) and value.is_floating_point() and value.requires_grad
    }


def _for_gradient(value, batch):
    """An input with rows of its own for each trial if a gradient is wanted, so that threads do not meet."""
    return (value.expand(-1, batch, -1) if value.requires_grad else value).contiguous()


class _Simulated(torch.autograd.Function):
    """A simulation as one node of the graph."""

    @staticmethod
    def forward(ctx, kernel, constants, feed, *tensors):
        ctx.call = Call(kernel, constants, feed, [t.detach() for t in tensors], taping=True)
        ctx.save_for_backward(*ctx.call.read_again)  # so that PyTorch notices if somebody changes them
        outputs = ctx.call.forward()
        kernel.sent = ctx.call.events_sent()
        ctx.mark_non_differentiable(*(o for o, varies in zip(outputs, kernel.varying) if not varies))
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *upstream):
        _ = ctx.saved_tensors  # an error if one was changed
        wanted = ctx.needs_input_grad[3:]
        gradients = ctx.call.backward(upstream, wanted)
        return None, None, None, *gradients
