"""`Model`: the frozen description of a Brian2 network.

Everything is text, numbers and arrays in SI base units: nothing here refers to a live Brian2 object, so a
model can be hashed, stored and rebuilt for any time step and device.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from brian2 import second
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, get_dimensions

from brianbridge.model.constraints import Trainable
from brianbridge.model.equation_text import has_differential_equations, variable_dimensions
from brianbridge.model.groups import SPIKE_TIMES, freeze
from brianbridge.model.quantities import seconds_of

__all__ = ["Model", "TimedInput"]


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
        freeze(self)


@dataclass(frozen=True, eq=False)
class Model:
    """A Brian2 network, frozen.

    Attributes
    ----------
    groups : tuple of Group
        In the order in which they are rebuilt.
    inputs : tuple of TimedInput
    schedule : tuple of str
        The network's scheduling slots.
    trainable : tuple of Trainable
    source : str
        Where the equations come from (DOI, equation numbers).
    time : float
        When it starts, in seconds: the present time of the network that was frozen.
    functions : dict of str to brian2 Function
        The user's own functions; they are code and therefore not stored in files.
    monitors : tuple of Monitor
        What the network's monitors record. They change no step: they count for nothing in `hash`, are not
        stored in files and not built into `network`; a surrogate answers in their place.
    """

    groups: tuple
    inputs: tuple
    schedule: tuple
    trainable: tuple[Trainable, ...] = ()
    source: str = ""
    time: float = 0.0
    functions: Mapping = field(default_factory=dict, metadata={"stored": False})
    monitors: tuple = field(default=(), metadata={"stored": False})

    def __post_init__(self):
        freeze(self)

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
        """The smallest time step of a group in seconds."""
        return min(group.dt for group in self.groups)

    @property
    def spiking(self):
        """Names of the groups whose neurons spike."""
        return [group.name for group in self.groups if "spike" in getattr(group, "events", {})]

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
        if variable in SPIKE_TIMES:
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

        return rebuild(self if dt is None else self.with_dt(seconds_of(dt)))

    def network(self, dt=None):
        """Build an ordinary Brian2 network.

        Its groups have the names of the model: ``network['cells'].v``. The names of the equations are in the
        groups' own namespaces, so that it runs anywhere. To give it inputs of other values or length, call
        ``model.with_inputs({'stim': values}).network()``. It has no monitors: add your own.

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
        return replace(self, groups=tuple(_with_step(group, scale) for group in self.groups))

    def with_method(self, method):
        """A copy that is integrated in another way.

        Parameters
        ----------
        method : str or dict of str to str
            For all groups with differential equations, or for the groups named: ``'rk4'``,
            ``{'cells': 'heun'}``. Brian2 refuses what cannot integrate the equations when the network runs.

        Raises
        ------
        ValueError
            If a group that is named has no differential equations.
        """
        integrated = [group.name for group in self.groups if has_differential_equations(group.equations)]
        methods = method if isinstance(method, Mapping) else dict.fromkeys(integrated, method)
        unknown = ", ".join(sorted(set(methods) - set(integrated)))
        if unknown:
            raise ValueError(
                f"{unknown}: no group of this name has differential equations; those that have are "
                f"{', '.join(integrated) or 'none'}."
            )
        groups = (
            replace(g, method=methods[g.name], method_options={}) if g.name in methods else g
            for g in self.groups
        )
        return replace(self, groups=tuple(groups))

    def with_inputs(self, values):
        """A copy with other `TimedInput` values: dict of name to array of shape (time,) or (time, n)."""
        timed = tuple(
            replace(t, values=np.asarray(values[t.name], dtype=float)) if t.name in values else t
            for t in self.inputs
        )
        for name in values:
            self.input(name)
        return replace(self, inputs=timed)


def _with_step(group, scale):
    """A group with another time step; events under way keep their time as in Brian2's spike queue."""
    group = replace(group, dt=group.dt * scale)
    if not hasattr(group, "pathways"):
        return group
    pathways = []
    for pathway in group.pathways:
        steps, synapses = pathway.under_way.T
        under_way = np.stack([(steps / scale + 0.5).astype(int), synapses], axis=1)
        pathways.append(replace(pathway, under_way=under_way))
    return replace(group, pathways=tuple(pathways))
