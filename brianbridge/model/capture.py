"""Read a live Brian2 `Network` into a `Model`."""

import numbers
import re

import numpy as np
from brian2 import (
    Clock,
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpatialNeuron,
    SpikeGeneratorGroup,
    Subgroup,
    Synapses,
    TimedArray,
)
from brian2.codegen.translation import get_identifiers_recursively
from brian2.core.functions import Function
from brian2.core.namespace import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, DEFAULT_UNITS
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.devices.device import get_device, runtime_device
from brian2.monitors import EventMonitor, PopulationRateMonitor, StateMonitor
from brian2.stateupdaters.base import StateUpdateMethod
from brian2.units.fundamentalunits import Quantity, get_dimensions

from brianbridge.model.description import Model, TimedInput
from brianbridge.model.equation_text import neuron_equations, synapse_equations
from brianbridge.model.groups import (
    Constant,
    Link,
    Neurons,
    Operation,
    Pathway,
    PoissonDrive,
    PoissonNeurons,
    Projection,
    SpikeTimes,
)
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.roles import contained_objects, operations_of
from brianbridge.model.spike_queue import under_way

__all__ = ["capture"]

MONITORS = (EventMonitor, PopulationRateMonitor, StateMonitor)
#: What to write instead of objects that are not bridged, by the names of their classes.
INSTEAD = {
    "NetworkOperation": "write what it does with run_regularly, as equations, a TimedArray, or statements on "
    "events",
    "SpatialNeuron": "write its compartments as groups coupled by (summed) variables",
}
TAKEN = (
    "NeuronGroup, Synapses, PoissonGroup, SpikeGeneratorGroup and PoissonInput (monitors may stay: the "
    "surrogate answers them)"
)
#: A subclass that overrides one of these does something of its own.
OWN_WAYS = ("run", "before_run", "after_run", "update_abstract_code", "create_code_objects")


def capture(network, namespace):
    """Freeze a live network.

    Parameters
    ----------
    network : brian2.Network
    namespace : Mapping
        The names that the equations may refer to besides the groups' own namespaces.

    Returns
    -------
    Model

    Raises
    ------
    Refused
        Listing everything in the network that a `Model` cannot hold.
    """
    return _Capture(network, namespace).model()


class _Capture:
    """One pass over a network: collects the groups, their inputs and functions, and the refusals."""

    def __init__(self, network, namespace):
        self.network = network
        self.namespace = namespace
        self.inputs = {}
        self.functions = {}
        self.drives = []
        self.links = {}
        self.refusals = []
        self.unusable = set()  # names of groups that cannot even be described in part

    def refuse(self, name, construct, remedy):
        self.refusals.append(Refusal(name, construct, remedy))

    def model(self):
        if get_device() is not runtime_device:
            self.refuse(
                "device",
                "its values cannot be read before it has run on a standalone device",
                "wrap it with set_device('runtime'); the trained network then runs on any device",
            )
            raise Refused(self.refusals)
        groups = [self.group(obj) for obj in self._groups_in_order()]
        if self.refusals:
            raise Refused(self.refusals, rest=self._rest(groups))
        return self._model(groups)

    def _rest(self, groups):
        """What remains without the refused objects, so that its own code can be examined too."""
        kept = {}
        for group in groups:
            needed = {link.group for link in group.links.values()}
            if isinstance(group, Projection):
                needed |= {group.source[0], group.target[0]}
            if group.name not in self.unusable and needed <= set(kept):
                kept[group.name] = group
        return self._model(kept.values())

    def _model(self, groups):
        return Model(
            groups=tuple(groups),
            inputs=tuple(self.inputs.values()),
            schedule=tuple(self.network.schedule),
            functions=self.functions,
            time=float(self.network.t),
        )

    def _groups_in_order(self):
        """Every group after those that it refers to; refuse what is no group."""
        parts = {id(part): part for obj in self.network.objects for part in _parts(obj)}
        contained = {key for key, part in parts.items() if _kind(part) is None}
        objects = {id(obj): obj for obj in self.network.objects}
        objects |= {key: part for key, part in parts.items() if key not in contained}
        groups = []
        for obj in sorted(objects.values(), key=lambda obj: obj.name):
            if _kind(obj) is PoissonInput:
                self.drives.append(obj)
            elif _kind(obj) is not None:
                groups.append(obj)
            elif id(obj) not in contained and not isinstance(obj, (*MONITORS, Subgroup)):
                kind = next(
                    (c.__name__ for c in type(obj).__mro__ if c.__name__ in INSTEAD), type(obj).__name__
                )
                shown = f"'{obj.function.__name__}()', a {kind}," if hasattr(obj, "function") else f"a {kind}"
                self.refuse(obj.name, f"{shown} is not bridged", INSTEAD.get(kind, f"use {TAKEN}"))
        self.links = {obj.name: self._links(obj) for obj in groups}
        known, referred = {obj.name for obj in objects.values()}, {}
        for obj in groups + self.drives:
            referred[obj.name] = self._referred(obj)
            for other in referred[obj.name] - known:
                self.unusable.add(obj.name)
                self.refuse(
                    obj.name, f"it refers to {other!r}, which is not in the network", "add it to the network"
                )
        ordered = []
        while groups:
            waiting = {obj.name for obj in groups}
            ready = [obj for obj in groups if not referred[obj.name] & waiting - {obj.name}]
            ready = ready or groups[:1]  # links in a circle
            ordered += ready
            groups = [obj for obj in groups if obj not in ready]
        return ordered

    def _referred(self, obj):
        """Names of the groups that an object's description refers to."""
        if isinstance(obj, PoissonInput):
            return {_whole(obj.group).name}
        ends = {_whole(obj.source).name, _whole(obj.target).name} if isinstance(obj, Synapses) else set()
        return ends | {link.group for link in self.links[obj.name].values()}

    # -- one group ------------------------------------------------------------------------------------

    def group(self, obj):
        self._refuse_unknown_parts(obj)
        describe = {
            NeuronGroup: self.neurons,
            PoissonGroup: self.poisson_neurons,
            SpikeGeneratorGroup: self.spike_times,
            Synapses: self.projection,
        }
        return describe[_kind(obj)](obj)

    def neurons(self, group):
        texts = [eq.expr.code for eq in group.user_equations.values() if eq.expr is not None]
        texts += [*group.events.values(), *group.event_codes.values()]
        refractory = group._refractory
        if isinstance(refractory, str):
            texts.append(refractory)
        elif isinstance(refractory, Quantity):
            refractory = float(refractory)
        return Neurons(
            n=len(group),
            equations=neuron_equations(group),
            events=dict(group.events),
            codes=dict(group.event_codes),
            refractory=refractory,
            **self._common(group, texts),
        )

    def poisson_neurons(self, group):
        rates = group._rates if isinstance(group._rates, str) else None
        return PoissonNeurons(
            n=len(group),
            equations=f"rates = {rates} : Hz" if rates else "rates : Hz",
            events=dict(group.events),
            codes={},
            refractory=False,
            **self._common(group, [rates] if rates else []),
        )

    def spike_times(self, group):
        return SpikeTimes(
            n=len(group),
            equations="",
            indices=np.array(group._neuron_index, dtype=int),
            times=np.array(group._spike_time, dtype=float),
            period=group.variables["period"].get_value().item(),
            **self._common(group, []),
        )

    def projection(self, synapses):
        texts = [eq.expr.code for eq in synapses.equations.values() if eq.expr is not None]
        if synapses.event_driven is not None:
            texts += [eq.expr.code for eq in synapses.event_driven.values() if eq.expr is not None]
        if synapses.subexpression_updater is not None:
            texts += [
                line.split(" = ", 1)[1] for line in _lines(synapses.subexpression_updater.abstract_code)
            ]
        texts += [updater.expression.code for updater in synapses.summed_updaters.values()]
        pathways = [getattr(synapses, name) for name in synapses._synaptic_updaters]
        texts += [pathway.code for pathway in pathways]
        for pathway in pathways:
            self._refuse_moved_events(pathway)
        return Projection(
            source=_end(synapses.source),
            target=_end(synapses.target),
            equations=synapse_equations(synapses),
            pathways=tuple(_pathway(pathway) for pathway in pathways),
            i=np.array(synapses.i[:]),
            j=np.array(synapses.j[:]),
            multisynaptic_index=synapses.multisynaptic_index,
            **self._common(synapses, texts),
        )

    def _common(self, group, texts):
        updater = getattr(group, "state_updater", None)
        operations = tuple(self._operations(group))
        texts = texts + [op.code if isinstance(op, Operation) else str(op.weight) for op in operations]
        constants, inputs, functions = self._names(group, texts)
        method = "euler"
        if updater is not None:
            method = self._method(group.name, updater.method_choice)
            functions += tuple(name for name in [method] if name in self.functions)
        return dict(
            name=group.name,
            method=method,
            method_options=dict(updater.method_options or {}) if updater is not None else {},
            dt=float(group.clock.dt),
            order=group.order,
            schedule={
                role: (contained.when, contained.order, contained.active)
                for role, contained in contained_objects(group).items()
                if not role.startswith("operation ")
            },
            values=self._values(group),
            constants=constants,
            inputs=inputs,
            functions=functions,
            links=self.links.get(group.name, {}),
            operations=operations,
        )

    def _operations(self, group):
        """What `run_regularly` and `PoissonInput` do to a group and its subgroups."""
        for runner in operations_of(group):
            own = runner.clock is not group.clock
            yield Operation(
                name=runner.name,
                code=runner.abstract_code,
                dt=float(runner.clock.dt) if own else None,
                when=runner.when,
                order=runner.order,
                active=runner.active,
                part=_part(runner.group),
            )
        for drive in self.drives:
            if _whole(drive.group).name == group.name:
                yield PoissonDrive(
                    name=drive.name,
                    variable=drive.target_var,
                    n=int(drive.N),
                    rate=float(drive.rate),
                    weight=drive.weight,
                    when=drive.when,
                    order=drive.order,
                    active=drive.active,
                    part=_part(drive.group),
                )

    def _links(self, group):
        """The group's linked variables."""
        links = {}
        for name in sorted(getattr(group, "_linked_variables", ())):
            target = self._linked(name, group.variables.get(name))
            if target is None:
                self.unusable.add(group.name)
                self.refuse(
                    group.name,
                    f"'{name}' (linked) is linked to nothing in this network",
                    "link it with linked_var() to a variable of a group in the network",
                )
                continue
            index = group.variables.indices[name]
            if index in ("_idx", "0"):
                index = None
            elif index not in group.equations and index not in ("i", "j"):
                index = np.array(group.variables[index].get_value(), dtype=int)
            links[name] = Link(*target, index)
        return links

    def _linked(self, name, variable):
        """Group and name of what a variable is linked to; Brian2 keeps of a subexpression only its text."""
        groups = {obj.name: obj for obj in self.network.objects if hasattr(obj, "variables")}
        if isinstance(variable, ArrayVariable):
            owner = _name_of(variable.owner)
            return (owner, variable.name) if owner in groups else None
        if isinstance(variable, Subexpression):
            for owner, group in groups.items():
                text = re.sub(rf"\b_{name}_(?:{owner}_)?", "", variable.expr)
                for known in group.variables.values():
                    if isinstance(known, Subexpression) and known.expr == text and known is not variable:
                        return owner, known.name
        return None

    def _refuse_unknown_parts(self, group):
        known = {id(contained) for contained in contained_objects(group).values()}
        for contained in _parts(group):
            if (
                id(contained) not in known
                and not isinstance(contained, Subgroup)
                and _kind(contained) is None
            ):
                self.refuse(group.name, f"{contained.name} is not bridged", "write it with run_regularly")
        for runner in operations_of(group):
            if not isinstance(runner.clock, Clock):
                self.unusable.add(group.name)
                self.refuse(
                    group.name,
                    f"run_at({runner.abstract_code.strip()!r}) runs at times of its own",
                    "use run_regularly, with a TimedArray that is 1 at these times",
                )

    def _refuse_moved_events(self, pathway):
        """Events under way keep their place in Brian2's queue by way of rounding when dt changes."""
        clock = pathway.source.clock
        if clock._old_dt not in (None, clock.dt_) and len(under_way(pathway)):
            self.refuse(
                pathway.name,
                f"dt was changed from {clock._old_dt * 1e3:g} ms while events are under way",
                "let them arrive before you change dt",
            )

    def _method(self, name, choice):
        if isinstance(choice, str):
            methods = (choice,)
        elif isinstance(choice, tuple | list):
            methods = tuple(choice)
        else:
            methods = tuple(
                key for key, method in StateUpdateMethod.stateupdaters.items() if method is choice
            )[:1]
            if not methods:  # the user's own, which has no name: kept as it is, like a function
                methods = (f"method of {name}",)
                self.functions[methods[0]] = choice
        for method in methods:
            if isinstance(method, str) and method.startswith("gsl"):
                self.unusable.add(name)
                self.refuse(
                    name,
                    f"method={method!r} integrates with the GSL library, whose steps depend on the data",
                    "use an explicit method such as 'rk4' with a small dt",
                )
        return methods[0] if len(methods) == 1 else methods

    def _values(self, group):
        """Values of all variables that may be assigned before a run, in SI units."""
        values = {}
        for name, variable in group.variables.items():
            owned = isinstance(variable, ArrayVariable) and variable.owner is not None
            if owned and _name_of(variable.owner) == group.name and variable.name == name:
                if variable.read_only or name.startswith("_") or name == "delay":
                    continue
                value = np.array(variable.get_value())
                values[name] = value.reshape(()) if variable.scalar else value
                if value.dtype.kind == "f" and np.isnan(value).any():
                    self.refuse(group.name, f"'{name}' starts with NaN", "assign numbers before wrapping it")
        return values

    # -- external names -------------------------------------------------------------------------------

    def _names(self, group, texts):
        """Sort the external names in a group's texts into constants, timed inputs and functions."""
        constants, inputs, functions = {}, {}, []
        expressions = [line for text in texts for line in _right_hand_sides(text)]
        own = group.variables
        for name in sorted(get_identifiers_recursively(expressions, own)):
            if name in own or name in DEFAULT_FUNCTIONS or name in DEFAULT_UNITS or name in DEFAULT_CONSTANTS:
                continue
            found = self._look_up(group, name)
            if isinstance(found, TimedArray):
                inputs[name] = self._timed_input(name, found)
            elif isinstance(found, Function) or hasattr(found, "_return_unit"):  # from @check_units
                self.functions[name] = found
                functions.append(name)
            elif isinstance(found, numbers.Number | np.number | np.bool_) or (
                isinstance(found, Quantity) and found.size == 1
            ):
                constants[name] = Constant(np.asarray(found).item(), get_dimensions(found))
        return constants, inputs, tuple(functions)

    def _look_up(self, group, name):
        for namespace in (group.namespace or {}, self.namespace):
            if name in namespace:
                return namespace[name]
        return None

    def _timed_input(self, name, array):
        """Name of the `TimedInput` for a `TimedArray`: the identifier, made unique if need be."""
        for key, known in self.inputs.items():
            if known.brian_name == array.name:
                return key
        key, number = name, 1
        while key in self.inputs:
            key, number = f"{name}_{number}", number + 1
        self.inputs[key] = TimedInput(
            name=key,
            values=np.array(array.values),
            dimensions=array.dim,
            dt=float(array.dt),
            brian_name=array.name,
        )
        return key


def _lines(code):
    return [line.strip() for line in code.strip().split("\n") if line.strip()]


def _right_hand_sides(text):
    """Expressions of a text that is one expression or several statements."""
    for line in re.split(r"[;\n]", text):
        line = line.split("#", 1)[0].strip()
        if line:
            statement = re.match(r"\w+\s*(?:[-+*/%]|\*\*|//)?=(?!=)\s*(.*)", line)
            yield statement.group(1) if statement else line


def _kind(obj):
    """Brian2's class of an object that can be described, None for all others."""
    for cls in (NeuronGroup, Synapses, PoissonGroup, SpikeGeneratorGroup, PoissonInput):
        if isinstance(obj, cls) and not isinstance(obj, SpatialNeuron):
            own = type(obj).__mro__[: type(obj).__mro__.index(cls)]
            return None if any(way in vars(c) for c in own for way in OWN_WAYS) else cls
    return None


def _parts(group):
    """What a group contains, also through subgroups that operations belong to.

    Synapses with operations of their own are contained in their source: Brian2 takes them for a subgroup.
    """
    for part in group.contained_objects:
        yield part
        if _kind(part) is None:
            yield from part.contained_objects


def _name_of(owner):
    """Name of a variable's owner, which may be a subgroup that nobody holds any more."""
    try:
        return owner.name
    except ReferenceError:
        return None


def _whole(group):
    return group.source if isinstance(group, Subgroup) else group


def _part(group):
    return (int(group.start), int(group.stop)) if isinstance(group, Subgroup) else None


def _end(group):
    return (_whole(group).name, *(_part(group) or (None, None)))


def _pathway(pathway):
    delay = np.array(pathway.variables["delay"].get_value(), dtype=float)
    if pathway.variables["delay"].scalar:
        delay = delay.reshape(())
    return Pathway(
        name=pathway.objname,
        prepost=pathway.prepost,
        code=pathway.code,
        event=pathway.event,
        delay=delay,
        under_way=under_way(pathway),
    )
