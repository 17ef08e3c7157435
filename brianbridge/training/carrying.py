"""Continuous training: a trial starts in the state in which the one before it ended."""

import torch
from brian2.units.fundamentalunits import get_dimensions
from brian2.units.stdunits import ms

from brianbridge.model.groups import SPIKE_TIMES
from brianbridge.surrogate.state import State

__all__ = ["check_carrying", "from_the_start", "some_state", "state_arrays", "state_of"]


def check_carrying(surrogate):
    """Refuse networks in which a trial cannot follow on another one.

    Raises
    ------
    ValueError
        If the equations set a variable to a time, since t starts again with every trial; if clocks differ; or
        if spikes were under way when the network was wrapped.
    """
    model, program = surrogate.model, surrogate.program
    states = [array.key.split(".", 1) for array in program.arrays.values() if array.role == "state"]
    second = get_dimensions(ms)
    times = [
        f"{group}.{name}"
        for group, name in states
        if name not in SPIKE_TIMES and model.dimensions((group, name)) == second
    ]
    if times:
        raise ValueError(
            f"carry=True: t starts at 0 with every trial, but the equations set {', '.join(times)} to a "
            "time. Rewrite it as a variable that counts down (dx/dt = -1 : second), or train trial by trial."
        )
    if len({block.dt for block in program.blocks}) > 1:
        raise ValueError("carry=True needs one time step for the whole network; this one has several clocks.")
    if any(len(block.under_way) for block in program.blocks if block.kind == "pathway"):
        raise ValueError("carry=True: wrap the network before it has run; now spikes are under way in it.")


def from_the_start(state, surrogate):
    """A final state as the initial state of the next trial, without gradient; t starts again."""
    state = state.detach().at(surrogate.program.start, surrogate.program.dt)
    state.seed = None
    return state


def state_arrays(state):
    """A state as arrays by name; past events, of which there are several, are numbered."""
    return {
        f"{key} {number}" if isinstance(value, tuple) else key: part.detach().cpu().numpy()
        for key, value in state.items()
        for number, part in enumerate(value if isinstance(value, tuple) else (value,))
    }


def state_of(arrays, like):
    """Undo `state_arrays`.

    Parameters
    ----------
    arrays : dict of str to ndarray
    like : State
        With the same variables.
    """
    values = {}
    for key, value in like.items():
        if isinstance(value, tuple):
            parts = enumerate(value)
            values[key] = tuple(torch.tensor(arrays[f"{key} {n}"]).to(part) for n, part in parts)
        else:
            values[key] = torch.tensor(arrays[key]).to(value)
    return State(values, like.step)


@torch.no_grad()
def some_state(surrogate, batch):
    """A state of so many trials, for its variables and shapes."""
    return from_the_start(surrogate(duration=surrogate.dt, batch=batch, seed=0).final, surrogate)
