"""Random numbers drawn in advance, without torch; also on one Brownian path for several time steps."""

import numpy as np

from brianbridge.checks.finding import NotApplicable
from brianbridge.generation.schedule import program_of
from brianbridge.model.rebuild import unrun

__all__ = ["coarsened", "drawn_noise", "noise_places"]


def noise_places(model):
    """Where a network draws random numbers.

    Returns
    -------
    dict of str to (str, int)
        Key as in `freeze_noise`: function (``'randn'``, ``'rand'``, ...) and how many in a step.
    """
    live = unrun(model)
    return {
        f"{block.name}/{name.value}": (name.key, 1 if name.shared else block.size)
        for block in program_of(model, live).blocks
        for name in block.names.values()
        if name.kind == "random"
    }


def drawn_noise(model, trials, seed, refinement=1):
    """Random numbers for all steps of trials.

    Parameters
    ----------
    refinement : int
        How many steps each of the model's is divided into.

    Returns
    -------
    dict of str to ndarray, shape (steps, batch, n)

    Raises
    ------
    NotApplicable
        If the network draws from distributions of its user's own.
    """
    rng = np.random.default_rng(seed)
    steps = int(trials.steps * trials.dt / model.dt + 0.5) * refinement
    draw = {"randn": rng.standard_normal, "rand": rng.random, "poisson": rng.random}
    noise = {}
    for key, (function, n) in noise_places(model).items():
        if function not in draw:
            raise NotApplicable(f"the network draws numbers by {function}(), which is its user's own")
        noise[key] = draw[function]((steps, len(trials), n))
    return noise


def coarsened(noise, factor):
    """The same Brownian path at a coarser time step: every increment is the sum of fine ones.

    Parameters
    ----------
    noise : dict of str to ndarray, shape (steps, batch, n)
        Standard normal numbers.
    factor : int
        Number of fine steps in a coarse one.

    Returns
    -------
    dict of str to ndarray, shape (steps // factor, batch, n)
        Standard normal numbers again.
    """
    return {
        key: values.reshape(len(values) // factor, factor, *values.shape[1:]).sum(axis=1) / np.sqrt(factor)
        for key, values in noise.items()
    }
