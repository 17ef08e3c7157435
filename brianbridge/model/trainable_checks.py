"""Whether what is to be trained can be: the constraint fits the variable and its values."""

import numpy as np
from brian2.units.fundamentalunits import get_unit

from brianbridge.model.constraints import Bounds, Dale

__all__ = ["check_trainable"]


def check_trainable(model, trainable):
    """The constraint fits the variable, and its values obey it at the start.

    Parameters
    ----------
    model : Model
    trainable : Trainable

    Raises
    ------
    ValueError
        Naming the variable, with what does not fit.
    """
    name, constraint = trainable.name, trainable.constraint
    owner = trainable.targets[0][0]
    group = model[owner] if owner else None
    values = model.initial_value(trainable.targets[0])
    if values.dtype.kind != "f":
        raise ValueError(f"{name} holds whole numbers or truth values, which have no gradient.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} starts with NaN or infinity.")
    expected = constraint.dimensions()
    if expected is not None and expected != trainable.dimensions:
        raise ValueError(
            f"{name} is in {get_unit(trainable.dimensions)!r}, but its bounds are in {get_unit(expected)!r}."
        )
    trainable.field_unit(values)
    trainable.labels(values.size, group)
    trainable.mask(values.size)
    violation = constraint.violation(values)
    if violation:
        raise ValueError(f"{name} does not start inside its bounds: {violation}.")
    if isinstance(constraint, Bounds) and np.any(
        np.isin(values, [float(constraint.low), float(constraint.high)])
    ):
        raise ValueError(
            f"{name} starts on one of its bounds, {constraint.low} and {constraint.high}: no gradient."
        )
    if isinstance(constraint, Dale):
        if not hasattr(group, "i") or values.shape == ():
            raise ValueError(f"{name}: Dale() is for weights of Synapses, one for each synapse.")
        trainable.signs(values, group)
