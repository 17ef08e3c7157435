"""Trials in which a network is lost: its output is not finite any more."""

from dataclasses import replace

import numpy as np

__all__ = ["decisions_of", "diverged", "held_finite"]


def diverged(output):
    """Which trials of an output (time, trial, output) are lost: bool (trials,)."""
    return ~np.isfinite(np.asarray(output, dtype=float)).all(axis=(0, 2))


def held_finite(output):
    """The output with zeros for the whole of each lost trial, so that a task can judge the others."""
    output = np.asarray(output, dtype=float)
    return np.where(diverged(output)[None, :, None], 0.0, output)


def decisions_of(simulated, trials=None):
    """Outcomes of all trials; those that are lost are incorrect.

    Parameters
    ----------
    simulated : SimulatedTrials
    trials : Trials, optional
        What judges instead of the trials that were simulated.

    Returns
    -------
    str array (trials,)
    """
    outputs = simulated.outputs
    finite = replace(simulated, outputs=outputs.copy(data=held_finite(outputs)))
    found = finite.judged_as(simulated.trials if trials is None else trials)
    return np.where(diverged(outputs), "incorrect", found.values)
