"""The parts of a `Model`: groups of neurons, inputs that spike, synapses, and what they are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, Quantity, get_unit

from brianbridge.model.equation_text import subexpression_names

__all__ = [
    "SPIKE_TIMES",
    "Constant",
    "Group",
    "Link",
    "Neurons",
    "Operation",
    "Pathway",
    "PoissonDrive",
    "PoissonNeurons",
    "Projection",
    "SpikeTimes",
    "freeze",
]

SPIKE_TIMES = ("lastspike", "lastupdate")  # Brian2's own variables, in seconds


def _frozen_array(array):
    array = np.array(array)
    array.setflags(write=False)
    return array


def freeze(instance):
    """Make a dataclass's dicts read-only and its arrays unwritable."""
    for name, value in vars(instance).items():
        if isinstance(value, np.ndarray):
            object.__setattr__(instance, name, _frozen_array(value))
        elif isinstance(value, Mapping):
            value = {k: _frozen_array(v) if isinstance(v, np.ndarray) else v for k, v in value.items()}
            object.__setattr__(instance, name, MappingProxyType(value))


@dataclass(frozen=True)
class Constant:
    """An external constant of the equations: SI value and physical dimensions."""

    value: float | int | bool
    dimensions: Dimension = DIMENSIONLESS

    @property
    def unit(self):
        """The coherent SI unit as text that Brian2 parses."""
        return repr(get_unit(self.dimensions))


@dataclass(frozen=True, eq=False)
class Link:
    """What a linked variable stands for: ``variable`` of another group, read through ``index``.

    Attributes
    ----------
    group, variable : str
    index : ndarray of int, str or None
        An index for every element, the name of the variable that holds it, or None where element i reads
        element i (or the only one).
    """

    group: str
    variable: str
    index: np.ndarray | str | None

    def __post_init__(self):
        freeze(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation:
    """Statements that run at regular times: `run_regularly`.

    Attributes
    ----------
    dt : float or None
        Seconds between two runs; None for every step of the group.
    when, order : str, int
        Where in the schedule.
    part : (int, int) or None
        First and last-plus-one index of the subgroup that it is for.
    """

    name: str
    code: str
    dt: float | None
    when: str
    order: int
    active: bool
    part: tuple | None


@dataclass(frozen=True, eq=False, kw_only=True)
class PoissonDrive:
    """A `PoissonInput`: n independent Poisson processes for every neuron, that add to one variable.

    Attributes
    ----------
    variable : str
    n : int
    rate : float
        Of each process, in Hz.
    weight : str, float or Quantity
        What one event adds.
    part : (int, int) or None
        First and last-plus-one index of the subgroup that it is for.
    """

    name: str
    variable: str
    n: int
    rate: float
    weight: str | float | Quantity
    when: str
    order: int
    active: bool
    part: tuple | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """What `Neurons` and `Projection` have in common.

    Attributes
    ----------
    name, equations : str
    method : str or tuple of str
        State updater, or Brian2's list of candidates.
    dt : float
        Time step in seconds.
    schedule : dict of str to (str, int, bool)
        Slot, order and activity of each contained object, by its role (see `brianbridge.model.roles`).
    values : dict of str to ndarray
        Parameters and initial states in SI units.
    constants, inputs : dict
        What the names in the equations refer to: `Constant`, or the name of a `TimedInput`.
    functions : tuple of str
        Names of the user's own functions.
    initial : dict of str to str
        Expressions by which states start, evaluated anew for every trial (``{'v': 'v_rest'}``).
    links : dict of str to Link
        The group's linked variables.
    operations : tuple of Operation and PoissonDrive
        What else happens to the group's variables.
    """

    name: str
    equations: str
    method: str | tuple
    method_options: Mapping | None
    dt: float
    order: int
    schedule: Mapping
    values: Mapping
    constants: Mapping = field(default_factory=dict)
    inputs: Mapping = field(default_factory=dict)
    functions: tuple = ()
    initial: Mapping = field(default_factory=dict)
    links: Mapping = field(default_factory=dict)
    operations: tuple = ()

    def __post_init__(self):
        freeze(self)

    def subexpressions(self):
        """Names of the variables that are computed from others."""
        return subexpression_names(self.equations)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Neurons(Group):
    """A `NeuronGroup`.

    Attributes
    ----------
    n : int
        Number of neurons.
    events, codes : dict of str to str
        Condition and code of each event; the threshold and reset are those of ``'spike'``.
    refractory : bool, float or str
        False, a time in seconds, or the user's expression.
    """

    n: int
    events: Mapping
    codes: Mapping
    refractory: bool | float | str

    def __repr__(self):
        return f"<Neurons {self.name!r}: {self.n} neurons>"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PoissonNeurons(Neurons):
    """A `PoissonGroup`; its equations are one line, ``rates : Hz`` or ``rates = ... : Hz``."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpikeTimes(Group):
    """A `SpikeGeneratorGroup`.

    Attributes
    ----------
    n : int
        Number of neurons.
    indices : ndarray of int, shape (spikes,)
        Who spikes.
    times : ndarray, shape (spikes,)
        When, in seconds.
    period : float
        Seconds after which the spikes come again; 0 if they do not.
    """

    n: int
    indices: np.ndarray
    times: np.ndarray
    period: float

    events = MappingProxyType({"spike": "the given spike times"})

    def __repr__(self):
        return f"<SpikeTimes {self.name!r}: {len(self.times)} spikes of {self.n} neurons>"


@dataclass(frozen=True, eq=False)
class Pathway:
    """Code of a `Projection` that runs on pre- or postsynaptic events.

    Attributes
    ----------
    delay : ndarray
        Seconds; shape () where it was given as one number, else (synapses,).
    under_way : ndarray of int, shape (events, 2)
        Events that were sent before the model starts: in how many steps they arrive, at which synapse.
    """

    name: str
    prepost: str
    code: str
    event: str
    delay: np.ndarray
    under_way: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=int))

    def __post_init__(self):
        freeze(self)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Projection(Group):
    """A `Synapses` object with explicit pairs ``(i, j)``.

    Attributes
    ----------
    source, target : (str, int, int) or (str, None, None)
        Group name with the first and last-plus-one index of a subgroup.
    pathways : tuple of Pathway
    i, j : ndarray of int, shape (synapses,)
    """

    source: tuple
    target: tuple
    pathways: tuple
    i: np.ndarray
    j: np.ndarray
    multisynaptic_index: str | None

    def __repr__(self):
        return f"<Projection {self.name!r}: {self.source[0]} to {self.target[0]}, {self.n} synapses>"

    @property
    def n(self):
        """Number of synapses."""
        return len(self.i)
