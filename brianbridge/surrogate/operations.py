"""The operations that generated steps call: Brian2's functions on tensors, selection, spikes and sums."""

import numpy as np
import torch
from brian2.core.functions import DEFAULT_FUNCTIONS

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
        # one element: a numpy scalar, since Brian2's shared variables are scalars there
        arrays = [
            a.detach().numpy() if a.numel() > 1 else a.detach().numpy().reshape(-1)[0] for a in arguments
        ]
        shape = torch.broadcast_shapes(*(a.shape for a in arguments))
        return torch.from_numpy(np.array(numpy_function(*arrays))).reshape(shape)

    @staticmethod
    def backward(ctx, upstream):
        with torch.enable_grad():
            arguments = [a.detach().requires_grad_() for a in ctx.saved_tensors]
            value = ctx.torch_function(*arguments)
            needed = [a for a, needs in zip(arguments, ctx.needs_input_grad[2:], strict=True) if needs]
            gradients = iter(torch.autograd.grad(value, needed, upstream))
        return None, None, *(next(gradients) if needs else None for needs in ctx.needs_input_grad[2:])


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
            to_mask = (upstream * (new - old)).sum_to_size(mask.shape)
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
        Whether the gradient flows through the decision to reset.
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
            return _NumpyForward.apply(numpy_function, torch_function, x) if self.exact else torch_function(x)

        return function

    def power(self, base, exponent):
        if not (torch.is_tensor(base) or torch.is_tensor(exponent)):
            return float(np.float64(base) ** exponent)
        if self.exact and torch.is_tensor(base) and base.is_floating_point():
            if torch.is_tensor(exponent):
                return _NumpyForward.apply(np.ndarray.__pow__, torch.pow, base, exponent.to(base.dtype))
            return _NumpyForward.apply(lambda b: b**exponent, lambda b: b**exponent, base)
        return base**exponent

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

    def divide(self, a, b):
        """Division of two integers, as in Python; other divisions are rendered as ``/``."""
        return (a.to(self.dtype) if torch.is_tensor(a) else a) / (
            b.to(self.dtype) if torch.is_tensor(b) else b
        )

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
        """A value in the type of the variable to which it is assigned."""
        return self.tensor(value).to(like.dtype)

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
        factor = torch.where(mask > 0.5, self.tensor(value), 1).expand(*base.shape[:-1], len(index))
        return base.scatter_reduce(-1, index.expand_as(factor), factor.to(base.dtype), "prod")

    def assign_at(self, base, index, mask, value):
        """``base[index] = value`` where an event arrived; Brian2 allows values shared by all synapses only."""
        hit = torch.zeros_like(base, dtype=self.dtype).scatter_add(
            -1, index.expand(*base.shape[:-1], -1), mask.detach().expand(*base.shape[:-1], len(index))
        )
        return torch.where(hit > 0, self.tensor(value).to(base.dtype), base)

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
            raise NotImplementedError("A timed input read at a time that differs between neurons.")
        row = rows[min(max(int(round(time / (dt / upsampling)) / upsampling), 0), len(rows) - 1)]
        if columns is None:
            return row
        index, all_in_order = columns
        if all_in_order and index.numel() == row.shape[-1]:
            return row
        return row.index_select(-1, index)

    def columns(self, index):
        """Columns of a timed input, and whether they simply are 0, 1, 2, ..."""
        index = torch.as_tensor(index).reshape(-1).long()
        return index, bool(torch.equal(index, torch.arange(len(index), device=index.device)))
