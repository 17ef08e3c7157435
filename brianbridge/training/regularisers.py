"""Regularisers: what is added to the loss, whatever the output does.

A regulariser takes the `Simulated` trials and returns one number; any function that does so is one. What it
wants recorded is named in its attribute ``record``.
"""

from dataclasses import dataclass

import torch
from brian2.units.fundamentalunits import Quantity, get_dimensions, get_unit
from brian2.units.stdunits import Hz

from brianbridge.model.naming import trainable_name, variable_name

__all__ = ["Band", "L1", "L2", "L2Activity", "RateBand"]


@dataclass(frozen=True, eq=False)
class L1:
    """`strength` times the sum of the magnitudes of a parameter, in the unit of the field (pA, mV, ...).

    Parameters
    ----------
    parameter : VariableView or str
        Named as in ``wrap(train=...)``.
    strength : float
    """

    parameter: object
    strength: float

    def __call__(self, simulated):
        """Value of the term."""
        return self.strength * _values(self.parameter, simulated).abs().sum()


class L2(L1):
    """The same with the sum of the squares."""

    def __call__(self, simulated):
        """Value of the term."""
        return self.strength * _values(self.parameter, simulated).square().sum()


@dataclass(frozen=True, eq=False)
class L2Activity:
    """`strength` times the mean square of a variable over time, trials and units.

    For the rates of a rate network, or a filtered spike train (Song, Yang & Wang 2016).

    Parameters
    ----------
    variable : VariableView or str
    strength : float
    unit : Quantity, optional
        In which the variable is measured; needed if it has one.
    """

    variable: object
    strength: float
    unit: object = 1.0

    @property
    def record(self):
        """What it wants recorded."""
        return (self.variable,)

    def __call__(self, simulated):
        """Value of the term."""
        _check_unit(self.variable, self.unit, simulated, "unit")
        return self.strength * (simulated[self.variable] / float(self.unit)).square().mean()


@dataclass(frozen=True, eq=False)
class Band:
    """Keeps a variable, such as the membrane potential, between two values.

    `strength` times the mean square of what lies outside, over time, trials and units, in units of the width
    of the band.

    Parameters
    ----------
    variable : VariableView or str
    low, high : Quantity or float
    strength : float
    """

    variable: object
    low: object
    high: object
    strength: float

    def __post_init__(self):
        if not float(self.low) < float(self.high):
            raise ValueError(f"Band: low={self.low} must be less than high={self.high}.")

    @property
    def record(self):
        """What it wants recorded."""
        return (self.variable,)

    def __call__(self, simulated):
        """Value of the term."""
        for name in ("low", "high"):
            _check_unit(self.variable, getattr(self, name), simulated, name)
        low, high = float(self.low), float(self.high)
        return self.strength * (_outside(simulated[self.variable], low, high) / (high - low)).square().mean()


@dataclass(frozen=True, eq=False)
class RateBand:
    """Keeps the mean firing rate of every neuron between two rates.

    `strength` times the mean square, over neurons, of what lies outside, in Hz². The rate of a neuron is that
    over the whole trial and all trials; the gradient passes through the spike gradient.

    Parameters
    ----------
    group : NeuronGroup or str
    low, high : Quantity
    strength : float
    """

    group: object
    low: Quantity
    high: Quantity
    strength: float

    def __post_init__(self):
        if any(get_dimensions(rate) != get_dimensions(Hz) for rate in (self.low, self.high)):
            raise ValueError("RateBand: low and high are rates, such as 5*Hz.")
        if not float(self.low) < float(self.high):
            raise ValueError(f"RateBand: low={self.low} must be less than high={self.high}.")

    @property
    def record(self):
        """What it wants recorded."""
        return (self.group,)

    def __call__(self, simulated):
        """Value of the term."""
        rates = simulated[self.group].mean(dim=(0, 1)) / float(simulated.surrogate.dt)
        return self.strength * _outside(rates, float(self.low), float(self.high)).square().mean()


def _outside(values, low, high):
    """How far values lie outside of a band."""
    return torch.relu(values - high) + torch.relu(low - values)


def _values(key, simulated):
    """Values of a trained parameter in the unit of the field."""
    name = trainable_name(key, simulated.surrogate.model)
    parameter = next(p for p in simulated.surrogate.parameter if p.trainable.name == name)
    return parameter() / parameter.unit


def _check_unit(variable, value, simulated, what):
    model = simulated.surrogate.model
    name = variable_name(variable, model)
    dimensions = model.dimensions(name)
    if get_dimensions(value) != dimensions:
        raise ValueError(f"{what}={value} must be in {get_unit(dimensions)!r}, the unit of {'.'.join(name)}.")
