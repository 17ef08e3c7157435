"""Which synapse gets an event when: delays, the order of Brian2's spike queue, and turns."""

import numpy as np

__all__ = ["route"]


def route(key, program):
    """What describes the routing of a pathway.

    Parameters
    ----------
    key : str
        ``'delays NAME'``, ``'order NAME'`` or ``'turns NAME'``, see `Rendered.routes`.
    program : Program

    Returns
    -------
    ndarray of int, shape (synapses,), or None
        None for an order that is that of the synapses.
    """
    what, name = key.split(" ", 1)
    block = next(block for block in program.blocks if block.name == name)
    return {"delays": _delays, "order": _order, "turns": _turns}[what](block, program.arrays)


def _delays(block, arrays):
    """Delays in steps."""
    return np.broadcast_to(block.delays, arrays[block.sources].value.shape).copy()


def _order(block, arrays):
    """The order in which Brian2's queue delivers events; None where it is that of the synapses."""
    sources = np.asarray(arrays[block.sources].value)
    order = np.lexsort((np.arange(len(sources)), sources, -_delays(block, arrays)))
    return None if np.all(order == np.arange(len(order))) else order


def _turns(block, arrays):
    """The first turn in which no synapse before shares a neuron, in the order of delivery."""
    indices = [np.asarray(arrays[key].value) for key in block.turns]
    free = [np.zeros(index.max() + 1, dtype=int) for index in indices]
    order = _order(block, arrays)
    turns = np.zeros(block.size, dtype=int)
    for synapse in range(block.size) if order is None else order:
        turns[synapse] = max(f[index[synapse]] for f, index in zip(free, indices, strict=True))
        for f, index in zip(free, indices, strict=True):
            f[index[synapse]] = turns[synapse] + 1
    return turns
