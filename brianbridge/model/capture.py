"""Read a live Brian2 `Network` into a `Model`."""

import numbers
import re

import numpy as np
from brian2 import NeuronGroup, Subgroup, Synapses, TimedArray
from brian2.codegen.translation import get_identifiers_recursively
from brian2.core.functions import Function
from brian2.core.namespace import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, DEFAULT_UNITS
from brian2.core.variables import ArrayVariable
from brian2.devices.device import get_device, runtime_device
from brian2.groups.group import CodeRunner
from brian2.monitors import EventMonitor, PopulationRateMonitor, StateMonitor
from brian2.stateupdaters.base import StateUpdateMethod
from brian2.units.fundamentalunits import Quantity, get_dimensions

from brianbridge.model.description import Constant, Model, Neurons, Pathway, Projection, TimedInput
from brianbridge.model.equation_text import neuron_equations, synapse_equations
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.roles import contained_objects

__all__ = ["capture"]

MONITORS = (EventMonitor, PopulationRateMonitor, StateMonitor)
#: What to write instead of objects that are not bridged, by the names of their classes.
INSTEAD = {
    "PoissonGroup": "write NeuronGroup(N, 'rates : Hz', threshold='rand() < rates*dt')",
    "PoissonInput": "write NeuronGroup(N, 'rates : Hz', threshold='rand() < rates*dt') and Synapses",
    "SpikeGeneratorGroup": "put the spikes into a TimedArray of 0 and 1: "
    "NeuronGroup(N, 'u = spikes(t, i) : 1', threshold='u > 0.5')",
    "NetworkOperation": "write what it does as equations, a TimedArray, or statements on events",
    "SpatialNeuron": "write its compartments as groups coupled by (summed) variables",
}
TAKEN = "NeuronGroup and Synapses (monitors may stay: the surrogate has its own records)"


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
        self.refusals = []
        self.unusable = set()  # names of groups that cannot even be described in part

    def refuse(self, name, construct, remedy):
        self.refusals.append(Refusal(name, construct, remedy))

    def model(self):
        if float(self.network.t) > 0:
            self.refuse(
                "network",
                f"it has already run until t = {self.network.t}",
                "wrap it before its first run, or go back with network.restore()",
            )
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
        neurons = {g.name for g in groups if isinstance(g, Neurons)} - self.unusable
        return self._model(
            group
            for group in groups
            if group.name in neurons
            or (
                group.name not in self.unusable
                and isinstance(group, Projection)
                and {group.source[0], group.target[0]} <= neurons
            )
        )

    def _model(self, groups):
        return Model(
            groups=tuple(groups),
            inputs=tuple(self.inputs.values()),
            schedule=tuple(self.network.schedule),
            functions=self.functions,
        )

    def _groups_in_order(self):
        """Neuron groups first, since projections refer to them; refuse what is neither."""
        contained = {id(c) for obj in self.network.objects for c in obj.contained_objects}
        neurons, projections = [], []
        for obj in sorted(self.network.objects, key=lambda obj: obj.name):
            if type(obj) is NeuronGroup:
                neurons.append(obj)
            elif type(obj) is Synapses:
                projections.append(obj)
            elif id(obj) not in contained and not isinstance(obj, MONITORS):
                kind = type(obj).__name__
                shown = f"'{obj.function.__name__}()', a {kind}," if hasattr(obj, "function") else f"a {kind}"
                self.refuse(obj.name, f"{shown} is not bridged", INSTEAD.get(kind, f"use {TAKEN}"))
        known = {obj.name for obj in self.network.objects}  # what is not bridged has been refused above
        for projection in projections:
            for end in (projection.source, projection.target):
                whole = end.source if isinstance(end, Subgroup) else end
                if whole.name not in known or isinstance(whole, Synapses):
                    self.refuse(
                        projection.name,
                        f"it connects to {whole.name!r} ({type(whole).__name__}), which is not among the "
                        "network's neuron groups",
                        "add it to the network; ends may be NeuronGroups or subgroups of them",
                    )
        return neurons + projections

    # -- one group ------------------------------------------------------------------------------------

    def group(self, obj):
        self._refuse_unknown_parts(obj)
        return self.neurons(obj) if type(obj) is NeuronGroup else self.projection(obj)

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
        updater = group.state_updater
        constants, inputs, functions = self._names(group, texts)
        return dict(
            name=group.name,
            method=self._method(group.name, updater.method_choice) if updater is not None else "euler",
            method_options=dict(updater.method_options or {}) if updater is not None else {},
            dt=float(group.clock.dt),
            order=group.order,
            schedule={
                role: (contained.when, contained.order, contained.active)
                for role, contained in contained_objects(group).items()
            },
            values=self._values(group),
            constants=constants,
            inputs=inputs,
            functions=functions,
        )

    def _refuse_unknown_parts(self, group):
        known = {id(contained) for contained in contained_objects(group).values()}
        for contained in group.contained_objects:
            if id(contained) not in known:
                code = getattr(contained, "abstract_code", None) or getattr(contained, "code", "")
                what = (
                    f"run_regularly({code.strip()!r})"
                    if isinstance(contained, CodeRunner)
                    else contained.name
                )
                self.refuse(group.name, f"{what} is not bridged", "write it as an equation or an event")
        for name in getattr(group, "_linked_variables", ()):
            self.unusable.add(group.name)
            self.refuse(group.name, f"the linked variable '{name}'", "read it through a Synapses instead")

    def _method(self, name, choice):
        if isinstance(choice, str):
            methods = (choice,)
        elif isinstance(choice, tuple | list):
            methods = tuple(choice)
        else:
            methods = tuple(
                key for key, method in StateUpdateMethod.stateupdaters.items() if method is choice
            )[:1]
            if not methods:
                self.unusable.add(name)
                self.refuse(
                    name,
                    f"method={choice!r} has no name",
                    "register it with StateUpdateMethod.register('my_method', ...) and give its name",
                )
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
            if owned and variable.owner.name == group.name and variable.name == name:
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


def _end(group):
    if isinstance(group, Subgroup):
        return (group.source.name, int(group.start), int(group.stop))
    return (group.name, None, None)


def _pathway(pathway):
    delay = np.array(pathway.variables["delay"].get_value(), dtype=float)
    if pathway.variables["delay"].scalar:
        delay = delay.reshape(())
    return Pathway(
        name=pathway.objname, prepost=pathway.prepost, code=pathway.code, event=pathway.event, delay=delay
    )
