"""A nudge that is far below anything measurable: what a network makes of it is chaos."""

import numpy as np
from brian2 import volt

from brianbridge.checks.thresholds import watched
from brianbridge.model.equation_text import variable_dimensions

__all__ = ["nudge_of", "nudged"]

NUDGE = 1e-12  # volts: 1e-9 mV
NUDGED_PART = 1e-9  # of the range of what is no potential


def nudge_of(model, reference):
    """By how much the variables that are compared with thresholds start higher, and that in words.

    Parameters
    ----------
    model : Model
    reference : SimulatedTrials
        For the ranges of what is no potential.

    Returns
    -------
    dict of str to float
        SI, by ``'group.variable'``; empty where thresholds name no state.
    str
    """
    nudge, said = {}, {}
    for group in model.groups:
        variable = watched(group)
        if variable is None:
            continue
        name = f"{group.name}.{variable}"
        if variable_dimensions(group.equations)[variable] is volt.dim:
            nudge[name], said["1e-9 mV"] = NUDGE, None
        else:
            seen = np.array([final[name] for final in reference.final])
            nudge[name] = NUDGED_PART * (np.ptp(seen) or np.abs(seen).max() or 1.0)
            said[f"{NUDGED_PART:g} of the range of {name}"] = None
    return nudge, ", ".join(said) or "no variable could be nudged: thresholds name no state"


def nudged(model, initial, nudge, trials):
    """Initial states with a nudge.

    Parameters
    ----------
    model : Model
    initial : dict of str to ndarray, shape (trials, n)
        As `simulate` takes them.
    nudge : dict of str to float
    trials : int

    Returns
    -------
    dict of str to ndarray, shape (trials, n)
    """
    moved = dict(initial)
    for name, difference in nudge.items():
        group, _, variable = name.partition(".")
        same = np.tile(model[group].values[variable], (trials, 1))
        moved[name] = initial.get(name, same) + difference
    return moved
