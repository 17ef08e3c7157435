"""The operations that generated steps call: Brian2's functions on tensors, selection, spikes and sums."""

import numpy as np
import torch
from brian2.core.functions import DEFAULT_FUNCTIONS

from brianbridge.generation.random_numbers import poisson_quantile
from brianbridge.model.spike_queue import simultaneous_events_error
from brianbridge.surrogate.spike_gradients import Spike

__all__ = ["Operations"]

TORCH_NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
ELEMENTWISE = (
    "abs arccos arcsin arctan cos cosh exp expm1 log log10 log1p sign sin sinh sqrt tan tanh".split()
)


class _NumpyForward(torch.autograd.Function):
    """numpy's value, to the last bit that of Brian2's numpy target, with torch's derivative."""

    @staticmethod
    def forward(ctx, numpy_function, torch_function, *arguments):
        ctx.torch_function = torch_function
        ctx.save_for_backward(*arguments)
        return _numpy_value(numpy_function, *arguments)

    @staticmethod
    def backward(ctx, upstream):
        return (
            None,
            None,
            *_gradients(ctx.torch_function, ctx.saved_tensors, upstream, ctx.needs_input_grad[2:]),
        )


def _numpy_value(function, *arguments):
    with np.errstate(all="ignore"):
        value = function(*(a.detach().numpy() for a in arguments))
    return torch.from_numpy(np.asarray(value))


class _Guarded(torch.autograd.Function):
    """A function whose gradient stays zero where nothing comes from above, even if it is singular there."""

    @staticmethod
    def forward(ctx, function, *arguments):
        ctx.function = function
        ctx.save_for_backward(*arguments)
        return function(*arguments)

    @staticmethod
    def backward(ctx, upstream):
        whole = [a.expand(upstream.shape) for a in ctx.saved_tensors]
        gradients = _gradients(ctx.function, whole, upstream, ctx.needs_input_grad[1:])
        return None, *(
            None if g is None else torch.where(upstream == 0, 0, g).sum_to_size(a.shape)
            for g, a in zip(gradients, ctx.saved_tensors, strict=True)
        )


def _gradients(function, arguments, upstream, needed):
    """Gradients of a function of tensors, evaluated again; None where not needed."""
    with torch.enable_grad():
        arguments = [a.detach().requires_grad_(needs) for a, needs in zip(arguments, needed, strict=True)]
        value = function(*arguments)
        wanted = [a for a in arguments if a.requires_grad]
        gradients = iter(torch.autograd.grad(value, wanted, upstream))
    return [next(gradients) if needs else None for needs in needed]


class _Exprel(torch.autograd.Function):
    """``(exp(x) - 1)/x``, continued to 1 at zero, with a derivative that is accurate there."""

    @staticmethod
    def forward(ctx, expm1, x):
        ctx.save_for_backward(x)
        zero = x.abs() < 1e-16  # Brian2's own limit
        safe = torch.where(zero, 1.0, x)
        return torch.where(zero, 1.0, expm1(safe) / safe)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        small = x.abs() < 1e-2
        safe = torch.where(small, 1.0, x)
        series = 1 / 2 + x * (1 / 3 + x * (1 / 8 + x * (1 / 30 + x * (1 / 144 + x / 840))))
        return None, upstream * torch.where(
            small, series, (safe * torch.exp(safe) - torch.expm1(safe)) / safe**2
        )


class _Select(torch.autograd.Function):
    """``where(mask, new, old)`` with the gradient of ``old + mask*(new - old)``."""

    @staticmethod
    def forward(ctx, mask, new, old):
        ctx.save_for_backward(mask, new, old)
        return torch.where(mask > 0.5, new, old)

    @staticmethod
    def backward(ctx, upstream):
        mask, new, old = ctx.saved_tensors
        to_mask = to_new = to_old = None
        if ctx.needs_input_grad[0]:
            # a new value may be singular where there is no event
            to_mask = (upstream * (new - old).nan_to_num(0, 0, 0)).sum_to_size(mask.shape)
        hit = mask > 0.5
        if ctx.needs_input_grad[1]:
            to_new = torch.where(hit, upstream, 0).sum_to_size(new.shape)
        if ctx.needs_input_grad[2]:
            to_old = torch.where(hit, 0, upstream).sum_to_size(old.shape)
        return to_mask, to_new, to_old


class Operations:
    """Operations with their settings.

    Parameters
    ----------
    dtype : torch.dtype
        Floating point type of states.
    exact : bool
        Take numpy's forward values (CPU, float64), bit-equal to Brian2's numpy target.
    smooth : bool
        Replace every step by the primitive of its spike gradient and interpolate at resets, so that the
        forward pass is differentiable in the ordinary sense.
    reset_gradient : bool
        Whether the gradient flows through the decision to reset what the threshold reads (the membrane
        potential). What a reset changes besides, like a trace of the spikes, always has its gradient.
    """

    def __init__(self, dtype, exact=False, smooth=False, reset_gradient=True):
        self.dtype = dtype
        self.exact = exact
        self.smooth = smooth
        self.reset_gradient = reset_gradient
        for name in ELEMENTWISE:
            setattr(self, name, self._elementwise(name))

    # -- functions of Brian2 --------------------------------------------------------------------------

    def _elementwise(self, name):
        numpy_function = getattr(np, name)
        torch_function = getattr(torch, TORCH_NAMES.get(name, name))

        def function(x):
            if not torch.is_tensor(x):
                return float(numpy_function(x))
            if not x.is_floating_point():
                x = x.to(self.dtype)
            return self._numpy(numpy_function, torch_function, x) if self.exact else torch_function(x)

        return function

    def _numpy(self, numpy_function, torch_function, *arguments):
        if torch.is_grad_enabled() and any(a.requires_grad for a in arguments):
            return _NumpyForward.apply(numpy_function, torch_function, *arguments)
        return _numpy_value(numpy_function, *arguments)

    def power(self, base, exponent):
        if not (torch.is_tensor(base) or torch.is_tensor(exponent)):
            return float(np.float64(base) ** exponent)
        if not self.exact:
            return base**exponent
        if not torch.is_tensor(exponent):  # numpy has its own ways for 2, 0.5 and -1
            return self._numpy(lambda b: b**exponent, lambda b: b**exponent, base)
        if not torch.is_tensor(base):
            return self._numpy(lambda e: base**e, lambda e: base**e, exponent)
        return self._numpy(np.power, torch.pow, base, exponent)

    def power_of_numbers(self, base, exponent):
        """`power` of what is no array in Brian2: numpy takes it in another way, with another last bit."""
        if not self.exact:
            return base**exponent
        each = np.vectorize(lambda b, e: b**e, otypes=[float])
        return self._numpy(each, torch.pow, self.tensor(base), self.tensor(exponent))

    def exprel(self, x):
        if not torch.is_tensor(x):
            return float(DEFAULT_FUNCTIONS["exprel"].pyfunc(x))
        return _Exprel.apply(self.expm1, x if x.is_floating_point() else x.to(self.dtype))

    def clip(self, x, low, high):
        if not any(map(torch.is_tensor, (x, low, high))):
            return float(np.clip(x, low, high))
        x, low, high = (self.tensor(a) for a in (x, low, high))
        return torch.minimum(torch.maximum(x, low), high)

    def int(self, x):
        return x.detach().to(torch.int32) if torch.is_tensor(x) else int(x)

    def floor(self, x):
        return torch.floor(x.detach()).to(torch.int32) if torch.is_tensor(x) else int(np.floor(x))

    def ceil(self, x):
        return torch.ceil(x.detach()).to(torch.int32) if torch.is_tensor(x) else int(np.ceil(x))

    def timestep(self, time, dt):
        steps = (time + 1e-3 * dt) / dt
        return steps.detach().to(torch.int64) if torch.is_tensor(steps) else int(steps)

    def poisson_quantile(self, probability, mean):
        """What ``poisson(mean)`` becomes; it has no gradient."""
        probability, mean = (self.tensor(x).detach() for x in (probability, mean))
        counts = poisson_quantile(probability.cpu().numpy(), mean.cpu().numpy())
        return torch.from_numpy(np.atleast_1d(counts)).to(probability.device)

    def real(self, x):
        """An integer or boolean tensor in floating point."""
        return x.to(self.dtype)

    def quotient(self, a, b):
        """Division, correctly rounded: torch divides a Python number by way of the reciprocal."""
        if not torch.is_tensor(a) and not torch.is_tensor(b):
            return float(np.divide(a, b))
        if not torch.is_tensor(a):
            a = torch.full((), a, dtype=b.dtype, device=b.device)
        return a / b

    def whole_quotient(self, a, b):
        """Division of whole numbers, rounded down; by zero it is zero, as in numpy."""
        return torch.where(b == 0, 0, a // torch.where(b == 0, 1, b))

    def whole_remainder(self, a, b):
        """What division of whole numbers leaves; by zero it is zero, as in numpy."""
        return torch.where(b == 0, 0, a % torch.where(b == 0, 1, b))

    def guarded(self, function, *arguments):
        """A function that may be singular where it is not used: there its gradient is zero, not NaN."""
        arguments = [self.tensor(a) for a in arguments]
        if torch.is_grad_enabled() and any(a.requires_grad for a in arguments):
            return _Guarded.apply(function, *arguments)
        return function(*arguments)

    def negate(self, x):
        return torch.logical_not(x) if torch.is_tensor(x) else not x

    def where(self, condition, a, b):
        return torch.where(condition, self.tensor(a), self.tensor(b))

    def tensor(self, x):
        return x if torch.is_tensor(x) else torch.as_tensor(x, dtype=self.dtype)

    def full(self, value, like):
        """A number as a tensor of the shape of `like`."""
        return torch.full_like(like, value)

    def cast(self, value, like):
        """A value in the type and shape of the variable to which it is assigned."""
        value = self.tensor(value).to(like.dtype)
        return value if value.shape == like.shape else value.expand_as(like)

    # -- spikes and selection -------------------------------------------------------------------------

    def soft(self, x):
        """A boolean as 0 or 1, to be multiplied."""
        return x.to(self.dtype) if torch.is_tensor(x) and x.dtype == torch.bool else x

    def event(self, condition, like):
        """Condition of a threshold as a tensor (batch, neurons) of 0 and 1."""
        condition = self.soft(condition)
        if torch.is_tensor(condition) and condition.shape == like.shape:
            return condition
        return torch.zeros_like(like) + condition

    def compare(self, a, b, operator, gradient):
        """Comparison in a threshold condition: 0 or 1 with the spike gradient."""
        distance = self.tensor(a - b)
        if operator in ("<", "<="):
            distance = -distance
        if self.smooth and gradient is not None:
            return gradient.primitive(distance)
        hard = {">": torch.gt, ">=": torch.ge, "<": torch.lt, "<=": torch.le}[operator](
            self.tensor(a), self.tensor(b)
        )
        if gradient is None or not torch.is_grad_enabled():
            return hard.to(self.dtype)
        return Spike.apply(distance, hard, gradient)

    def select(self, mask, new, old):
        """New value where an event was, old value elsewhere."""
        if not old.is_floating_point():
            return torch.where(mask > 0.5, self.tensor(new).to(old.dtype), old)
        new = torch.as_tensor(new, dtype=old.dtype)
        if self.smooth:
            return old + mask * (new - old)
        return _Select.apply(mask, new, old)

    def reset(self, mask, new, old):
        """`select` for resets, where the gradient through the decision can be switched off."""
        return self.select(mask if self.reset_gradient else mask.detach(), new, old)

    def masked(self, mask, value):
        """A summand where an event was, zero elsewhere, whatever `value` is there."""
        value = self.tensor(value)
        return mask * value if self.smooth else _Select.apply(mask, value, torch.zeros_like(value))

    def decay(self, mask, new, old):
        """Bring an event-driven variable up to date: no effect of its own, so no gradient to the event."""
        new = torch.as_tensor(new, dtype=old.dtype)
        if self.smooth:
            return new.expand_as(old)
        return torch.where(mask > 0.5, new, old)

    # -- gathering and summing ------------------------------------------------------------------------

    def arrived(self, seen, delays, sources):
        """0 or 1 for each synapse: did an event of its source neuron arrive now.

        Parameters
        ----------
        seen : tuple of Tensor (batch, neurons)
            Events of this step and of the steps before, newest first.
        delays : int or LongTensor (synapses,)
        sources : LongTensor (synapses,)
        """
        if isinstance(delays, int):
            return seen[delays].index_select(-1, sources)
        return torch.cat(seen, -1).index_select(-1, delays * seen[0].shape[-1] + sources)

    def also_arrived(self, mask, late, pathway):
        """Add events that were sent before the start, 0 or 1 for each synapse, or None."""
        if late is None:
            return mask
        if ((mask > 0.5) & (late > 0.5)).any():
            raise simultaneous_events_error(pathway)
        return mask + late

    def in_turn(self, mask, turns):
        """The events of a pathway in parts, in each of which no neuron gets more than one.

        Parameters
        ----------
        mask : Tensor (batch, synapses)
        turns : LongTensor (synapses,)
            The part to which each synapse belongs.
        """
        every = self.smooth or mask.requires_grad  # an event that did not happen has a gradient too
        chosen = turns if every else turns[(mask > 0.5).reshape(-1, len(turns)).any(0)]
        for turn in chosen.unique().tolist():
            yield mask * (turns == turn)

    def put(self, base, index, value):
        """``base[index] = value``; every element at most once."""
        return base.index_copy(-1, index, value.to(base.dtype))

    def add_at(self, base, index, order, value):
        """``base[index] += value`` in the order in which Brian2's queue delivers events."""
        value = self.tensor(value).to(base.dtype)
        batch = torch.broadcast_shapes(base.shape[:-1], value.shape[:-1])
        base, value = base.expand(*batch, base.shape[-1]), value.expand(*batch, len(index))
        if order is not None:
            value, index = value.index_select(-1, order), index.index_select(0, order)
        return base.scatter_add(-1, index.expand_as(value), value)

    def multiply_at(self, base, index, order, mask, value):
        """``base[index] *= value`` where an event arrived."""
        factor = self.select(mask, self.tensor(value), torch.ones_like(mask)).to(base.dtype)
        return self._reduce(base, index, order, factor, "prod")

    def assign_at(self, base, index, mask, value):
        """``base[index] = value`` where an event arrived.

        Brian2 allows only values that are the same for all synapses of a neuron.
        """
        value = self.tensor(value)
        whole = value.to(base.dtype if base.dtype != torch.bool else torch.int32)
        new = torch.zeros_like(base, dtype=whole.dtype)
        new = self._reduce(new, index, None, whole, "amax", include_self=False).to(base.dtype)
        missed = self._reduce(torch.ones_like(base, dtype=mask.dtype), index, None, 1 - mask, "prod")
        return self.select(1 - missed, new, base)

    def _reduce(self, base, index, order, value, how, include_self=True):
        batch = torch.broadcast_shapes(base.shape[:-1], value.shape[:-1])
        value = value.expand(*batch, len(index))
        if order is not None:
            value, index = value.index_select(-1, order), index.index_select(0, order)
        base = base.expand(*batch, base.shape[-1])
        return base.scatter_reduce(-1, index.expand_as(value), value, how, include_self=include_self)

    def sum_at(self, target, index, value, start, stop):
        """Sum over synapses into ``target[start:stop]``; `index` counts from the group's first neuron."""
        stop = target.shape[-1] if stop is None else stop
        value = self.tensor(value).to(target.dtype)
        value = value.expand(*target.shape[:-1], len(index))
        total = target.new_zeros(*target.shape[:-1], stop - start)
        total = total.scatter_add(-1, (index - start).expand_as(value), value)
        if total.shape == target.shape:
            return total
        return torch.cat([target[..., :start], total, target[..., stop:]], -1)

    def lookup(self, rows, time, dt, upsampling, columns=None):
        """Value of a timed input, rounded to its grid as `TimedArray` does.

        Parameters
        ----------
        rows : sequence of Tensor (batch, n)
            One for each time step of the input.
        upsampling : int
            Brian2's factor K: times are rounded to dt/K before the row is chosen.
        columns : optional
            Second argument of a two-dimensional `TimedArray`, through `columns`.
        """
        if torch.is_tensor(time):
            return self._lookup_each(rows, time, dt, upsampling, columns)
        row = rows[min(max(int(round(time / (dt / upsampling)) / upsampling), 0), len(rows) - 1)]
        if columns is None:
            return row
        index, all_in_order = columns
        if all_in_order and index.numel() == row.shape[-1]:
            return row
        return row.index_select(-1, index)

    def _lookup_each(self, rows, time, dt, upsampling, columns):
        """A timed input read at a time that differs between neurons."""
        steps = (torch.round(time.detach().double() / (dt / upsampling)) / upsampling).trunc().long()
        steps = steps.clamp(0, len(rows) - 1)
        some, place = torch.unique(steps, return_inverse=True)
        table = torch.stack([rows[k] for k in some.tolist()])  # (times, batch, n)
        place = place.reshape(1, -1) if place.dim() < 2 else place
        trial = torch.arange(table.shape[1], device=table.device)[:, None]
        column = columns[0] if columns is not None else torch.zeros(1, dtype=torch.long, device=table.device)
        return table[place, trial, column]

    def columns(self, index):
        """Columns of a timed input, and whether they simply are 0, 1, 2, ..."""
        index = torch.as_tensor(index).reshape(-1).long()
        return index, bool(torch.equal(index, torch.arange(len(index), device=index.device)))
