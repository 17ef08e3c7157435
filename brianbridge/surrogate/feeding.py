"""Inputs and spikes of a call, checked and made tensors."""

import numpy as np
import torch
from brian2 import Clock
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity, get_dimensions, get_unit
from brian2.units.stdunits import ms

from brianbridge.model.groups import SpikeTimes
from brianbridge.model.naming import caller_names, input_name
from brianbridge.model.spike_queue import simultaneous_events_error

__all__ = [
    "SpikeRows",
    "events_under_way",
    "given_inputs",
    "input_step",
    "rows_of",
    "si_tensor",
    "steps_until",
]

SECOND = get_dimensions(ms)


def si_tensor(value, dimensions, what):
    """Tensor of SI values from a tensor (SI already), an array or a Quantity.

    Raises
    ------
    ValueError
        If the unit is wrong, or a value is not finite.
    """
    if not torch.is_tensor(value):
        if get_dimensions(value) != dimensions:
            raise ValueError(
                f"{what} is in {get_unit(dimensions)!r}, but was given in "
                f"{get_unit(get_dimensions(value))!r}."
            )
        value = torch.as_tensor(np.array(value, dtype=float))
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise ValueError(f"The values given for {what} contain NaN or infinity.")
    return value


def given_inputs(model, given):
    """The inputs of a call.

    Parameters
    ----------
    model : Model
    given : dict
        `TimedArray` or name to values of shape (time, batch, n), or (time, batch) for one without columns;
        `SpikeGeneratorGroup` or name to spikes, 0 or 1, of shape (time, batch, n).

    Returns
    -------
    dict of str to Tensor, shape (time, batch, n)
        By the name of the input, or ``'spikes GROUP.spike'``.

    Raises
    ------
    ValueError
        If the shape or the unit does not fit, or a value is not finite.
    """
    tensors = {}
    for key, value in given.items():
        group = _spike_generator(key, model)
        if group is not None:
            tensors[f"spikes {group.name}.spike"] = _given_spikes(group, value)
            continue
        name = input_name(key, model)
        values = model.input(name).values
        tensor = si_tensor(value, model.input(name).dimensions, f"the input {name}")
        shape = "(time, batch, n)" if values.ndim == 2 else "(time, batch)"
        if tensor.dim() != values.ndim + 1:
            raise ValueError(f"The input {name} needs the shape {shape}, but has {tuple(tensor.shape)}.")
        if values.ndim == 2 and tensor.shape[2] != values.shape[1]:
            raise ValueError(
                f"The input {name} has {tensor.shape[2]} channels, but its TimedArray has {values.shape[1]}."
            )
        if 0 in tensor.shape:
            raise ValueError(f"The input {name} of shape {tuple(tensor.shape)}, {shape}, is empty.")
        tensors[name] = tensor if values.ndim == 2 else tensor[..., None]
    return tensors


def _spike_generator(key, model):
    """The `SpikeTimes` that a group or its name stands for, else None."""
    name = getattr(key, "name", key)
    if isinstance(key, str) and hasattr(caller_names().get(key), "variables"):
        name = caller_names()[key].name
    return next((g for g in model.groups if isinstance(g, SpikeTimes) and g.name == name), None)


def _given_spikes(group, value):
    tensor = si_tensor(value, DIMENSIONLESS, f"the spikes of {group.name}")
    if tensor.dim() != 3 or tensor.shape[2] != group.n or 0 in tensor.shape:
        raise ValueError(
            f"The spikes of {group.name} need the shape (time, batch, {group.n}), but have "
            f"{tuple(tensor.shape)}."
        )
    odd = tensor[(tensor != 0) & (tensor != 1)]
    if odd.numel():
        raise ValueError(
            f"The spikes of {group.name} are 1 where a neuron spikes in a step and 0 elsewhere, but contain "
            f"{odd[0].item():g}. A neuron spikes at most once in a step, as in Brian2."
        )
    return tensor


def input_step(name, model):
    """Time step in seconds of an input, as named by `given_inputs`."""
    if name.startswith("spikes "):
        return model[name.removeprefix("spikes ").removesuffix(".spike")].dt
    return model.input(name).dt


def steps_until(duration, first, dt):
    """Number of steps from step `first` on until so much time has passed, rounded as Brian2 does.

    Parameters
    ----------
    duration : Quantity
    first : int
    dt : float
        Seconds.
    """
    if not isinstance(duration, Quantity) or duration.dim is not SECOND:
        raise ValueError(f"duration={duration!r} needs a unit of time, such as duration=500*ms.")
    if not 0 < float(duration) < float("inf"):
        raise ValueError(f"duration={duration} must be positive.")
    end = first * dt + float(duration)
    steps = round(end / dt)
    if abs(steps * dt - end) / dt > Clock.epsilon_dt:
        steps = int(np.ceil(end / dt))
    return steps - first


class SpikeRows:
    """Spikes of a `SpikeGeneratorGroup` by the number of the step: Tensor (1, n) of 0 and 1.

    Parameters
    ----------
    table : SpikeTable
    dtype, device
    """

    def __init__(self, table, dtype, device):
        self.period = table.period
        self.none = torch.zeros(1, table.n, dtype=dtype, device=device)
        order = np.argsort(table.steps, kind="stable")
        steps, starts = np.unique(table.steps[order], return_index=True)
        parts = np.split(table.indices[order], starts[1:]) if len(steps) else []
        self.spikes = {
            int(step): torch.as_tensor(part, dtype=torch.int64, device=device)
            for step, part in zip(steps, parts, strict=True)
        }

    def __getitem__(self, step):
        spikes = self.spikes.get(step % self.period if self.period else step)
        return self.none if spikes is None else self.none.index_fill(-1, spikes, 1.0)


class GivenSpikes:
    """Spikes that a call gives in place of those of a `SpikeGeneratorGroup`; none after their end.

    Parameters
    ----------
    values : Tensor, shape (time, batch, n)
    """

    def __init__(self, values):
        self.rows = values.unbind(0)

    def __getitem__(self, step):
        return self.rows[step] if step < len(self.rows) else torch.zeros_like(self.rows[0])


def rows_of(name, values):
    """An input by the number of the step.

    Parameters
    ----------
    name : str
        As named by `given_inputs`.
    values : Tensor, shape (time, batch, n)

    Returns
    -------
    sequence of Tensor, shape (batch, n)
    """
    return GivenSpikes(values) if name.startswith("spikes ") else values.unbind(0)


def events_under_way(block, start, dtype, device):
    """Events that a pathway delivers although they were sent before the start.

    Parameters
    ----------
    block : Block
        Of the kind ``'pathway'``.
    start : int
        The pathway's first step.

    Returns
    -------
    dict of int to Tensor, shape (synapses,)
        0 or 1 for each synapse, by the step in which they arrive.
    """
    rows = {}
    for steps, synapse in block.under_way.tolist():
        row = rows.setdefault(start + steps, torch.zeros(block.size, dtype=dtype, device=device))
        row[synapse] += 1
    if any((row > 1.5).any() for row in rows.values()):
        raise simultaneous_events_error(block.name)
    return rows
