"""Weights of low rank: a few modes of the population instead of one number for each synapse."""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from brian2.units.fundamentalunits import get_dimensions, get_unit

from brianbridge.model.constraints import Constraint

__all__ = ["FACTORS", "LowRank", "end_size", "with_modes"]

#: Names of the three factors of a weight matrix, in files and for optimisers: ``rec.w.xi_in``.
FACTORS = ("xi_in", "scores", "xi_out")


@dataclass(frozen=True, eq=False)
class LowRank(Constraint):
    """Weights of a `Synapses` are a product, W = xi_in diag(scores) xi_out^T (Lin & Huang 2024, eq. 2).

    The weight from neuron j to neuron i is the sum over modes p of ``xi_in[i, p] scores[p] xi_out[j, p]``.
    The factors are trained in place of the weights. See `as_modes` for the network in which they are neurons.

    Parameters
    ----------
    modes : int
        Number of modes P, the rank of the matrix.
    xi_in : ndarray, shape (postsynaptic neurons, P), optional
        Input modes: what a neuron receives from each mode.
    scores : Quantity, shape (P,), optional
        Strength of each mode, in the unit of the weights.
    xi_out : ndarray, shape (presynaptic neurons, P), optional
        Output modes: what a neuron contributes to each mode.

    Notes
    -----
    Without factors training starts from the best approximation of the network's own weights by P modes (their
    singular value decomposition, with modes whose elements have a root mean square of 1).
    """

    modes: int
    xi_in: object = field(default=None, kw_only=True)
    scores: object = field(default=None, kw_only=True)
    xi_out: object = field(default=None, kw_only=True)

    def __post_init__(self):
        if not isinstance(self.modes, int) or isinstance(self.modes, bool) or self.modes < 1:
            raise ValueError(f"LowRank({self.modes!r}): the number of modes is a whole number from 1 on.")
        if self.tie is not None:
            raise ValueError(f"LowRank(tie={self.tie!r}): modes share their values already; leave out tie=.")
        missing = [name for name in FACTORS if getattr(self, name) is None]
        if missing and len(missing) < len(FACTORS):
            raise ValueError(
                f"LowRank({self.modes}): {', '.join(missing)} missing; give all of {', '.join(FACTORS)}, or "
                "none to start from the network's own weights."
            )
        for name in FACTORS if not missing else ():
            self._check_shape(name, np.shape(getattr(self, name)))
            if not np.all(np.isfinite(getattr(self, name))):
                raise ValueError(f"LowRank({self.modes}): {name} contains NaN or infinity.")

    def _check_shape(self, name, found):
        expected = "(modes,)" if name == "scores" else "(neurons, modes)"
        if len(found) != (1 if name == "scores" else 2) or found[-1] != self.modes:
            raise ValueError(
                f"LowRank({self.modes}): {name} has the shape {found}; expected {expected} with "
                f"{self.modes} modes."
            )

    @property
    def complete(self):
        """Whether the factors are known."""
        return self.scores is not None

    def with_factors(self, xi_in, scores, xi_out):
        """A copy with these factors, in SI units."""
        factors = [np.array(factor, dtype=float) for factor in (xi_in, scores, xi_out)]
        for factor in factors:
            factor.setflags(write=False)
        return replace(self, **dict(zip(FACTORS, factors, strict=True)))

    def matrix(self):
        """The full weight matrix in SI units, shape (postsynaptic, presynaptic neurons)."""
        return (self.xi_in * np.asarray(self.scores)) @ self.xi_out.T


def with_modes(model, trainable):
    """Give a `LowRank` parameter its factors, and the model the weights that are their product.

    Parameters
    ----------
    model : Model
    trainable : Trainable
        Constrained by a `LowRank`.

    Returns
    -------
    Model, Trainable

    Raises
    ------
    ValueError
        If these are not weights of synapses, or given factors do not fit them.

    Warns
    -----
    UserWarning
        If the weights of the network cannot be written with so many modes, and how much of them can.
    """
    name, owner = trainable.name, trainable.targets[0][0]
    group = model[owner] if owner else None
    weights = model.initial_value(trainable.targets[0])
    if not hasattr(group, "i") or weights.shape == ():
        raise ValueError(f"{name}: LowRank() is for weights of Synapses, one for each synapse.")
    if len(np.unique(np.stack([group.i, group.j]), axis=1).T) < group.n:
        raise ValueError(f"{name}: LowRank() has one weight for each pair, but {owner} connects some twice.")
    shape = end_size(model, group.target), end_size(model, group.source)
    constraint = trainable.constraint
    if constraint.complete:
        constraint = _given(name, constraint, shape, trainable.dimensions)
    else:
        constraint = _approximation(name, constraint, group, weights, shape)
    product = constraint.matrix()[group.j, group.i]
    lost = np.sum((product - weights) ** 2) / max(np.sum(weights**2), np.finfo(float).tiny)
    if lost > 1e-12:  # else the network's own weights keep their bits
        model = model.with_values({trainable.targets[0]: product})
        if not trainable.constraint.complete:
            _warn_of_loss(name, constraint.modes, lost)
    return model, trainable.with_constraint(constraint)


def end_size(model, end):
    """Number of neurons at one end of a projection, which may be a part of a group."""
    name, start, stop = end
    return model[name].n if start is None else stop - start


def _given(name, constraint, shape, dimensions):
    """The user's factors, which must fit the weights."""
    if get_dimensions(constraint.scores) != dimensions:
        raise ValueError(
            f"{name} is in {get_unit(dimensions)!r}, but the scores of its modes are in "
            f"{get_unit(get_dimensions(constraint.scores))!r}."
        )
    for factor, n, side in (("xi_in", shape[0], "post"), ("xi_out", shape[1], "pre")):
        found = len(getattr(constraint, factor))
        if found != n:
            raise ValueError(f"{name} has {n} {side}synaptic neurons, but {factor} has {found} rows.")
    return constraint.with_factors(*(getattr(constraint, factor) for factor in FACTORS))


def _approximation(name, constraint, group, weights, shape):
    """The best approximation by so many modes (Eckart & Young 1936), elements of modes being of order 1."""
    if constraint.modes > min(shape):
        raise ValueError(
            f"{name} connects {shape[1]} to {shape[0]} neurons: it has at most {min(shape)} modes, "
            f"LowRank({constraint.modes}) wants {constraint.modes}."
        )
    matrix = np.zeros(shape)
    matrix[group.j, group.i] = weights
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    left, singular, right = (part[..., : constraint.modes] for part in (left, singular, right.T))
    scale = np.sqrt(shape)
    return constraint.with_factors(left * scale[0], singular / np.prod(scale), right * scale[1])


def _warn_of_loss(name, modes, lost):
    warnings.warn(
        f"{name} starts from the best approximation of its weights by {modes} modes, which leaves "
        f"{lost:.0%} of the sum of their squares aside. Other starts: LowRank({modes}, xi_in=..., "
        "scores=..., xi_out=...).",
        stacklevel=6,
    )
