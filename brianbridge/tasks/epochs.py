"""The course of a trial: epochs one after the other, counted in steps.

An epoch is an integer array (batch, 2) with ``[start, stop)`` of each trial, so that durations may differ
from trial to trial.
"""

import numpy as np

from brianbridge.tasks.arguments import show

MOST_STEPS = 100_000_000  # of an epoch; more is a slip of the unit


def count_steps(name, duration, dt):
    """Convert durations to whole numbers of steps.

    Parameters
    ----------
    name : str
        What the duration is called, for error messages.
    duration : Quantity
        One duration, or an array (batch,) of them.
    dt : Quantity

    Returns
    -------
    int array
        Of the shape of `duration`.

    Raises
    ------
    ValueError
        If `dt` does not divide a duration (rounding would give another task at every time step), or if the
        steps are too many.
    """
    exact = np.asarray(duration / dt, dtype=float)
    if not np.all(exact <= MOST_STEPS):
        raise ValueError(
            f"{name}={show(np.max(duration))} takes more than {MOST_STEPS:,} steps of dt={show(dt)}; take a "
            "shorter one"
        )
    steps = np.rint(exact)
    misfits = np.abs(exact - steps) > 1e-6
    if misfits.any():
        misfit = np.atleast_1d(exact)[np.atleast_1d(misfits)][0]
        whole, wanted = max(round(misfit), 1), misfit * dt
        raise ValueError(
            f"dt={show(dt)} does not divide {name}={show(wanted)} ({misfit:.6g} steps); take "
            f"{name}={show(whole * dt)}, or a dt that divides it, such as {show(wanted / whole)}"
        )
    return steps.astype(int)


def lay_out(durations, batch, dt):
    """Lay epochs one after the other.

    Parameters
    ----------
    durations : dict
        Name of the epoch to its duration, in the order of the trial: a Quantity, scalar or (batch,).
    batch : int
    dt : Quantity

    Returns
    -------
    dict
        Name to int array (batch, 2). Epochs of no length in any trial are left out: to ask for the delay of a
        task that has none is then an error rather than an empty answer.
    """
    epochs, start = {}, np.zeros(batch, dtype=int)
    for name, duration in durations.items():
        stop = start + count_steps(name, duration, dt)
        if (stop > start).any():
            epochs[name] = np.stack([start, stop], axis=1)
        start = stop
    return epochs


def last_step(epochs):
    """Return the number of steps of the longest trial."""
    return max(int(epoch[:, 1].max()) for epoch in epochs.values())


def during(epoch, steps):
    """Mark the steps of one epoch.

    Parameters
    ----------
    epoch : int array (batch, 2)
    steps : int
        Length of the trials.

    Returns
    -------
    bool array (time, batch)
    """
    step = np.arange(steps)[:, np.newaxis]
    return (epoch[:, 0] <= step) & (step < epoch[:, 1])
