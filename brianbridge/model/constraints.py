"""Constraints on trained parameters: what a parameter may become.

A constraint is a description only. How it is turned into an unconstrained tensor is the business of
`brianbridge.surrogate.parameters`.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from brian2 import Hz, Mohm, ms, mV, nS, pA, pF
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, Quantity, get_dimensions, get_unit

#: Units in which electrophysiology counts; what has another dimension is counted in its best display unit.
FIELD_UNITS = (mV, ms, pA, Mohm, nS, pF, Hz)

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
        The unit in which the optimiser sees the parameter; default is the usual one (mV, ms, pA, Mohm, nS,
        pF, Hz), else the best display unit of the values.
        A learning rate of 0.01 then means 0.01 of this unit (for `Bounds`: of the logit, for `Positive`: of
        the logarithm).
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
        outside = int(np.sum((values < low) | (values > high)))
        if not outside:
            return ""
        unit = get_unit(self.dimensions())
        return (
            f"{outside} of {np.size(values)} values are not between {self.low} and {self.high} "
            f"(they span {np.min(values) * unit} to {np.max(values) * unit})"
        )


@dataclass(frozen=True)
class Dale(Constraint):
    """Dale's law: all outgoing weights of a neuron keep the sign they have at the start.

    The sign of each presynaptic neuron is read from the weights, or given. Weights are kept non-negative
    times that sign, by one of three published ways.

    Parameters
    ----------
    by : {'projection', 'rectification', 'absolute'}
        Clip after every update (Li, Kim & Sejnowski 2020); rectify in the forward pass (Song, Yang & Wang
        2016; Kim & Sejnowski 2019); or take the absolute value.
    signs : array, optional
        Sign of each presynaptic neuron, 1 or -1: the diagonal of the sign matrix D in ``W = abs(W) D``.
        Needed for weights that start at zero, for example. Weights of the other sign are refused.
    """

    by: str = "projection"
    signs: object = field(default=None, kw_only=True)

    def __post_init__(self):
        if self.signs is not None and not np.all(np.isin(np.asarray(self.signs, dtype=float), [-1, 1])):
            raise ValueError("Dale(signs=...): every presynaptic neuron has the sign 1 or -1.")
        ways = ("projection", "rectification", "absolute")
        if self.by not in ways:
            raise ValueError(f"Dale(by={self.by!r}): choose one of {', '.join(map(repr, ways))}.")


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

    def with_constraint(self, constraint):
        """A copy with another constraint."""
        return replace(self, constraint=constraint)

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
        labels = np.unique(np.asarray(tie), return_inverse=True)[1].reshape(-1)
        if labels.size != size:
            raise ValueError(f"{self.name} has {size} elements, but tie holds {labels.size} labels.")
        return labels

    def mask(self, size):
        """Which elements are trained.

        Parameters
        ----------
        size : int
            Number of elements.

        Returns
        -------
        ndarray of bool, shape (size,), or None
            None when all are.
        """
        if self.constraint.mask is None:
            return None
        mask = np.asarray(self.constraint.mask)
        if mask.dtype != bool:
            raise ValueError(f"{self.name}: a mask is an array of True and False, not of {mask.dtype}.")
        if mask.size != size:
            raise ValueError(f"{self.name} has {size} elements, but its mask has {mask.size}.")
        if not mask.any():
            raise ValueError(f"{self.name}: its mask trains nothing; leave it out of train=.")
        return mask.reshape(-1)

    def signs(self, values, group):
        """Sign of every synapse under Dale's law, given or from the weights of its presynaptic neuron.

        Parameters
        ----------
        values : ndarray, shape (synapses,)
        group : Projection

        Returns
        -------
        ndarray, shape (synapses,)
            +1 or -1. Neurons whose weights are all zero count as excitatory, unless they are minus zero,
            which is what training leaves of an inhibitory neuron without weights.

        Raises
        ------
        ValueError
            If a neuron has weights of both signs, or a tie joins neurons of different signs.
        """
        excitatory = np.unique(group.i[values > 0])
        mixed = np.intersect1d(excitatory, group.i[values < 0])
        if len(mixed):
            some = ", ".join(map(str, mixed[:5])) + (", ..." if len(mixed) > 5 else "")
            raise ValueError(
                f"{self.name}: Dale() reads each presynaptic neuron's sign from its weights, but "
                f"{len(mixed)} neurons have weights of both signs (neurons {some}). Give the weights of "
                "every neuron one sign first."
            )
        if self.constraint.signs is None:
            inhibitory = np.setdiff1d(group.i[np.signbit(values)], excitatory)
            signs = np.where(np.isin(group.i, inhibitory), -1.0, 1.0)
        else:
            signs = self._given_signs(values, group)
        labels = self.labels(values.size, group)
        if labels is not None and np.any(np.bincount(labels, signs != signs[0]) % np.bincount(labels)):
            raise ValueError(
                f"{self.name}: tie={self.constraint.tie!r} joins weights of both signs under Dale()."
            )
        return signs

    def _given_signs(self, values, group):
        """The user's sign of every presynaptic neuron, for every synapse."""
        given = np.array(self.constraint.signs, dtype=float).reshape(-1)
        if group.n and given.size <= group.i.max():
            raise ValueError(
                f"{self.name}: Dale(signs=...) has {given.size} signs, one for each presynaptic neuron, but "
                f"neuron {group.i.max()} has synapses."
            )
        signs = given[group.i]
        wrong = np.unique(group.i[values * signs < 0])
        if len(wrong):
            raise ValueError(
                f"{self.name}: Dale(signs=...) contradicts the weights of {len(wrong)} neurons, the first is "
                f"neuron {wrong[0]}. Give their weights the sign first."
            )
        return signs

    def field_unit(self, values):
        """The unit in which the parameter is trained, as an SI factor (mV gives 0.001)."""
        unit = self.constraint.unit
        if unit is not None and get_dimensions(unit) != self.dimensions:
            raise ValueError(
                f"{self.name}: unit={unit} does not fit, the variable is in {get_unit(self.dimensions)!r}."
            )
        if unit is None:
            usual = [u for u in FIELD_UNITS if u.dim is self.dimensions]
            unit = usual[0] if usual else self._display_unit(values)
        return float(unit)

    def _display_unit(self, values):
        if self.dimensions is DIMENSIONLESS or not np.size(values):
            return 1.0
        return Quantity(np.abs(values).mean(), dim=self.dimensions).get_best_unit()
