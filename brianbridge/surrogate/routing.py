"""Which synapse gets an event when: delays, the order of Brian2's spike queue, and turns."""

import numpy as np

from brianbridge.model.spike_queue import delivery_order

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
    order = delivery_order(sources, _delays(block, arrays))
    return None if np.all(order == np.arange(len(order))) else order


def _turns(block, arrays):
    """The first turn in which no synapse before shares an element that changes, in the order of delivery."""
    named = [block.names[line.variable] for line in block.lines if line.variable in block.names]
    changed = {name.key for name in named if name.index}
    ways = {(name.key, name.index) for name in block.names.values() if name.key in changed and name.index}
    free = {key: np.zeros(arrays[key].value.size, dtype=int) for key in changed}
    reached = [(free[key], np.asarray(arrays[index].value)) for key, index in sorted(ways)]
    order = _order(block, arrays)
    turns = np.zeros(block.size, dtype=int)
    for synapse in range(block.size) if order is None else order:
        turns[synapse] = max(f[index[synapse]] for f, index in reached)
        for f, index in reached:
            f[index[synapse]] = turns[synapse] + 1
    return turns
