"""Constraints on trained parameters: what a parameter may become.

A constraint is a description only. How it is turned into an unconstrained tensor is the business of
`brianbridge.surrogate.parameters`.
"""

from dataclasses import dataclass

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, Quantity, get_dimensions, get_unit

__all__ = ["Bounds", "Constraint", "Dale", "Free", "Positive", "Trainable"]


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What is common to all constraints.

    Parameters
    ----------
    tie : None, 'all', 'i', 'j' or array of int, optional
        Share one value between all elements, between the synapses of one presynaptic (``'i'``) or
        postsynaptic (``'j'``) neuron, or between the elements that carry the same label.
    mask : array of bool, optional
        Where False the element keeps its value; default all are trained.
    unit : Quantity, optional
        The unit in which the optimiser sees the parameter; default is the best display unit of the values.
        A learning rate of 0.01 then means 0.01 of this unit (for `Bounds`: of the logit).
    """

    tie: object = None
    mask: object = None
    unit: object = None

    def dimensions(self):
        """Physical dimensions that the constraint fixes, or None."""
        return None

    def violation(self, values):
        """Say in words how the SI `values` break the constraint, or return an empty string."""
        return ""


@dataclass(frozen=True)
class Free(Constraint):
    """No constraint."""


@dataclass(frozen=True)
class Positive(Constraint):
    """Values stay positive: trained through the logarithm."""

    def violation(self, values):
        return "" if np.all(values > 0) else f"the smallest is {np.min(values):.6g}, not positive"


@dataclass(frozen=True)
class Bounds(Constraint):
    """Values stay between two bounds, through a logistic function (Li, Kim & Sejnowski 2020, eq. 14).

    Parameters
    ----------
    low, high : Quantity or float
        The bounds; both with the unit of the variable.

    Raises
    ------
    ValueError
        If `low` is not below `high`.
    DimensionMismatchError
        If the two have different units.
    """

    low: object = 0.0
    high: object = 1.0

    def __init__(self, low, high, *, tie=None, mask=None, unit=None):
        for name, value in dict(low=low, high=high, tie=tie, mask=mask, unit=unit).items():
            object.__setattr__(self, name, value)
        if get_dimensions(low) != get_dimensions(high):
            raise ValueError(f"Bounds({low}, {high}): the two bounds have different units.")
        if not float(low) < float(high):
            raise ValueError(f"Bounds({low}, {high}): the lower bound must be below the upper one.")

    def dimensions(self):
        return get_dimensions(self.low)

    def violation(self, values):
        low, high = float(self.low), float(self.high)
        outside = int(np.sum((values <= low) | (values >= high)))
        if not outside:
            return ""
        unit = get_unit(self.dimensions())
        return (
            f"{outside} of {np.size(values)} values are not strictly between {self.low} and {self.high} "
            f"(they span {np.min(values) * unit} to {np.max(values) * unit})"
        )


@dataclass(frozen=True)
class Dale(Constraint):
    """Dale's law: all outgoing weights of a neuron keep the sign they have at the start.

    The sign of each presynaptic neuron is read from the weights. Weights are kept non-negative times that
    sign, by one of three published ways.

    Parameters
    ----------
    by : {'projection', 'rectification', 'absolute'}
        Clip after every update (Li, Kim & Sejnowski 2020); rectify in the forward pass (Song, Yang & Wang
        2016; Kim & Sejnowski 2019); or take the absolute value.
    """

    by: str = "projection"

    def __post_init__(self):
        ways = ("projection", "rectification", "absolute")
        if self.by not in ways:
            raise ValueError(f"Dale(by={self.by!r}): choose one of {', '.join(map(repr, ways))}.")

    @staticmethod
    def signs(values, presynaptic):
        """Sign of every synapse, from the weights of its presynaptic neuron.

        Parameters
        ----------
        values : ndarray, shape (synapses,)
        presynaptic : ndarray of int, shape (synapses,)

        Returns
        -------
        ndarray, shape (synapses,)
            +1 or -1; neurons whose weights are all zero count as excitatory.

        Raises
        ------
        ValueError
            If a neuron has weights of both signs.
        """
        n = int(presynaptic.max()) + 1 if len(presynaptic) else 0
        inhibitory = np.zeros(n, bool)
        excitatory = np.zeros(n, bool)
        np.logical_or.at(inhibitory, presynaptic, values < 0)
        np.logical_or.at(excitatory, presynaptic, values > 0)
        mixed = np.flatnonzero(inhibitory & excitatory)
        if len(mixed):
            some = ", ".join(map(str, mixed[:5])) + (", ..." if len(mixed) > 5 else "")
            raise ValueError(
                f"Dale() reads each presynaptic neuron's sign from its weights, but {len(mixed)} neurons "
                f"have weights of both signs (neurons {some}). Give every neuron's weights one sign first."
            )
        return np.where(inhibitory, -1.0, 1.0)[presynaptic]


@dataclass(frozen=True, eq=False)
class Trainable:
    """One trained parameter: where it lives and what it may become.

    Attributes
    ----------
    targets : tuple of (str, str)
        ``(group, variable)``; several when a constant that several groups use is trained.
    constraint : Constraint
    dimensions : Dimension
        Physical dimensions of the variable.
    """

    targets: tuple
    constraint: Constraint
    dimensions: Dimension = DIMENSIONLESS

    @property
    def name(self):
        """``group.variable`` of the first target, the parameter's name in files and histories."""
        return ".".join(filter(None, self.targets[0]))

    def labels(self, size, group):
        """Label of every element: elements that carry the same label share one value.

        Parameters
        ----------
        size : int
            Number of elements.
        group : Neurons, Projection or None
            The group that holds the first target; None for a timed input.

        Returns
        -------
        ndarray of int or None
            None when nothing is tied.
        """
        tie = self.constraint.tie
        if tie is None:
            return None
        if isinstance(tie, str):
            if tie == "all":
                return np.zeros(size, dtype=np.int64)
            if tie in ("i", "j") and hasattr(group, "i"):
                return np.unique(getattr(group, tie), return_inverse=True)[1]
            raise ValueError(
                f"{self.name}: tie={tie!r} is not understood; use 'all', an array of labels, or (for "
                "variables of Synapses) 'i' or 'j'."
            )
        labels = np.unique(np.asarray(tie), return_inverse=True)[1]
        if labels.size != size:
            raise ValueError(f"{self.name} has {size} elements, but tie holds {labels.size} labels.")
        return labels

    def field_unit(self, values):
        """The unit in which the parameter is trained, as an SI factor (mV gives 0.001)."""
        unit = self.constraint.unit
        if unit is None:
            unit = Quantity(np.abs(values).mean(), dim=self.dimensions)
            unit = unit.get_best_unit() if self.dimensions is not DIMENSIONLESS else 1
        elif get_dimensions(unit) != self.dimensions:
            raise ValueError(
                f"{self.name}: unit={unit} does not fit, the variable is in {get_unit(self.dimensions)!r}."
            )
        return float(unit)
