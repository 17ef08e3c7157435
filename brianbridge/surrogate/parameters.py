"""Trained parameters: an unconstrained tensor and the way from it to SI values that Brian2 is given."""

import numpy as np
import torch
from torch import nn

from brianbridge.model.constraints import Bounds, Dale, Free, Positive

__all__ = ["Parameter"]


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
        self._check(start)
        values = start.reshape(-1)
        labels = trainable.labels(start.size, group)
        self.register_buffer("labels", None if labels is None else torch.as_tensor(labels))
        self.register_buffer("signs", None)
        if isinstance(self.constraint, Dale):
            signs = Dale.signs(values, group.i)
            self.signs = torch.as_tensor(signs)
            values = np.abs(values)
        if labels is not None:
            values = np.bincount(labels, weights=values) / np.bincount(labels)
        self.raw = nn.Parameter(self._inverse(torch.tensor(values)))
        mask = self.constraint.mask
        self.register_buffer(
            "mask", None if mask is None else torch.as_tensor(np.asarray(mask, bool).reshape(-1))
        )
        self.register_buffer("start", torch.as_tensor(start.reshape(-1)))
        if self.mask is not None and self.mask.shape != self.start.shape:
            raise ValueError(
                f"{trainable.name} has {self.start.numel()} elements, but its mask has {self.mask.numel()}."
            )

    def _check(self, start):
        violation = self.constraint.violation(start)
        if violation:
            raise ValueError(
                f"{self.trainable.name} cannot be trained with {type(self.constraint).__name__}: {violation}."
            )

    def _inverse(self, values):
        if isinstance(self.constraint, Bounds):
            low, high = float(self.constraint.low), float(self.constraint.high)
            return torch.logit((values - low) / (high - low))
        if isinstance(self.constraint, Positive):
            return torch.log(values / self.unit)
        return values / self.unit

    def forward(self):
        """SI values, shape of the Brian2 variable, float64."""
        raw = self.raw
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
        if self.signs is not None:
            values = values * self.signs
        if self.mask is not None:
            values = torch.where(self.mask, values, self.start)
        return values.reshape(self.shape)

    @torch.no_grad()
    def project(self):
        """Back into the allowed set after an update (Dale's law by projection)."""
        if isinstance(self.constraint, Dale) and self.constraint.by == "projection":
            self.raw.clamp_(min=0)
