"""Synapses whose state is a linear filter of the events that reach them.

Where a state only decays in proportion to itself, jumps by a constant at events and is summed linearly,
nothing of its course has to be kept for the backward pass: two filters of the gradient, run backwards in
time, give all derivatives where an event arrives. With s' = a s at every step, s += J at events, and I = sum
of b s,

    lambda <- a lambda + b dI,    mu <- lambda + a mu,    nu <- a nu + dI    (one step back in time)

give dJ += lambda, da += J mu and db += J nu at each event, and at the start the same with J = s(0).
"""

import re
from dataclasses import dataclass

from brianbridge.kernels.values import FLOATING

__all__ = ["Filter", "filters_of"]


@dataclass(frozen=True, eq=False)
class Filter:
    """The state of a group of synapses that is a linear filter.

    Attributes
    ----------
    number : int
    state : str
        C identifier of the state.
    sorted_group : SortedSynapses
        The synapses, sorted by the neurons that their sums go to.
    total, decay, jump : (int, Body)
        Numbers of the parts of the step, and bodies: the sum, the update and the pathway, in this order.
    weighted : bool
        Whether the sum multiplies the state with something.
    """

    number: int
    state: str
    sorted_group: object
    total: tuple
    decay: tuple
    jump: tuple
    weighted: bool

    @property
    def bodies(self):
        return [body for _, body in (self.total, self.decay, self.jump)]


def filters_of(read, tables):
    """The linear filters among the states of sorted synapses.

    Parameters
    ----------
    read : list of list of Body
        The bodies of all parts.
    tables : Tables
        With `sorted_groups`.

    Returns
    -------
    list of Filter
    """
    found = []
    for group, sorted_group in tables.sorted_groups.items():
        for name, array in tables.states.items():
            if array.key.startswith(f"{group}.") and tables.type(name) == "real":
                state = tables.symbol(name)
                made = _filter(len(found), state, sorted_group, read, tables)
                if made:
                    found.append(made)
    return found


def _filter(number, state, sorted_group, read, tables):
    """The filter of a state; None if it is none."""
    parts = tables.rendered.parts
    touching = [
        (place, body)
        for place, bodies in enumerate(read)
        for body in bodies
        if any(v.symbol == state for v in body.values) or any(e.array == state for e in body.effects)
    ]
    if len(touching) != 3 or any(parts[place].every != 1 for place, _ in touching):
        return None
    (_, total), (_, decay), (place, jump) = touching
    pathway = parts[place].block
    if pathway.kind != "pathway" or pathway.turns or len(pathway.under_way) or jump.in_turn:
        return None
    if not (total.cleared and sorted_group.fits(total)):
        return None
    if any(len(body.effects) != 1 or body.shared for body in (total, decay, jump)):
        return None
    added, stored, jumped = (body.effects[0] for body in (total, decay, jump))
    if (stored.kind, jumped.kind) != ("store", "store") or not stored.array == jumped.array == state:
        return None
    linear = _degree(added.value, state), _degree(stored.value, state), _jump(jumped.value, state)
    if linear != ("linear", "linear", True):
        return None
    return Filter(number, state, sorted_group, *touching, added.value.op != "own")


def _jump(value, state):
    """Whether a value is the state and something that an event adds to it."""
    if value.op != "add":
        return False
    kept, added = value.arguments
    if kept.op != "own":
        kept, added = added, kept
    return kept.op == "own" and kept.symbol == state and _degree(added, "mask") == "linear"


def _degree(value, state):
    """How a value depends on a state: ``'constant'``, ``'linear'`` (in proportion), or None."""
    if value.op == state or (value.op == "own" and value.symbol == state):
        return "linear"
    if value.op == "number":
        return None if re.search(r"\b[tk]\b", value.symbol) else "constant"
    if value.op in ("own", "at", "shared"):
        return "constant" if value.symbol[0] in "cq" else None
    if value.op in ("row", "lookup", "mask"):
        return None
    degrees = [_degree(argument, state) for argument in value.arguments]
    if None in degrees:
        return None
    linear = degrees.count("linear")
    if not linear:
        return "constant"
    if value.type not in FLOATING:
        return None
    if value.op in ("add", "subtract", "negative", "cast"):
        return "linear" if linear == len(degrees) else None
    if value.op == "multiply":
        return "linear" if linear == 1 else None
    if value.op in ("divide", "times reciprocal"):
        return "linear" if linear == 1 and degrees[0] == "linear" else None
    return None
