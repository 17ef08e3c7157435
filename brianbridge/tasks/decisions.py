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


def wanted_sign(targets, window):
    """Return the sign of the targets (time, batch) in the window (time, batch): int array (batch,)."""
    return np.sign(np.where(window, targets, 0.0).sum(axis=0)).astype(int)


def outcome(choice, wanted):
    """Name the outcome of each trial.

    Parameters
    ----------
    choice : int array (batch,)
        0 where no choice was made.
    wanted : int array (batch,)

    Returns
    -------
    str array (batch,)
        'correct', 'incorrect' or 'none' (no choice).
    """
    return np.where(choice == 0, "none", np.where(choice == wanted, "correct", "incorrect"))
