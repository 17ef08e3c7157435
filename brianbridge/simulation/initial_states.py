"""States that start with an expression, drawn in advance: the same for every run that is compared."""

import brian2
import numpy as np

from brianbridge.model.rebuild import unrun
from brianbridge.random_state import random_state_kept

__all__ = ["drawn_states"]


def drawn_states(model, trials, seed):
    """Draw the states that start with an expression (``group.initial``), for each trial.

    Brian2 evaluates these expressions anew in every run, and its devices draw different numbers from one
    seed.

    Parameters
    ----------
    model : Model
    trials : int
        How many.
    seed : int
        For the random numbers.

    Returns
    -------
    dict of str to ndarray, shape (trials, n)
        SI, by ``'group.variable'``, as `simulate` takes them.
    """
    live = unrun(model)
    drawn = {f"{group.name}.{variable}": [] for group in model.groups for variable in group.initial}
    with random_state_kept():
        brian2.seed(seed)
        for _ in range(trials):
            for group in model.groups:
                for variable, expression in group.initial.items():
                    setattr(live[group.name], variable, expression)
                    value = live[group.name].variables[variable].get_value()
                    drawn[f"{group.name}.{variable}"].append(np.array(value))
    return {name: np.stack(values) for name, values in drawn.items()}
