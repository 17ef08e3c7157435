"""Values of a loop body in static single assignment: what the kernels compute, typed as in the eager step."""

from dataclasses import dataclass, field

__all__ = ["C_TYPES", "Body", "Effect", "NotCompilable", "Value", "promoted"]

#: C types. The first five are those of arrays; the others are Python's numbers, which take the type of the
#: array that they meet.
C_TYPES = {
    "bool": "uint8_t",
    "int": "int32_t",
    "long": "int64_t",
    "real": "real",
    "wide": "double",
    "truth": "uint8_t",
    "whole": "int64_t",
    "number": "double",
}
STRENGTH = list(C_TYPES)
WEAK = ("truth", "whole", "number")
FLOATING = ("real", "wide", "number")


class NotCompilable(Exception):
    """Why a network is left to the eager back end, in words."""


def promoted(*types):
    """Type of an arithmetic operation, by PyTorch's rules."""
    arrays = [t for t in types if t not in WEAK]
    numbers = [t for t in types if t in WEAK]
    if not arrays:
        return max(numbers, key=STRENGTH.index)
    strongest = max(arrays, key=STRENGTH.index)
    if "number" in numbers and strongest not in ("real", "wide"):
        return "real"
    if "whole" in numbers and strongest == "bool":
        return "long"
    return strongest


@dataclass(eq=False)
class Value:
    """One value of a loop body.

    Attributes
    ----------
    op : str
        ``'own'``, ``'at'``, ``'shared'`` (elements of an array), ``'row'`` (of an input or noise),
        ``'number'``, ``'mask'``, or an operation.
    type : str
        Key of `C_TYPES`.
    arguments : tuple of Value
    symbol : str
        C identifier of the array, or text of the number.
    index : str
        C identifier of an index array, for ``'at'``.
    varied : bool
        Whether it depends on something that a gradient is wanted of.
    name : str
        C identifier of the value itself.
    gradient : str
        Of a comparison in a threshold: C text of the spike gradient at the distance ``{x}``; empty without.
    owner : Value or None
        Of an argument of a guarded expression: that expression.
    """

    op: str
    type: str
    arguments: tuple = ()
    symbol: str = ""
    index: str = ""
    varied: bool = False
    name: str = ""
    gradient: str = ""
    owner: object = None

    @property
    def differentiable(self):
        return self.varied and self.type in FLOATING


@dataclass
class Effect:
    """What a loop body does to the network.

    Attributes
    ----------
    kind : str
        ``'store'``, ``'put'``, ``'add'``, ``'multiply'``, ``'assign'``, ``'event'`` or ``'record'``.
    array : str
        C identifier of what is changed; of an event; number of the output.
    value : Value
    index : str
    mask : Value or None
    """

    kind: str
    array: str
    value: Value
    index: str = ""
    mask: Value | None = None


@dataclass
class Body:
    """The body of one loop over the elements of a block.

    Attributes
    ----------
    shared : bool
        Whether it is taken once, for what the whole group shares.
    cleared : list of (str, int, int or None)
        Arrays, and the range in them, that are set to zero before the loop.
    values : list of Value
        In the order in which they are computed; each once.
    effects : list of Effect
    copies : dict of str to str
        Arrays that the body reads as they were before the first event, by the array to which they are copied.
    in_turn : bool
        Whether each event sees what the events before it have changed, and its gradient likewise.
    """

    shared: bool = False
    cleared: list = field(default_factory=list)
    values: list = field(default_factory=list)
    effects: list = field(default_factory=list)
    copies: dict = field(default_factory=dict)
    in_turn: bool = False
    known: dict = field(default_factory=dict)

    def value(self, op, type, *arguments, symbol="", index="", varied=None):
        """A value, the one already computed if there is one."""
        key = op, type, tuple(id(a) for a in arguments), symbol, index
        if key not in self.known:
            varied = any(a.varied for a in arguments) if varied is None else varied
            made = Value(op, type, arguments, symbol, index, varied, f"v{len(self.values)}")
            self.known[key] = made
            self.values.append(made)
        return self.known[key]

    def stored(self, array):
        """Effect that stores an array's own element at the end of the body, or None."""
        return next((e for e in self.effects if e.kind == "store" and e.array == array), None)
