"""Write the body of a loop in C: forward, and its exact adjoint."""

from dataclasses import dataclass, field
from typing import NamedTuple

from brianbridge.kernels.operations import derivatives, in_c
from brianbridge.kernels.values import C_TYPES

__all__ = ["Adjoints", "Reverse", "dependencies", "forward_lines", "leaf_text", "reverse_of", "used_values"]

LEAVES = ("own", "at", "shared", "row", "lookup", "number", "mask")


def leaf_text(value):
    """C text that reads an element of an array, or None for an operation."""
    if value.op == "number":
        return value.symbol
    if value.op == "mask":
        return "mask"
    if value.op in LEAVES:
        return f"{value.symbol}[{element_of(value)}]"
    return None


def element_of(value):
    """C text of the element that a leaf reads."""
    if value.op == "lookup":
        number = value.symbol.split("_")[1]
        time, dt, upsampling = (a.name for a in value.arguments)
        column = {"": "i", "0": "0"}.get(value.index, f"{value.index}[i]")
        row = f"input_row({time}, {dt}, {upsampling}, p->input_rows[{number}])"
        return f"{row}*p->input_columns[{number}] + {column}"
    if value.op == "shared" or value.index == "0":
        return "0"
    return f"{value.index}[i]" if value.index else "i"


def used_values(body, roots):
    """All values that are needed to compute some, in order."""
    wanted, stack = set(), list(roots)
    while stack:
        value = stack.pop()
        if id(value) not in wanted:
            wanted.add(id(value))
            stack += value.arguments
    return [value for value in body.values if id(value) in wanted]


def dependencies(body):
    """What a gradient passes through: pairs of what a body changes and the array that it reads for that."""
    pairs = set()
    for effect in body.effects:
        array = f"o_{effect.array}" if effect.kind == "record" else effect.array
        seen, stack = set(), [effect.value] if effect.value.differentiable else []
        while stack:
            value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if value.op in LEAVES:
                pairs.add((array, "mask" if value.op == "mask" else value.symbol))
            stack += [argument for argument in value.arguments if argument.differentiable]
    return pairs


def forward_lines(values):
    """C lines that compute values."""
    return [f"const {C_TYPES[v.type]} {v.name} = {leaf_text(v) or in_c(v)};" for v in values]


@dataclass
class Reverse:
    """The adjoint of a body.

    Attributes
    ----------
    values : list of Value
        What is computed again.
    lines : list of str
        Gradients of values, in order.
    own : dict of str to str
        Arrays to the gradient that their own element has before the body.
    shared : dict of str to str
        Arrays to what is added to the gradient of their first element.
    scattered : list of (str, str, str)
        Array, index array and what is added there.
    mask : str
        Gradient of the event itself, ``''`` if there is none.
    """

    values: list
    lines: list = field(default_factory=list)
    own: dict = field(default_factory=dict)
    shared: dict = field(default_factory=dict)
    scattered: list = field(default_factory=list)
    mask: str = ""


class Adjoints(NamedTuple):
    """What the backward pass makes of a body.

    Attributes
    ----------
    body : Reverse
        The adjoint of all that the body does.
    to_event : Reverse or None
        Of an event at a synapse: the gradient to the event alone, whether it happened or not.
    """

    body: Reverse
    to_event: Reverse | None


def reverse_of(body, only_mask=False):
    """Adjoint of a body.

    Parameters
    ----------
    body : Body
    only_mask : bool
        Only the gradient to the event is wanted.

    Returns
    -------
    Reverse
    """
    upstream, needed, lines = {}, [], []
    result = Reverse([])
    for effect in body.effects:
        _seed(effect, upstream, needed)
    for value in reversed(body.values):
        terms = upstream.get(id(value))
        if not terms:
            continue
        name = f"d_{value.name}"
        lines.append(f"const {C_TYPES[value.type]} {name} = {' + '.join(terms)};")
        if value.op in LEAVES:
            _collect(value, name, result)
            needed += value.arguments
            continue
        for argument, text, uses in derivatives(value, name):
            if argument.differentiable:
                upstream.setdefault(id(argument), []).append(f"({text})")
                needed += uses
    if only_mask:
        result.own, result.shared, result.scattered = {}, {}, []
    result.values = used_values(body, needed)
    result.lines = lines
    return result


def _seed(effect, upstream, needed):
    """What the rest of the step and the steps after it say about the values that a body hands on."""
    value = effect.value
    if effect.kind == "multiply":
        needed.append(value)
    if effect.mask is not None:
        needed.append(effect.mask)
    if not value.differentiable:
        return
    gradient = f"d_{effect.array}"
    place = f"{effect.index}[i]" if effect.index else "i"
    if effect.kind == "record":
        text = f"g_{effect.array}[i]"
    elif effect.kind == "event":
        text = f"e_{effect.array}[i]"
    elif effect.kind == "multiply":
        text = f"{gradient}[{place}]*{effect.array}[{place}]"
    elif effect.kind == "assign" and effect.mask is not None:
        text = f"({effect.mask.name} > 0.5 ? {gradient}[{place}] : 0)"
    else:
        text = f"{gradient}[{place}]"
    upstream.setdefault(id(value), []).append(text)


def _collect(value, name, result):
    """Gradient of a leaf, to where it belongs."""
    if value.op == "mask":
        result.mask = name
    elif value.op == "number":
        pass
    elif value.op == "own" or (value.op == "row" and not value.index):
        result.own[value.symbol] = name
    elif value.op == "shared" or value.index == "0":
        result.shared[value.symbol] = name
    elif value.op == "lookup":
        result.scattered.append((value.symbol, element_of(value), name))
    else:
        result.scattered.append((value.symbol, f"{value.index}[i]", name))
