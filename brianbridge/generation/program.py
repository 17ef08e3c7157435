"""`Program`: the discrete steps of a network, independent of any back end.

A program is what Brian2's code generation makes of a network before it is written in a target language: for
every object of the schedule, in order, the optimised statements together with the meaning of every name in
them. The back ends of the surrogate render it.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Array", "Block", "Line", "Name", "Program"]


@dataclass(frozen=True)
class Array:
    """A state variable, parameter or index array of the network.

    Attributes
    ----------
    key : str
        ``group.variable``.
    value : ndarray
        Value at t = 0 (SI).
    scalar : bool
        Shared by the whole group.
    role : str
        ``'state'`` where some statement writes to it, ``'parameter'`` where none does, ``'index'`` for
        integer arrays that only say who is connected with whom.
    """

    key: str
    value: np.ndarray
    scalar: bool
    role: str

    @property
    def kind(self):
        """``'float'``, ``'integer'`` or ``'boolean'``."""
        return {"f": "float", "b": "boolean"}.get(self.value.dtype.kind, "integer")


@dataclass(frozen=True)
class Name:
    """What an identifier of a block refers to.

    Attributes
    ----------
    kind : str
        ``'array'``, ``'constant'``, ``'time'``, ``'step size'``, ``'step number'``, ``'timed input'``,
        ``'random'`` or ``'function'``.
    key : str
        Key of the `Array`, name of the timed input or function.
    index : str or None
        Key of the array through which an array is read (``x_pre``), None for the block's own elements.
    value : float, int or bool
        Of a constant; the number of a random draw.
    dimensions : Dimension or None
        Physical dimensions, where they are known.
    """

    kind: str
    key: str = ""
    index: str | None = None
    value: object = None
    dimensions: object = None


@dataclass(frozen=True)
class Line:
    """One statement ``variable operation expression`` of Brian2's abstract code.

    Attributes
    ----------
    operation : str
        ``'='``, ``':='`` (defines a local name) or an in-place operation such as ``'+='``.
    when_true, when_false : str or None
        Where Brian2's numpy target splits an expression by one boolean variable: the two simplified forms.
    boolean : str or None
        That boolean variable.
    """

    variable: str
    operation: str
    expression: str
    kind: str
    boolean: str | None = None
    when_true: str | None = None
    when_false: str | None = None


@dataclass(frozen=True)
class Block:
    """One object of the schedule.

    Attributes
    ----------
    kind : str
        ``'update'``, ``'threshold'``, ``'reset'``, ``'pathway'``, ``'summed'`` or ``'record'``.
    group : str
        The group whose elements the block runs over.
    size : int
        Number of these elements.
    event : str
        ``group.event`` that triggers it or that it detects.
    gates : dict of str to str
        Variables that are written only where a boolean variable is true (``unless refractory``).
    frozen : frozenset of str
        Local names that are used only where their gate is true: there ``int(not_refractory)`` is 1.
    decays : frozenset of str
        Event-driven variables, brought up to date by a line ``x = _x`` before the user's own code.
    text : str
        The user's own code, for messages.
    """

    name: str
    kind: str
    group: str
    size: int
    slot: str
    order: int
    dt: float
    lines: tuple
    names: dict
    gates: dict
    event: str = ""
    sets_refractory: bool = False
    frozen: frozenset = frozenset()
    decays: frozenset = frozenset()
    delays: np.ndarray | None = None
    sources: str = ""
    target: str = ""
    target_index: str = ""
    target_range: tuple = (0, None)
    text: str = ""


@dataclass(frozen=True)
class Program:
    """All blocks in schedule order, with what they use.

    Attributes
    ----------
    blocks : tuple of Block
    arrays : dict of str to Array
    inputs : dict of str to TimedInput
    events : dict of str to int
        ``group.event`` and the size of the group.
    dt : float
        The smallest time step in seconds.
    """

    blocks: tuple
    arrays: dict
    inputs: dict
    events: dict
    dt: float

    def every(self, dt):
        """Number of the program's steps in one step of a clock."""
        return max(1, round(dt / self.dt))

    def event_dt(self, event):
        """Time step of the group that an event belongs to."""
        return next((b.dt for b in self.blocks if b.kind == "threshold" and b.event == event), self.dt)
