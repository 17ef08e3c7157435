"""The time steps of the ladder: from the training's down to 0.05 ms."""

import numpy as np

__all__ = ["CLOSE", "refinements"]

FINEST = 5e-5  # seconds
MOST_OF_RATES = 20
CLOSE = 1e-9  # of a quotient of two time steps to a whole number


def refinements(dt, spiking, full):
    """By which whole numbers the training's time step is divided, coarse to fine.

    Parameters
    ----------
    dt : float
        Of the training, in seconds.
    spiking : bool
        Networks without spikes have nothing that is as short as 0.05 ms: theirs is divided by 20 at most.
    full : bool
        All steps; otherwise one beside the training's own, a tenth of it where that is not below 0.05 ms.

    Returns
    -------
    tuple of int
        1 and at least one more; each divides the last one, so that noise can be on the same path.
    """
    wanted = dt / FINEST
    if not full:
        wanted = min(wanted, 10)
        whole = wanted > 1.5 and abs(wanted - round(wanted)) < CLOSE
        return 1, round(wanted) if whole else 2
    finest = max(int(np.ceil(wanted - CLOSE)), 2)
    if not spiking:
        finest = min(finest, MOST_OF_RATES)
    steps = {1, 2, 4, finest // 2, finest}
    return tuple(sorted(step for step in steps if finest % step == 0))
