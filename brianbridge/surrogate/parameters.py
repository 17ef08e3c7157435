"""Trained parameters: an unconstrained tensor and the way from it to SI values that Brian2 is given."""

import numpy as np
import torch
from torch import nn

from brianbridge.model.constraints import Bounds, Dale, Free, Positive
from brianbridge.model.low_rank import FACTORS, LowRank
from brianbridge.model.naming import UnknownName, trainable_name
from brianbridge.surrogate.low_rank import Modes

__all__ = ["Parameter", "named_tensors", "parameter_of"]


def parameter_of(trainable, model):
    """The module of a `Trainable`."""
    kind = Modes if isinstance(trainable.constraint, LowRank) else Parameter
    return kind(trainable, model)


def named_tensors(key, parameters, model):
    """Unconstrained tensors that a key stands for, by name.

    Parameters
    ----------
    key : VariableView, TimedArray or str
        A trained parameter, named as in ``wrap(train=...)``; or one factor of weights of low rank
        (``'rec.w.scores'``).
    parameters : sequence of Parameter and Modes
    model : Model

    Returns
    -------
    dict of str to nn.Parameter

    Raises
    ------
    UnknownName
        If it is not trained.
    """
    tensors = {p.trainable.name: p.tensors() for p in parameters}
    whole, _, factor = key.rpartition(".") if isinstance(key, str) else ("", "", "")
    try:
        return tensors[trainable_name(key, model)]
    except UnknownName:
        if factor not in FACTORS:
            raise
    name = trainable_name(whole, model)
    if f"{name}.{factor}" not in tensors[name]:
        raise UnknownName(f"{name} is not trained as LowRank: it has no {factor}.")
    return {f"{name}.{factor}": tensors[name][f"{name}.{factor}"]}


class Parameter(nn.Module):
    """One `Trainable` as a module.

    The unconstrained tensor is kept in float64 and in the unit of the field, whatever the precision of the
    simulation: what Brian2 is given is exactly what was trained.

    Parameters
    ----------
    trainable : Trainable
    model : Model
        Holds the values to start from.

    Raises
    ------
    ValueError
        If an initial value breaks the constraint.
    """

    def __init__(self, trainable, model):
        super().__init__()
        self.trainable = trainable
        self.constraint = trainable.constraint
        start = np.array(model.initial_value(trainable.targets[0]), dtype=float)
        owner = trainable.targets[0][0]
        group = model[owner] if owner else None
        self.shape = start.shape
        self.unit = trainable.field_unit(start)
        violation = self.constraint.violation(start)
        if violation:
            raise ValueError(
                f"{trainable.name} cannot be trained with {type(self.constraint).__name__}: {violation}."
            )
        values = start.reshape(-1)
        labels = trainable.labels(start.size, group)
        signs = trainable.signs(values, group) if isinstance(self.constraint, Dale) else None
        mask = trainable.mask(start.size)
        if signs is not None:
            values = np.abs(values)
        if labels is not None:
            values = np.bincount(labels, weights=values) / np.bincount(labels)
        self.raw = nn.Parameter(self._inverse(torch.tensor(values)))
        for name, array in dict(labels=labels, signs=signs, mask=mask, start=start.reshape(-1)).items():
            self.register_buffer(name, None if array is None else torch.as_tensor(array))
        self.register_buffer("raw_start", self.raw.detach().clone())
        with torch.no_grad():
            there_and_back = self._transform(self.raw)
        only_rounding = torch.isclose(
            there_and_back, self.start, rtol=1e-9, atol=0
        )  # else tied, to their mean
        self.register_buffer("exact", torch.where(only_rounding, self.start, there_and_back))

    def tensors(self):
        """Names and unconstrained tensors; here there is one."""
        return {self.trainable.name: self.raw}

    def present(self):
        """The `Trainable` as it is stored with the present values."""
        return self.trainable

    def _inverse(self, values):
        if isinstance(self.constraint, Bounds):
            low, high = float(self.constraint.low), float(self.constraint.high)
            # training may end on a bound; the logit of 0 is infinite
            return torch.logit(((values - low) / (high - low)).clamp(1e-15, 1 - 1e-15))
        if isinstance(self.constraint, Positive):
            return torch.log(values / self.unit)
        return values / self.unit

    def forward(self):
        """SI values, shape of the Brian2 variable, float64.

        As long as a value was not trained it is the model's own, bit for bit: from volt to millivolt and back
        is not bit-equal for one value in seven.
        """
        values = self._transform(self.raw)
        untouched = self.raw == self.raw_start
        untouched = untouched if self.labels is None else untouched[self.labels]
        values = torch.where(untouched, self.exact - (values.detach() - values), values)  # keeps the gradient
        if self.mask is not None:
            values = torch.where(self.mask, values, self.start)
        return values.reshape(self.shape)

    def _transform(self, raw):
        if isinstance(self.constraint, Bounds):
            low, high = float(self.constraint.low), float(self.constraint.high)
            values = low + (high - low) * torch.sigmoid(raw)
        elif isinstance(self.constraint, Positive):
            values = torch.exp(raw) * self.unit
        elif isinstance(self.constraint, Dale):
            magnitude = {"projection": raw, "rectification": torch.relu(raw), "absolute": raw.abs()}
            values = magnitude[self.constraint.by] * self.unit
        elif isinstance(self.constraint, Free):
            values = raw * self.unit
        else:
            raise TypeError(f"{self.trainable.name}: no transform is known for {self.constraint!r}.")
        if self.labels is not None:
            values = values[self.labels]
        return values if self.signs is None else values * self.signs

    @torch.no_grad()
    def project(self):
        """Back into the allowed set after an update (Dale's law by projection)."""
        if isinstance(self.constraint, Dale) and self.constraint.by == "projection":
            self.raw.clamp_(min=0)
