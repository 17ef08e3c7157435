"""A readout that is fitted anew, by regression, to a network that is not trained."""

import re

import numpy as np
from brian2 import second

__all__ = ["refitted_output"]

RIDGE = 1e-3  # of the mean variance of the regressors


def refitted_output(context, model):
    """Output of a network in which only the readout is fitted (ridge regression on trials of its own).

    Returns
    -------
    ndarray, shape (time, batch, outputs), or None
        For the context's trials; None where the output is not a weighted sum of one variable of a group.
    """
    read = _what_is_read(model, context.trained.output)
    if read is None:
        return None
    variable, connected = read
    lessons = context.task.trials(context.seed + 3000, len(context.trials), context.trials.dt * second)
    shown = _recorded(context, model, lessons, variable, context.seed + 3000)[:, :, connected]
    tested = _recorded(context, model, context.trials, variable, context.seed)[:, :, connected]
    weights = _ridge(shown, lessons.targets, lessons.mask)
    return np.concatenate([tested, np.ones_like(tested[:, :, :1])], axis=2) @ weights


def _what_is_read(model, output):
    group, _, name = output.partition(".")
    pattern = re.compile(
        rf"^\s*{name}_post\s*=\s*(?:\w+\s*\*\s*(\w+)_pre|(\w+)_pre\s*\*\s*\w+)\s*:.*summed", re.M
    )
    for projection in model.groups:
        if hasattr(projection, "i") and projection.target[0] == group:
            found = pattern.search(projection.equations)
            if found:
                variable = found.group(1) or found.group(2)
                return f"{projection.source[0]}.{variable}", np.unique(projection.i)
    return None


def _recorded(context, model, trials, variable, seed):
    """On the time step of the trials, as the output is."""
    simulated = context.run(model, trials, seed=seed, record=[variable])
    return trials.at_steps(simulated.states[variable].values, simulated.dt)


def _ridge(regressors, targets, mask):
    """Weights (regressors + 1, outputs) that minimise the squared error where the mask is 1."""
    rows = np.concatenate([regressors, np.ones_like(regressors[:, :, :1])], axis=2).reshape(
        -1, regressors.shape[2] + 1
    )
    targets, mask = targets.reshape(len(rows), -1), mask.reshape(len(rows), -1)
    weights = np.zeros((rows.shape[1], targets.shape[1]))
    for output in range(targets.shape[1]):
        used = rows * mask[:, [output]]
        square = used.T @ rows
        ridge = RIDGE * np.trace(square) / len(square) * np.eye(len(square))
        weights[:, output] = np.linalg.solve(square + ridge, used.T @ targets[:, output])
    return weights
