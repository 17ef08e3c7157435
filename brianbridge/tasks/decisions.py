"""Reading an answer out of a network's output."""

import numpy as np
from brian2.units import Quantity


def read_output(output, trials):
    """Check that an output belongs to the trials.

    Parameters
    ----------
    output : array (time, batch, outputs)
    trials : Trials

    Returns
    -------
    float array (time, batch, outputs)

    Raises
    ------
    ValueError
        If the shape is not that of ``trials.targets``, a value is not finite, or the output has a unit.
    """
    if isinstance(output, Quantity) and not output.is_dimensionless:
        raise ValueError(
            f"output has the unit {output.get_best_unit()}, but targets are plain numbers; "
            f"divide it by its unit"
        )
    values, expected = np.asarray(output, dtype=float), trials.targets.shape
    if values.shape != expected:
        remedy = "record one value a step of trials.dt"
        if values.shape == (expected[1], expected[0], expected[2]):
            remedy = "time comes first, write output.swapaxes(0, 1)"
        elif values.shape == expected[:2]:
            remedy = "write output[:, :, np.newaxis]"
        raise ValueError(
            f"output has shape {values.shape}, but trials.targets {expected} = (time, batch, "
            f"outputs); {remedy}"
        )
    finite = np.isfinite(values).all(axis=(0, 2))
    if not finite.all():
        # NaN crosses no bound: it would pass for a network that chose not to answer.
        raise ValueError(
            f"output is not finite in {np.sum(~finite)} of {len(trials)} trials (first: trial "
            f"{np.argmin(finite)}); the network has diverged"
        )
    return values


def first_crossing(output, window, bound):
    """Find which of two bounds an output crosses first.

    Parameters
    ----------
    output : float array (time, batch)
    window : bool array (time, batch)
        The steps that count.
    bound : float
        The bounds are +bound and -bound; to reach one is not yet to cross it.

    Returns
    -------
    int array (batch,)
        +1, -1, or 0 where neither is crossed.
    """
    beyond = window & (np.abs(output) > bound)
    side = np.sign(output[beyond.argmax(axis=0), np.arange(output.shape[1])])
    return np.where(beyond.any(axis=0), side, 0).astype(int)


def wanted_crossing(output, window, bound, wanted):
    """Find whether the wanted bound is crossed at any time; if not, whether the other one is.

    Parameters
    ----------
    output : float array (time, batch)
    window : bool array (time, batch)
    bound : float
    wanted : int array (batch,)
        +1 or -1.

    Returns
    -------
    int array (batch,)
        +1, -1, or 0 where neither is crossed.
    """
    towards = np.where(window, output * wanted, 0.0)
    other = np.where(towards.min(axis=0) < -bound, -1, 0)
    return wanted * np.where(towards.max(axis=0) > bound, 1, other)


def sign_of_mean(output, window):
    """Return the sign of the mean of an output (time, batch) in a window: int array (batch,)."""
    return np.sign(np.where(window, output, 0.0).sum(axis=0)).astype(int)


def at_end(output, trials):
    """Return the output in the last step of each trial's own length: (batch, outputs)."""
    return output[trials.lengths - 1, np.arange(len(trials))]


def largest(values):
    """Find the largest of the values (batch, outputs): int array (batch,), -1 where two are largest."""
    ordered = np.sort(values, axis=1)
    return np.where(ordered[:, -1] > ordered[:, -2], values.argmax(axis=1), -1)


def first_above(output, window, bound):
    """Find which output first exceeds a bound, and when.

    Parameters
    ----------
    output : float array (time, batch, outputs)
    window : bool array (time, batch)
    bound : float

    Returns
    -------
    choice : int array (batch,)
        The output; the larger one where two cross in one step; -1 where none crosses.
    step : int array (batch,)
        When; -1 where none crosses.
    """
    above = window & (output > bound).any(axis=2)
    step = above.argmax(axis=0)
    choice = output[step, np.arange(len(step))].argmax(axis=1)
    crossed = above.any(axis=0)
    return np.where(crossed, choice, -1), np.where(crossed, step, -1)


def normalised_error(output, targets, window):
    """Return the variance of the error over that of the target, in a window of each trial.

    Parameters
    ----------
    output, targets : float array (time, batch, outputs)
    window : bool array (time, batch)

    Returns
    -------
    float array (batch,)
        Over time and outputs together, each output about its own mean.
    """
    shown = np.broadcast_to(window[:, :, np.newaxis], output.shape)
    error = (output - targets).var(axis=0, where=shown).sum(axis=1)
    return error / targets.var(axis=0, where=shown).sum(axis=1)


def mean_square_error(output, trials):
    """Return the squared error of each trial, averaged over the unmasked values: float array (batch,)."""
    squared = trials.mask * (read_output(output, trials) - trials.targets) ** 2
    return squared.sum(axis=(0, 2)) / trials.mask.sum(axis=(0, 2))


def accuracy_by_condition(correct, conditions, *names):
    """Return the fraction of correct trials in each condition.

    Parameters
    ----------
    correct : bool array (batch,)
    conditions : dict
        ``trials.conditions``.
    *names
        What distinguishes conditions; ``'f1', 'f2'`` for example.

    Returns
    -------
    dict
        Tuple of values to fraction. ``min(....values())`` is the criterion of Song, Yang & Wang (2016) for
        parametric working memory.
    """
    keys = list(zip(*(np.asarray(conditions[name]).tolist() for name in names), strict=True))
    return {
        key: float(np.mean([c for c, k in zip(correct, keys, strict=True) if k == key]))
        for key in sorted(set(keys))
    }


def wanted_sign(targets, window):
    """Return the sign of the targets (time, batch) in the window (time, batch): int array (batch,)."""
    return np.sign(np.where(window, targets, 0.0).sum(axis=0)).astype(int)


def outcome(choice, wanted, none=0):
    """Name the outcome of each trial.

    Parameters
    ----------
    choice, wanted : int array (batch,)
    none : int
        What stands for no choice.

    Returns
    -------
    str array (batch,)
        'correct', 'incorrect' or 'none' (no choice).
    """
    return np.where(choice == none, "none", np.where(choice == wanted, "correct", "incorrect"))
