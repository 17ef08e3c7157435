"""`Program`: the discrete steps of a network, independent of any back end.

A program is what Brian2's code generation makes of a network before it is written in a target language: for
every object of the schedule, in order, the optimised statements together with the meaning of every name in
them. The back ends of the surrogate render it.
"""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Array", "Block", "Line", "Name", "Program", "Record", "SpikeTable"]


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
        ``'random'``, ``'function'`` or ``'event'``.
    key : str
        Key of the `Array`, name of the timed input or function, ``group.event``.
    index : str or None
        Key of the array through which an array is read (``x_pre``), None for the block's own elements.
    value : float, int or bool
        Of a constant; the number of a random draw; the time step of the clock whose time or event it is.
    dimensions : Dimension or None
        Physical dimensions, where they are known.
    """

    kind: str
    key: str = ""
    index: str | None = None
    value: object = None
    dimensions: object = None
    shared: bool = False


@dataclass(frozen=True)
class SpikeTable:
    """When the neurons of a `SpikeGeneratorGroup` spike.

    Attributes
    ----------
    steps, indices : ndarray of int, shape (spikes,)
        In steps of the group's own clock.
    period : int
        Number of steps after which the spikes come again; 0 if they do not.
    n : int
        Number of neurons.
    """

    steps: np.ndarray
    indices: np.ndarray
    period: int
    n: int


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
        ``'update'``, ``'threshold'``, ``'generator'``, ``'reset'``, ``'pathway'``, ``'summed'`` or
        ``'record'``.
    group : str
        The group whose elements the block runs over.
    size : int
        Number of these elements.
    dt, group_dt : float
        Time steps in seconds, of the object itself and of its group.
    event : str
        ``group.event`` that triggers it or that it detects.
    gates : dict of str to str
        Variables that are written only where a boolean variable is true (``unless refractory``).
    frozen : frozenset of str
        Local names that are used only where their gate is true: there ``int(not_refractory)`` is 1.
    turns : tuple of str
        Of a pathway: index arrays through which it writes to neurons whose variables it also reads. Synapses
        that share such a neuron take turns.
    under_way : ndarray of int, shape (events, 2)
        Of a pathway: events sent before the start, as (steps from the start, synapse).
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
    group_dt: float
    lines: tuple
    names: dict
    gates: dict
    event: str = ""
    sets_refractory: bool = False
    frozen: frozenset = frozenset()
    decays: frozenset = frozenset()
    delays: np.ndarray | None = None
    under_way: np.ndarray | None = None
    turns: tuple = ()
    sources: str = ""
    target: str = ""
    target_index: str = ""
    target_range: tuple = (0, None)
    text: str = ""


@dataclass(frozen=True)
class Record:
    """Something that is taken down while the steps are taken.

    Attributes
    ----------
    block : Block
        Of the kind ``'record'``.
    outputs : tuple of str
        The block's local names whose values are kept.
    place : int
        Number of the program's blocks that come before it in a step.
    every : int
        Number of steps from one time to the next: it is taken in steps 0, every, 2 every, ...
    """

    block: Block
    outputs: tuple
    place: int
    every: int = 1


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
        The longest time step, in seconds, of which all time steps in the network are multiples.
    start : int
        Number of these steps from t = 0 to where the network starts.
    spike_tables : dict of str to SpikeTable
        By the event that they make.
    samplers : dict of str to callable
        Random functions of the user, by the key of the draw: number of elements to ndarray.
    records : tuple of Record
    """

    blocks: tuple
    arrays: dict
    inputs: dict
    events: dict
    dt: float
    start: int = 0
    spike_tables: dict = field(default_factory=dict)
    samplers: dict = field(default_factory=dict)
    records: tuple = ()

    def every(self, dt):
        """Number of the program's steps in one step of a clock."""
        return max(1, round(dt / self.dt))

    def event_dt(self, event):
        """Time step of the group that an event belongs to."""
        makers = ("threshold", "generator")
        return next((b.dt for b in self.blocks if b.kind in makers and b.event == event), self.dt)
