"""Trials in which nothing happens for a while: a long fixation, and nothing after it."""

from dataclasses import replace

import numpy as np
from brian2 import ms

from brianbridge.simulation.trials import asked_trials
from brianbridge.tasks import BuiltInTask, Trials

__all__ = ["conditions_of", "stationary_trials"]

FEWEST_ALIKE = 5  # trials of a condition, for its mean to be taken out


def stationary_trials(trained, task, trials, epoch, length_ms, seed):
    """Trials of a task up to the end of one epoch, which lasts longer than in the task where it can.

    Parameters
    ----------
    trained : Trained
    task : Task, str, Trials or None
        As in `simulate`.
    trials : int or Trials
    epoch : str or None
        None is the first one.
    length_ms : float
        How long the epoch of a built-in task is made. Trials that were drawn, and tasks of the user's own,
        have the length that they have.
    seed : int

    Returns
    -------
    task : Task or None
    trials : Trials
        Without those that do not have the epoch. Their only epoch.
    """
    task, drawn = asked_trials(trained, task, trials, seed)
    built_in = isinstance(task, BuiltInTask) and not isinstance(trials, Trials) and drawn is not trials
    if epoch is None:
        epoch = task.order[0] if built_in else next(iter(drawn.epochs), "")
    if built_in and epoch in task.order:
        task = type(task)(**task.arguments | {epoch: length_ms * ms})
        task, drawn = asked_trials(trained, task, trials, seed)
    if not drawn.during(epoch).any():
        raise ValueError(f"No trial has the epoch {epoch!r}.")
    return task, _up_to(drawn[drawn.during(epoch).any(axis=0)], epoch)


def _up_to(trials, epoch):
    """Trials without what comes after an epoch."""
    last = trials.epochs[epoch][:, 1].max()
    return replace(
        trials,
        inputs={name: values[:last] for name, values in trials.inputs.items()},
        targets=trials.targets[:last],
        mask=trials.mask[:last],
        epochs={epoch: trials.epochs[epoch]},
    )


def conditions_of(trials):
    """Number of the condition of every trial: int array (trials,).

    Trials that are shown the same inputs are of one condition. Where inputs are noisy, those are that agree
    in all of the task's conditions; where too few of these agree, all trials are taken as alike.
    """
    shown = [values.swapaxes(0, 1).reshape(len(trials), -1) for values in trials.inputs.values()]
    labelled = [np.unique(values, return_inverse=True)[1] for values in trials.conditions.values()]
    for columns in (shown, [np.stack(labelled, axis=1)] if labelled else []):
        if columns:
            _, number, counts = np.unique(
                np.concatenate(columns, axis=1), axis=0, return_inverse=True, return_counts=True
            )
            if counts.min() >= FEWEST_ALIKE:
                return number
    return np.zeros(len(trials), dtype=int)
