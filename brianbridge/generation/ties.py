"""Order ties: where the result of a network depends on what its objects are called.

Brian2 runs objects by slot, then by ``order``, then by name. Where two objects agree in slot and order and
one changes what the other uses, their names decide. All clocks start at t = 0 and have common multiples, so
that any two objects meet at some step, whatever their time steps.
"""

from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from brian2.utils.stringtools import get_identifiers

__all__ = ["OrderTie", "Tie", "find_ties", "ties_of"]

#: How a block may change a variable; besides these there is ``'read'``.
CHANGES = {"set", "add", "scale", "stamp", "advance"}
#: Changes that give the same, up to rounding, whoever of two comes first.
SYMMETRIC = ({"add"}, {"scale"}, {"stamp"})


@dataclass(frozen=True)
class Tie:
    """Two objects of the same slot and order that share variables.

    Attributes
    ----------
    first, second : str
        Names of the objects, as they run.
    slot, order : str, int
        Where in the schedule.
    shared : dict of str to str
        ``group.variable`` or ``the event group.event`` to what happens to it: ``'changed first'``, ``'used
        first'`` or ``'changed twice'``.
    """

    first: str
    second: str
    slot: str
    order: int
    shared: dict

    def __str__(self):
        sentences = {
            "changed first": f"{self.first} changes {{}}, which {self.second} uses afterwards",
            "used first": f"{self.first} uses {{}}, which {self.second} changes afterwards",
            "changed twice": f"{self.first} changes {{}}, which {self.second} changes again afterwards",
        }
        said = [
            sentence.format(" and ".join(name for name in self.shared if self.shared[name] == what))
            for what, sentence in sentences.items()
            if what in self.shared.values()
        ]
        return f"{'; '.join(said)} (both in slot '{self.slot}', order {self.order})"


class OrderTie(UserWarning):
    """What happens first in a network, and with it the result, depends on the names of its objects.

    Attributes
    ----------
    ties : tuple of Tie
    """

    def __init__(self, message, ties=()):
        super().__init__(message)
        self.ties = tuple(ties)

    @classmethod
    def of(cls, ties):
        """The warning about some ties."""
        heading = "Names alone say what happens first here, in brianbridge as in Brian2; another name may "
        remedy = "Give one of each pair an order of its own: order= in NeuronGroup, Synapses or "
        lines = [
            f"{heading}change the result:",
            *(f"  - {tie}" for tie in ties),
            f"{remedy}run_regularly, or for example synapses.pre.order = 1.",
        ]
        return cls("\n".join(lines), ties)


def ties_of(program):
    """The order ties of a program, in words.

    Parameters
    ----------
    program : Program

    Returns
    -------
    list of str
        One sentence for each pair of objects; empty where no name matters.
    """
    return [str(tie) for tie in find_ties(program)]


def find_ties(program):
    """The pairs of objects whose order, and with it the result, follows from their names alone.

    No tie is a pair whose order makes no difference beyond rounding: both only add to a variable (``+=``,
    ``-=``), both only scale it (``*=``, ``/=``), they touch other elements of it, or both bring the same
    event-driven variables up to date.

    Parameters
    ----------
    program : Program

    Returns
    -------
    list of Tie
    """
    ties = []
    for (slot, order), blocks in groupby(program.blocks, key=lambda block: (block.slot, block.order)):
        uses = [(block.name, _uses(block)) for block in blocks]
        for (first, used_first), (second, used_second) in combinations(uses, 2):
            shared = {
                key: what
                for key in used_first
                if key in used_second
                and (what := _conflict(used_first[key].kinds, used_second[key].kinds))
                and _meet(key, used_first[key].places, used_second[key].places, program.arrays)
            }
            if shared:
                ties.append(Tie(first, second, slot, order, shared))
    return ties


def _conflict(first, second):
    """Why the order of two uses of a variable matters; an empty text where it does not."""
    if "advance" in first and "advance" in second:  # who comes second finds it up to date already
        first, second = first - {"advance"}, second - {"advance"}
    if not first or not second or (first == second and first in SYMMETRIC):
        return ""
    if first & CHANGES:
        return "changed twice" if second & CHANGES else "changed first"
    return "used first" if second & CHANGES else ""


def _meet(key, first, second, arrays):
    """Whether two uses of an array have elements in common."""
    if key not in arrays:  # an event
        return True
    size = arrays[key].value.size
    return bool(np.any(_elements(first, size, arrays) & _elements(second, size, arrays)))


def _elements(places, size, arrays):
    elements = np.zeros(size, dtype=bool)
    for place in places:
        if isinstance(place, str) and arrays[place].role != "state":
            elements[arrays[place].value] = True
        else:  # a range of a subgroup, or all
            elements[slice(*place) if isinstance(place, tuple) else slice(None)] = True
    return elements


# -- what a block uses --------------------------------------------------------------------------------


class _Use:
    """How a block uses a variable, and where: None, the key of an index array, or (start, stop)."""

    def __init__(self):
        self.kinds, self.places = set(), set()


def _uses(block):
    """What a block reads and changes: dict of key to `_Use`."""
    uses = {}

    def note(key, kind, place=None):
        use = uses.setdefault(key, _Use())
        use.kinds.add(kind)
        use.places.add(place)

    def note_name(identifier, kind):
        name = block.names.get(identifier)
        if name is not None and name.kind == "array":
            note(name.key, kind, name.index)

    for line in block.lines:
        special = _brings_up_to_date(block, line)
        for identifier in get_identifiers(line.expression):
            note_name(identifier, special.get(identifier, "read"))
        if line.operation != ":=":
            note_name(line.variable, special.get(line.variable) or _kind_of_change(line.operation))
            if line.operation not in ("=", "+=", "-=", "*=", "/="):
                note_name(line.variable, "read")
            if line.variable in block.gates:
                note_name(block.gates[line.variable], "read")
    if block.kind == "summed":
        note(block.target, "set", block.target_range)
    if block.event:
        note(f"the event {block.event}", "set" if block.kind in ("threshold", "generator") else "read")
    if block.sets_refractory:
        note(f"{block.group}.not_refractory", "set")
        note(f"{block.group}.lastspike", "set")
    return uses


def _kind_of_change(operation):
    return {"+=": "add", "-=": "add", "*=": "scale", "/=": "scale"}.get(operation, "set")


def _brings_up_to_date(block, line):
    """Kinds of use in a line that advances event-driven variables to the present, by identifier."""
    present = line.variable if line.operation == ":=" else line.expression.strip()
    if line.variable == "lastupdate" or present in {f"_{name}" for name in block.decays}:
        return dict.fromkeys(block.decays, "advance") | {"lastupdate": "stamp"}
    return {}
