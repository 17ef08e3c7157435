"""One call of a kernel: its arguments, and the memory that it needs until its gradients are asked for."""

import ctypes
from itertools import pairwise

import numpy as np
import torch

from brianbridge.kernels.random_rows import row_function
from brianbridge.model.spike_queue import simultaneous_events_error

__all__ = ["TORCH_TYPES", "Call"]

TORCH_TYPES = {"bool": torch.bool, "int": torch.int32, "long": torch.int64, "wide": torch.float64}
ALIGNMENT = 64
#: Members of `Problem` that are numbers; all others are addresses.
NUMBERS = "batch first steps threads lanes segment taping arrays block gradients events".split()
NUMBERS += "routes places seed".split()


class Problem(ctypes.Structure):
    """``Problem`` of runtime/memory.c."""

    _fields_ = [
        (name, ctypes.c_int64 if name in NUMBERS else ctypes.c_void_p)
        for name in """
            batch first steps threads lanes segment taping
            literals sizes offsets bytes carried arrays block
            state_in state_out grad_state_out grad_state_in
            constants indices gradient_offsets gradients gradient
            inputs grad_inputs input_rows input_columns input_trials
            noise grad_noise noise_first noise_columns noise_trials
            places draws place noise_order seed
            outputs grad_outputs output_first output_columns output_given
            events event_size event_array event_history
            history_in history_out grad_history_out grad_history_in
            routes synapses route_starts delays delay_count
            grids grid_offsets grid_indices sparse reciprocals sorted_starts
            under_way under_way_ends under_way_first under_way_steps twice
            fan_out_starts fan_out_synapses fan_out_places fan_out_columns fan_out_span
        """.split()
    ]


class Call:
    """One simulation: the arguments of the kernel, kept alive until its memory is given back."""

    def __init__(self, kernel, constants, feed, tensors, taping):
        self.kernel, self.feed, self.tensors = kernel, feed, tensors
        self.alive, self.handle = [], None
        threads = max(1, min(feed.threads, feed.batch))
        self.problem = Problem(
            batch=feed.batch,
            first=feed.first,
            steps=feed.steps,
            threads=threads,
            lanes=kernel.lanes(-(-feed.batch // threads)),
            segment=kernel.segment_length(feed) if taping else feed.steps,
            taping=int(taping),
        )
        count = len(feed.states), len(feed.histories), len(kernel.varied), len(feed.inputs), len(feed.noise)
        ends = np.cumsum((0, *count))
        self.states, self.histories, self.varied, self.inputs, self.noise = (
            tensors[start:stop] for start, stop in pairwise(ends)
        )
        self._describe_arrays()
        self._describe_constants(constants)
        self._describe_rows()
        self._describe_outputs()
        self._describe_events()

    def __del__(self):
        if self.handle:
            self.kernel.release(self.handle)

    # -- arguments ------------------------------------------------------------------------------------

    def numbers(self, values, dtype=np.int64):
        """Address of an array of numbers."""
        array = np.ascontiguousarray(np.array(list(values), dtype=dtype))
        self.alive.append(array)
        return array.ctypes.data

    def addresses(self, tensors):
        """Address of an array of addresses; None stands for a null pointer."""
        tensors = list(tensors)
        self.alive.append(tensors)
        return self.numbers([0 if t is None else _address(t) for t in tensors], np.uintp)

    def _describe_arrays(self):
        kernel, problem, tables = self.kernel, self.problem, self.kernel.tables
        sizes = [kernel.bytes_of(symbol) for symbol in tables.arrays]
        room = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
        problem.literals = self.numbers(tables.literals, float)
        problem.sizes = self.numbers(part.block.size for part in kernel.rendered.parts)
        problem.offsets = self.numbers(np.cumsum([0, *room])[:-1])
        problem.bytes = self.numbers(sizes)
        carried = len(self.states)
        problem.carried = self.numbers(j if j < carried else -1 for j in range(len(sizes)))
        problem.arrays, problem.block = len(sizes), sum(room)
        problem.state_in = self.addresses(self.states)

    def _describe_constants(self, constants):
        kernel, problem, tables = self.kernel, self.problem, self.kernel.tables
        named = dict(zip(kernel.rendered.constants, constants, strict=True))
        values = [value.detach().contiguous() if torch.is_tensor(value) else None for value in constants]
        problem.constants = self.addresses(values)
        #: Tensors of the caller that the backward pass reads.
        self.read_again = [*self.inputs, *self.noise, *(v for v in values if v is not None)]
        problem.reciprocals = self.addresses(1 / named[name].detach() for name in tables.reciprocals)
        tensors = [named[name] for name in tables.indices]
        tensors += [named[name][0].expand(size) for name, size in tables.columns.items()]
        problem.indices = self.addresses(t.to(torch.int32).contiguous() for t in tensors)
        offsets, total = [0] * len(constants), 0
        for number in kernel.varied:
            offsets[number] = total
            size = 8 if constants[number].numel() == 1 else constants[number].element_size()
            total += -(-constants[number].numel() * size // ALIGNMENT) * ALIGNMENT
        self.offsets = offsets
        problem.gradient_offsets = self.numbers(offsets)
        self._describe_grids(values, total)

    def _describe_grids(self, values, total):
        """Constants laid out as grids, and where their gradients go."""
        problem, tables, names = self.problem, self.kernel.tables, self.kernel.rendered.constants
        grids, self.grid_offsets = [], []
        for number, (name, grid) in enumerate(tables.grid_constants):
            value = values[names.index(name)].reshape(-1)
            room = grid.rows * grid.columns + ALIGNMENT  # read in whole chunks
            laid = torch.zeros(room, dtype=value.dtype)
            if grid.in_order:
                laid[: value.numel()] = value
            else:
                laid[torch.from_numpy(grid.places)] = value
            grids.append(laid)
            self.grid_offsets.append(total)
            if number in tables.grid_gradients:
                total += -(-laid.numel() * laid.element_size() // ALIGNMENT) * ALIGNMENT
        problem.grids = self.addresses(grids)
        problem.grid_offsets = self.numbers(self.grid_offsets)
        lines = [grid.along(axis, tables.index_values(name)) for name, grid, axis in tables.grid_indices]
        problem.grid_indices = self.addresses(lines)
        problem.gradients = total
        self._describe_sparse(values)

    def _describe_sparse(self, values):
        """Constants of the synapses of grids, sorted by column."""
        tables, names = self.kernel.tables, self.kernel.rendered.constants
        addresses = []
        for name, grid in tables.sparse_constants:
            value = values[names.index(name)].reshape(-1)
            order, rows, starts = grid.by_column
            places = (rows * (ALIGNMENT // value.element_size())).astype(np.int32)
            members = [value[torch.from_numpy(order)], places, starts]
            self.alive.append(members)
            addresses += map(_address, members)
        self.problem.sparse = self.numbers(addresses, np.uintp)

    def _describe_rows(self):
        problem = self.problem
        for name, tensors in (("input", self.inputs), ("noise", self.noise)):
            setattr(problem, "inputs" if name == "input" else "noise", self.addresses(tensors))
            setattr(problem, f"{name}_trials", self.numbers(t.shape[1] for t in tensors))
            setattr(problem, f"{name}_columns", self.numbers(t.shape[2] for t in tensors))
        problem.input_rows = self.numbers(t.shape[0] for t in self.inputs)
        problem.noise_first = self.numbers(self.feed.noise_first)
        self._describe_draws()

    def _describe_draws(self):
        """Random numbers that the kernel draws by itself, where it needs them."""
        problem, feed, arranged = self.problem, self.feed, self.kernel.source.arranged
        functions, places, orders = [], [], []
        for number, draw in enumerate(feed.draws):
            function, place = draw or (None, 0)
            functions.append(draw and row_function(function, feed.noise[number].dtype))
            places.append(place)
            sorted_group = arranged.get(("noise", number)) if draw else None
            orders.append(None if sorted_group is None else sorted_group.synapses.astype(np.int32))
        problem.places, problem.seed = len(feed.draws), feed.seed
        problem.draws = self.numbers((address or 0 for address in functions), np.uintp)
        problem.place = self.numbers(places)
        problem.noise_order = self.addresses(orders)

    def _describe_outputs(self):
        kernel, problem, feed, tables = self.kernel, self.problem, self.feed, self.kernel.tables
        every = [tables.output_every(number) for number in range(len(tables.output_types))]
        firsts = [-(-feed.first // step) for step in every]
        rows = [-(-(feed.first + feed.steps) // step) - first for step, first in zip(every, firsts)]
        self.outputs = [
            torch.empty(
                count,
                feed.batch,
                tables.output_size(number),
                dtype=TORCH_TYPES.get(tables.output_types[number], kernel.dtype),
            )
            for number, count in enumerate(rows)
        ]
        problem.outputs = self.addresses(self.outputs)
        problem.output_first = self.numbers(firsts)
        problem.output_columns = self.numbers(t.shape[2] for t in self.outputs)

    def _describe_events(self):
        problem, tables, routes = self.problem, self.kernel.tables, self.kernel.routes
        problem.events = len(self.histories)
        problem.event_size = self.numbers(h.shape[2] for h in self.histories)
        problem.event_array = self.numbers(
            tables.array_number(tables.event(event)) for event in tables.rendered.events
        )
        problem.event_history = self.numbers(h.shape[1] - 1 for h in self.histories)
        problem.history_in = self.addresses(self.histories)
        problem.synapses = self.addresses(map(self.kernel.synapses, routes))
        problem.sorted_starts = self.addresses(group.starts for group in tables.sorted_groups.values())
        problem.route_starts = self.addresses(route.starts for route in routes.values())
        problem.delays = self.addresses(route.delays for route in routes.values())
        problem.delay_count = self.numbers(len(route.delays) for route in routes.values())
        problem.under_way = self.addresses(route.under_way for route in routes.values())
        problem.under_way_ends = self.addresses(route.under_way_ends for route in routes.values())
        problem.under_way_first = self.numbers(route.under_way_first for route in routes.values())
        problem.under_way_steps = self.numbers(len(route.under_way_ends) - 1 for route in routes.values())
        fan_outs = [self.kernel.source.fan_outs.get(name) for name in routes]
        for name in ("starts", "synapses", "places"):
            arrays = [getattr(fan_out, name, None) for fan_out in fan_outs]
            setattr(problem, f"fan_out_{name}", self.addresses(arrays))
        for name in ("columns", "span"):
            numbers = [getattr(fan_out, name, 0) for fan_out in fan_outs]
            setattr(problem, f"fan_out_{name}", self.numbers(numbers))
        problem.routes = len(routes)
        self.twice = np.zeros(1, dtype=np.int64)
        problem.twice = self.twice.ctypes.data

    # -- calls ----------------------------------------------------------------------------------------

    def forward(self):
        states = [torch.empty_like(t) for t in self.states]
        histories = [torch.empty_like(t) for t in self.histories]
        self.problem.state_out = self.addresses(states)
        self.problem.history_out = self.addresses(histories)
        self.handle = self.kernel._forward(ctypes.addressof(self.problem))
        if self.twice[0]:
            raise simultaneous_events_error(list(self.kernel.routes)[self.twice[0] - 1])
        # as other tensors: these would keep the graph, and with it this call, alive for ever
        return [tensor.detach() for tensor in (*self.outputs, *states, *histories)]

    def events_sent(self):
        """Events in one step of one trial, on average, of every kind; after a forward pass with a tape."""
        steps = self.feed.steps * self.feed.batch
        return [
            self.kernel.code.events_sent(self.handle, number) / steps for number in range(len(self.histories))
        ]

    def backward(self, upstream, wanted):
        """Gradients of all tensors that want one, from those of all outputs."""
        problem = Problem.from_buffer_copy(self.problem)
        kept = list(self.alive)
        upstream = [None if g is None else g.contiguous() for g in upstream]
        ends = np.cumsum((len(self.outputs), len(self.states)))
        outputs, states, histories = np.split(np.array([*upstream, None], dtype=object)[:-1], ends)
        problem.grad_outputs = self.addresses(outputs)
        problem.output_given = self.numbers((g is not None for g in outputs), np.uint8)
        problem.grad_state_out = self.addresses(states)
        problem.grad_history_out = self.addresses(histories)
        if problem.segment < problem.steps:  # segments are simulated again, and with them what is recorded
            problem.outputs = self.addresses(map(torch.empty_like, self.outputs))
        wanted = self._reached(upstream, wanted)
        gradients = [
            torch.zeros_like(t) if want else None for t, want in zip(self.tensors, wanted, strict=True)
        ]
        count = len(self.states), len(self.histories), len(self.varied), len(self.inputs), len(self.noise)
        ends = np.cumsum((0, *count))
        parts = [gradients[start:stop] for start, stop in pairwise(ends)]
        problem.grad_state_in = self.addresses(parts[0])
        problem.grad_history_in = self.addresses(parts[1])
        problem.grad_inputs = self.addresses(parts[3])
        problem.grad_noise = self.addresses(parts[4])
        each = np.zeros((problem.threads, max(problem.gradients, 1)), dtype=np.uint8)
        problem.gradient = each.ctypes.data
        self.kernel._backward(self.handle, ctypes.addressof(problem))
        for number, gradient in zip(self.kernel.varied, parts[2], strict=True):
            if gradient is not None:
                gradient.copy_(self._gradient(each, number, gradient).reshape(gradient.shape))
        self.alive = kept
        return gradients

    def _reached(self, upstream, wanted):
        """Which of the gradients that are wanted are not zero by the structure of the network."""
        kernel, rendered = self.kernel, self.kernel.rendered
        given = [
            name
            for name, gradient in zip(kernel.output_symbols, upstream, strict=True)
            if gradient is not None
        ]
        reached = kernel.source.reached(given)
        symbols = kernel.output_symbols[len(self.outputs) :]
        symbols += [f"c_{rendered.constants[number]}" for number in self.kernel.varied]
        symbols += [None] * (len(wanted) - len(symbols))  # inputs and noise: always
        return [want and (symbol is None or symbol in reached) for want, symbol in zip(wanted, symbols)]

    def _gradient(self, each, number, like):
        """Gradient of a constant; single numbers are summed in double precision."""
        dtype = torch.float64 if like.numel() == 1 else like.dtype
        total = _summed(each, self.offsets[number], like.numel(), dtype)
        name = self.kernel.rendered.constants[number]
        tables = self.kernel.tables
        for place in tables.grid_gradients:
            laid, grid = tables.grid_constants[place]
            if laid == name:
                places = torch.from_numpy(grid.places)
                total = (
                    total + _summed(each, self.grid_offsets[place], grid.rows * grid.columns, dtype)[places]
                )
        return total


def _summed(each, start, count, dtype):
    """Sum over threads of a part of their memory."""
    size = torch.empty(0, dtype=dtype).element_size()
    return sum(torch.from_numpy(row[start : start + count * size]).view(dtype) for row in each)


def _address(array):
    return array.data_ptr() if torch.is_tensor(array) else array.ctypes.data
