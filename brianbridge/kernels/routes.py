"""Which synapses an event reaches, and when: tables for loops over the events that arrive."""

from dataclasses import dataclass

import numpy as np

from brianbridge.kernels.values import NotCompilable
from brianbridge.model.spike_queue import delivery_order

__all__ = ["Route", "routes_of"]


@dataclass(frozen=True)
class Route:
    """Synapses of one pathway in the order of Brian2's queue.

    Attributes
    ----------
    number : int
    delays : ndarray of int64, shape (delays,)
        In steps, the longest first.
    synapses : ndarray of int32
        Sorted by delay and source.
    rows : ndarray of int32, shape (delays, sources + 1)
        Where the synapses of a source begin.
    in_order : bool
        Whether `synapses` simply are 0, 1, 2, ...
    offset : int
        0 where the pathway runs after its threshold in a step, 1 where it runs before.
    late : ndarray of int32
        Where events arrive that were under way at the start, step by step: places in `synapses`.
    late_ends : ndarray of int64, shape (steps + 1,)
        Where those of a step end in `late`.
    late_first : int
        The first of these steps.
    """

    number: int
    delays: np.ndarray
    synapses: np.ndarray
    rows: np.ndarray
    in_order: bool
    offset: int
    late: np.ndarray
    late_ends: np.ndarray
    late_first: int


def routes_of(program):
    """Routes of all pathways.

    Parameters
    ----------
    program : Program

    Returns
    -------
    dict of str to Route
        By the name of the pathway.

    Raises
    ------
    NotCompilable
        If a pathway runs at another time step than the events that it carries.
    """
    pathways = [block for block in program.blocks if block.kind == "pathway"]
    return {block.name: _route(number, block, program) for number, block in enumerate(pathways)}


def _route(number, block, program):
    makers = [
        place
        for place, other in enumerate(program.blocks)
        if other.kind in ("threshold", "generator") and other.event == block.event
    ]
    if makers and program.every(program.blocks[makers[0]].dt) != program.every(block.dt):
        raise NotCompilable(f"{block.name} runs at another time step than the events it carries")
    sources = np.asarray(program.arrays[block.sources].value)
    delays = np.broadcast_to(np.asarray(block.delays), sources.shape).astype(np.int64)
    order = delivery_order(sources, delays).astype(np.int32)
    kinds = np.unique(delays)[::-1].copy() if len(delays) else np.array(block.delays[:1], dtype=np.int64)
    n = program.events[block.event]
    rows = np.zeros((len(kinds), n + 1), dtype=np.int32)
    for row, delay in enumerate(kinds):
        counts = np.bincount(sources[delays == delay], minlength=n)
        rows[row, 1:] = np.cumsum(counts)
        rows[row] += np.count_nonzero(delays > delay)
    in_order = bool(np.array_equal(order, np.arange(len(order))))
    late_first = -(-program.start // program.every(block.dt))
    late = _late(block.under_way, order)
    offset = int(program.blocks.index(block) < min(makers, default=0))
    return Route(number, kinds, order, rows, in_order, offset, *late, late_first)


def _late(under_way, order):
    """Places that events under way reach, sorted by step and place, and where those of each step end."""
    steps, synapses = np.reshape([] if under_way is None else under_way, (-1, 2)).astype(int).T
    places = np.argsort(order)[synapses]
    places = places[np.lexsort((places, steps))].astype(np.int32)
    return places, np.concatenate([[0], np.cumsum(np.bincount(steps))]).astype(np.int64)
