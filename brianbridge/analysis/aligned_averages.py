"""Rates aligned to an event of each trial, and averaged over trials of a condition."""

from __future__ import annotations

import numpy as np


def align(rates, event, before, after, *, until=None):
    """
    Cut out of each trial the time around an event, such as the onset of the stimulus or the decision.

    Parameters
    ----------
    rates : array (trials, time, units)
    event : int array (trials,)
        Step of the event in each trial; negative for a trial without it.
    before, after : int
        Steps to keep before the event, and from it on.
    until : int array (trials,), optional
        Step of each trial from which on it no longer counts, such as the end of its stimulus.

    Returns
    -------
    array (trials, before + after, units)
        The event is at step `before`; NaN where a trial has no value.
    """
    rates, event = np.asarray(rates, dtype=float), np.asarray(event)
    until = np.full(len(rates), rates.shape[1]) if until is None else np.minimum(until, rates.shape[1])
    step = event[:, None] + np.arange(-before, after)
    inside = (step >= 0) & (step < until[:, None]) & (event >= 0)[:, None]
    aligned = np.take_along_axis(rates, np.where(inside, step, 0)[:, :, None], axis=1)
    return np.where(inside[:, :, None], aligned, np.nan)


def condition_averages(rates, conditions):
    """
    Average rates over the trials of each condition.

    Parameters
    ----------
    rates : array (trials, time, units)
        NaN where a trial has no value; it is left out.
    conditions : dict of str to array (trials,)
        What varied between trials, such as ``trials.conditions`` of a task; select correct trials before.

    Returns
    -------
    labels : dict of str to array (conditions,)
        The combinations that occur, in ascending order.
    averages : array (conditions, time, units)
        NaN where no trial has a value.
    """
    rates = np.asarray(rates, dtype=float)
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in conditions.values()])
    _, first, which = np.unique(codes, axis=1, return_index=True, return_inverse=True)
    labels = {name: np.asarray(values)[first] for name, values in conditions.items()}
    averages = np.full((len(first), *rates.shape[1:]), np.nan)
    for number, average in enumerate(averages):
        chosen = rates[which.ravel() == number]
        known = np.isfinite(chosen)
        np.divide(
            np.where(known, chosen, 0).sum(axis=0), known.sum(axis=0), out=average, where=known.any(axis=0)
        )
    return labels, averages
