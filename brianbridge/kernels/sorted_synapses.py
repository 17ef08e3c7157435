"""Synapses with states of their own, sorted by the neurons that their sums go to.

In the order in which they were made, a sum jumps between neurons; sorted, each neuron's synapses lie side
by side.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

__all__ = ["SortedSynapses", "arranged", "sorted_groups_of"]

FEWEST = 256  # synapses


@dataclass(frozen=True)
class SortedSynapses:
    """The synapses of a group in the order that they have inside a kernel.

    Attributes
    ----------
    group : str
    outer : str
        Name in the step of the index array by which they are sorted.
    rows : int
        Number of neurons.
    synapses : ndarray of int64, shape (synapses,)
        The synapse at each place.
    starts : ndarray of int32, shape (rows + 1,)
        Where the synapses of a neuron begin.
    """

    group: str
    outer: str
    rows: int
    synapses: np.ndarray = field(compare=False)
    starts: np.ndarray = field(compare=False)

    @cached_property
    def places(self):
        """Where each synapse is."""
        return np.argsort(self.synapses)

    def fits(self, body):
        """Whether a body can run neuron by neuron: it sums, and reads no other neurons."""
        sums = all(e.kind == "add" and e.value.type == "real" and e.mask is None for e in body.effects)
        return sums and all(
            value.op not in ("lookup", "row", "mask") and value.index in ("", f"i_{self.outer}")
            for value in body.values
            if value.op not in ("compare",)
        )


def sorted_groups_of(read, tables):
    """Every group of synapses that is to be sorted.

    Parameters
    ----------
    read : list of list of Body
        The bodies of all parts.
    tables : Tables

    Returns
    -------
    dict of str to SortedSynapses
        By group.
    """
    parts, found = tables.rendered.parts, {}
    for part, bodies in zip(parts, read, strict=True):
        group = part.block.group
        for body in bodies:
            targets = {effect.index for effect in body.effects if body.cleared}
            if group in found or len(targets) != 1 or not _has_states(group, tables):
                continue
            sorted_group = _sorted(group, targets.pop()[2:], tables)
            if (
                len(sorted_group.synapses) >= FEWEST
                and sorted_group.fits(body)
                and not _reached_by_index(group, read, tables)
            ):
                found[group] = sorted_group
    return found


def _sorted(group, name, tables):
    index = tables.index_values(name)
    synapses = np.argsort(index, kind="stable")
    rows = int(index.max()) + 1 if len(index) else 0
    starts = np.searchsorted(index[synapses], np.arange(rows + 1)).astype(np.int32)
    return SortedSynapses(group, name, rows, synapses, starts)


def _has_states(group, tables):
    return any(a.key.startswith(f"{group}.") and not a.scalar for a in tables.states.values())


def _reached_by_index(group, read, tables):
    """Whether some statement names synapses of a group by their numbers."""
    own = {tables.symbol(name) for name, a in tables.states.items() if a.key.startswith(f"{group}.")}
    for part, bodies in zip(tables.rendered.parts, read, strict=True):
        for body in bodies:
            if any(value.index and value.symbol in own for value in body.values if value.op == "at"):
                return True
            if any(effect.index and effect.array in own for effect in body.effects):
                return True
            here = part.block.group == group
            if here and any(
                v.op in ("row", "lookup") and v.symbol[0] == "x" and not v.index for v in body.values
            ):
                return True
    return False


def arranged(read, tables):
    """What has to be in the order of its group: dict of (what, name or number) to SortedSynapses.

    What is ``'constant'`` (also index arrays), ``'noise'``, ``'output'`` or ``'state'``.
    """
    found = {}
    for part, bodies in zip(tables.rendered.parts, read, strict=True):
        sorted_group = tables.sorted_groups.get(part.block.group)
        if sorted_group is None:
            continue
        if part.block.kind == "pathway":
            found["constant", tables.rendered.identifiers[part.block.sources]] = sorted_group
        for body in bodies:
            symbols = {v.symbol for v in body.values if v.op == "own" and v.symbol.startswith("c_")}
            symbols |= {v.index for v in body.values if v.op in ("at", "row")}
            symbols |= {effect.index for effect in body.effects}
            names = {symbol[2:] for symbol in symbols if symbol[:2] in ("c_", "i_")}
            found |= {("constant", name): sorted_group for name in names}
            rows = {v.symbol for v in body.values if v.op == "row" and v.symbol[0] == "r" and not v.index}
            found |= {("noise", int(symbol[2:])): sorted_group for symbol in rows}
            found |= {("output", int(e.array)): sorted_group for e in body.effects if e.kind == "record"}
    for array in tables.states.values():
        sorted_group = tables.sorted_groups.get(array.key.split(".")[0])
        if sorted_group is None or array.scalar:
            continue
        if array.value.size == len(sorted_group.synapses) > 1:
            found["state", array.key] = sorted_group
    return found
