"""Statements whose result depends on how they are executed: what is refused, and what takes turns.

Brian2's targets execute the same statements in different ways: the numpy target on whole arrays at once where
it can, the others one element after the other.
"""

import numpy as np
from brian2.core.variables import ArrayVariable
from brian2.utils.stringtools import get_identifiers

from brianbridge.model.refusals import Refusal, Refused

__all__ = ["needs_turns", "refuse_disputed_writes", "refuse_renamed_arrays", "refuse_repeated_writes"]


def needs_turns(statements):
    """Whether Brian2 executes a pathway's code for one synapse after the other.

    It does so where a statement writes to a neuron's variable that was read before, or is read in the same
    statement, as in ``v_post = clip(v_post + 0.1, 0, 1)``: for the next synapse the value is another one.

    Parameters
    ----------
    statements : dict
        What `StatementsCodeObject` makes of the code.

    Returns
    -------
    bool
    """
    indices, read = statements["indices"], set()
    for line in statements["statements"]:
        read |= {name for name in get_identifiers(line.expr) if indices.get(name, "_idx") != "_idx"}
        if line.var in read:
            return True
    return False


def refuse_disputed_writes(statements, name, text):
    """``v_post = ...`` where v stands still while refractory: Brian2's targets do not agree about it.

    The numpy target writes even so (its `vectorise_code` forgets the condition), cython and C++ do not.
    """
    for line in statements["statements"]:
        if (
            line.var in statements["gates"]
            and not line.inplace
            and line.op == "="
            and statements["indices"][line.var] != "_idx"
        ):
            _refuse(
                name,
                f"{text.strip()!r} assigns to {line.var!r}, which is flagged (unless refractory): "
                "Brian2's numpy target writes even while refractory, its other targets do not",
                "take off the flag and multiply the equation's right-hand side by int(not_refractory)",
            )


def refuse_repeated_writes(statements, name, text):
    """Statements that write several times to the same element, by way of a linked variable."""
    variables = statements["variables"]
    for line in statements["statements"]:
        written = isinstance(variables.get(line.var), ArrayVariable)
        index = variables.get(statements["indices"].get(line.var)) if written else None
        values = np.asarray(index.get_value()) if isinstance(index, ArrayVariable) else np.zeros(0)
        if len(np.unique(values)) < len(values):
            _refuse(
                name,
                f"{text.strip()!r} writes to the linked variable {line.var!r}, several of whose "
                "elements are the same",
                "write to the variable itself, in its own group",
            )


def refuse_renamed_arrays(statements, name, text, in_place):
    """``w = v; v += 1``: in Brian2's numpy target w and v are then one array, and both change.

    Parameters
    ----------
    in_place : bool
        Brian2 works on the arrays themselves, not on the elements at some indices: even variables that are
        only read would change.
    """
    lines, variables = statements["statements"], statements["variables"]
    written = {line.var for line in lines if line.op != ":="}
    one = {k: {k} for k, v in variables.items() if isinstance(v, ArrayVariable) and not v.scalar}
    origin = {}  # of a name that stands for the same array as another: the assignment
    for number, line in enumerate(lines):
        if line.inplace:
            read_later = {n for later in lines[number + 1 :] for n in get_identifiers(later.expr)}
            kept = read_later | written | (set(variables) if in_place else set())
            others = sorted((one.get(line.var, set()) - {line.var}) & kept)
            if others:
                new, old = origin.get(line.var) or origin[others[0]]
                _refuse(
                    name,
                    f"in {text.strip()!r}, '{line.var} {line.op} {line.expr}' also changes {others[0]!r} in "
                    f"Brian2's numpy target, since after '{new} = {old}' both are one array; in its other "
                    "targets it does not",
                    f"write '{new} = clip({old}, -inf, inf)', which makes a new array",
                )
            continue
        for names in one.values():
            names.discard(line.var)
        source = line.expr.strip()
        if source in one:
            one[line.var] = one[source]
            one[line.var].add(line.var)
            origin[line.var] = (line.var, source)
        elif get_identifiers(source) & set(one):
            one[line.var] = {line.var}
        else:  # a number, not an array
            one.pop(line.var, None)


def _refuse(name, construct, remedy):
    raise Refused([Refusal(name, construct, remedy)])
