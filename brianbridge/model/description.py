"""`Model`: the frozen description of a Brian2 network.

Everything is text, numbers and arrays in SI base units: nothing here refers to a live Brian2 object, so a
model can be hashed, stored and rebuilt for any time step and device.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from brian2 import second
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, get_dimensions, get_unit

from brianbridge.model.constraints import Trainable
from brianbridge.model.equation_text import subexpression_names, variable_dimensions

__all__ = ["Constant", "Model", "Neurons", "Pathway", "Projection", "TimedInput"]


def _frozen_array(array):
    array = np.array(array)
    array.setflags(write=False)
    return array


def _freeze(instance):
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
class TimedInput:
    """A `TimedArray`: what varies from trial to trial.

    Attributes
    ----------
    name : str
        The identifier that the equations use.
    values : ndarray, shape (time,) or (time, n)
        SI values.
    dt : float
        The array's own time step in seconds.
    brian_name : str
        Name of the `TimedArray` object, by which the user's object is recognised; not stored in files.
    """

    name: str
    values: np.ndarray
    dimensions: Dimension
    dt: float
    brian_name: str = field(default="", metadata={"stored": False})

    def __post_init__(self):
        _freeze(self)


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

    def __post_init__(self):
        _freeze(self)

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


@dataclass(frozen=True, eq=False)
class Pathway:
    """Code of a `Projection` that runs on pre- or postsynaptic events.

    Attributes
    ----------
    delay : ndarray
        Seconds; shape () where it was given as one number, else (synapses,).
    """

    name: str
    prepost: str
    code: str
    event: str
    delay: np.ndarray

    def __post_init__(self):
        _freeze(self)


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


@dataclass(frozen=True, eq=False)
class Model:
    """A Brian2 network, frozen.

    Attributes
    ----------
    groups : tuple of Neurons and Projection
        In the order in which they are rebuilt.
    inputs : tuple of TimedInput
    schedule : tuple of str
        The network's scheduling slots.
    trainable : tuple of Trainable
    source : str
        Where the equations come from (DOI, equation numbers).
    functions : dict of str to brian2 Function
        The user's own functions; they are code and therefore not stored in files.
    """

    groups: tuple
    inputs: tuple
    schedule: tuple
    trainable: tuple[Trainable, ...] = ()
    source: str = ""
    functions: Mapping = field(default_factory=dict, metadata={"stored": False})

    def __post_init__(self):
        _freeze(self)

    def __repr__(self):
        trained = ", ".join(t.name for t in self.trainable) or "nothing"
        return f"<Model of {', '.join(map(repr, self.groups))}; trains {trained}>"

    def __getitem__(self, name):
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise KeyError(f"This model has no group {name!r}; it has {known}.")

    @property
    def hash(self):
        """SHA-256 of everything that is stored: the network with its values, and what is trained."""
        from brianbridge.model.storage import model_hash  # which needs this module

        return model_hash(self)

    @property
    def dt(self):
        """The smallest time step in seconds."""
        return min(group.dt for group in self.groups)

    def input(self, name):
        """The `TimedInput` of this name."""
        for timed in self.inputs:
            if timed.name == name:
                return timed
        known = ", ".join(timed.name for timed in self.inputs) or "none"
        raise KeyError(f"This model has no timed input {name!r}; it has {known}.")

    def initial_value(self, target):
        """SI value at t = 0 of ``(group, variable)``, or of a timed input ``('', name)``."""
        group, variable = target
        return self[group].values[variable] if group else self.input(variable).values

    def dimensions(self, target):
        """Physical dimensions of ``(group, variable)``, or of a timed input ``('', name)``."""
        group, variable = target
        if not group:
            return self.input(variable).dimensions
        if variable in ("lastspike", "lastupdate"):  # Brian2's own
            return get_dimensions(second)
        return variable_dimensions(self[group].equations).get(variable, DIMENSIONLESS)

    def live(self, dt=None):
        """Build an ordinary Brian2 network, with its parts by name.

        Parameters
        ----------
        dt : Quantity, optional
            Another time step, see `with_dt`.

        Returns
        -------
        Live
            ``live.network``, ``live['cells']``, and ``live.inputs['stim']``, the `TimedArray` objects.
        """
        from brianbridge.model.rebuild import rebuild  # which needs this module

        return rebuild(self if dt is None else self.with_dt(dt))

    def network(self, dt=None):
        """Build an ordinary Brian2 network.

        Its groups have the names of the model: ``network['cells'].v``. The names of the equations are in the
        groups' own namespaces, so that it runs anywhere. To give it inputs of other values or length, call
        ``model.with_inputs({'stim': values}).network()``.

        Parameters
        ----------
        dt : Quantity, optional
            Another time step, see `with_dt`.

        Returns
        -------
        brian2.Network
        """
        return self.live(dt).network

    def with_group(self, group):
        """A copy in which the group of the same name is replaced."""
        return replace(self, groups=tuple(group if g.name == group.name else g for g in self.groups))

    def with_values(self, values):
        """A copy with other values.

        Parameters
        ----------
        values : dict of (group, variable) to ndarray
            SI values of the variable's own shape; the group of a timed input is ``''``.

        Raises
        ------
        ValueError
            If a shape differs from the variable's, or a value is not finite.
        """
        model = self
        for (name, variable), new in values.items():
            old = self.initial_value((name, variable))
            new = np.asarray(new, dtype=old.dtype)
            if new.shape != old.shape:
                raise ValueError(
                    f"{name}.{variable} has shape {old.shape}, but values of shape {new.shape} were given."
                )
            if new.dtype.kind == "f" and not np.all(np.isfinite(new)):
                raise ValueError(f"The values given for {name}.{variable} contain NaN or infinity.")
            if not name:
                model = model.with_inputs({variable: new})
                continue
            group = model[name]
            model = model.with_group(replace(group, values={**group.values, variable: new}))
        return model

    def with_dt(self, dt):
        """A copy for another time step; groups with a coarser step of their own keep their ratio to it.

        Delays and times in the model stay what they are in seconds; they are rounded to the new step where
        the network is built.
        """
        scale = float(dt) / self.dt
        return replace(self, groups=tuple(replace(group, dt=group.dt * scale) for group in self.groups))

    def with_inputs(self, values):
        """A copy with other `TimedInput` values: dict of name to array of shape (time,) or (time, n)."""
        timed = tuple(
            replace(t, values=np.asarray(values[t.name], dtype=float)) if t.name in values else t
            for t in self.inputs
        )
        for name in values:
            self.input(name)
        return replace(self, inputs=timed)
