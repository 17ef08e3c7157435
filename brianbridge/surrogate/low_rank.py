"""Trained weights of low rank: three tensors and the way from them to the weights of synapses."""

import numpy as np
import torch
from torch import nn

from brianbridge.model.low_rank import FACTORS

__all__ = ["Modes"]


class Modes(nn.Module):
    """One `Trainable` that is constrained by `LowRank` as a module, like `Parameter`.

    Modes are trained as numbers, scores in the unit of the field; all in float64.

    Parameters
    ----------
    trainable : Trainable
        Its constraint holds the factors.
    model : Model
        Holds the weights that are their product.
    """

    def __init__(self, trainable, model):
        super().__init__()
        self.trainable = trainable
        self.constraint = trainable.constraint
        start = np.array(model.initial_value(trainable.targets[0]), dtype=float)
        group = model[trainable.targets[0][0]]
        self.unit = trainable.field_unit(start)
        mask = trainable.mask(start.size)
        for name in FACTORS:
            factor = torch.tensor(np.array(getattr(self.constraint, name))) / self._unit_of(name)
            self.register_parameter(name, nn.Parameter(factor))
            self.register_buffer(f"{name}_start", factor.clone())
        for name, array in dict(start=start, i=group.i, j=group.j, mask=mask).items():
            self.register_buffer(name, None if array is None else torch.as_tensor(np.array(array)))

    def _unit_of(self, factor):
        return self.unit if factor == "scores" else 1.0

    def tensors(self):
        """Names and unconstrained tensors."""
        return {f"{self.trainable.name}.{name}": getattr(self, name) for name in FACTORS}

    def present(self):
        """The `Trainable` with the present factors."""
        factors = [
            getattr(self, name).detach().cpu().numpy() * self._unit_of(name)
            if self._moved(name)
            else getattr(self.constraint, name)
            for name in FACTORS
        ]
        return self.trainable.with_constraint(self.constraint.with_factors(*factors))

    def _moved(self, name):
        return not torch.equal(getattr(self, name), getattr(self, f"{name}_start"))

    def forward(self):
        """SI weights, one for each synapse, float64; the model's own, bit for bit, until they are trained."""
        matrix = (self.xi_in * (self.scores * self.unit)) @ self.xi_out.T
        values = matrix[self.j.long(), self.i.long()]
        if not any(map(self._moved, FACTORS)):
            values = self.start - (values.detach() - values)  # keeps the gradient
        return values if self.mask is None else torch.where(self.mask, values, self.start)

    def project(self):
        """Every matrix of the factors is allowed."""
