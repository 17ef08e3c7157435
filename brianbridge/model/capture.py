"""Read a live Brian2 `Network` into a `Model`."""

import numpy as np
from brian2 import (
    Clock,
    NeuronGroup,
    PoissonGroup,
    SpikeGeneratorGroup,
    Subgroup,
    Synapses,
)
from brian2.core.variables import ArrayVariable
from brian2.devices.device import get_device, runtime_device
from brian2.stateupdaters.base import StateUpdateMethod
from brian2.units.fundamentalunits import Quantity

from brianbridge.model.description import Model
from brianbridge.model.equation_text import neuron_equations, synapse_equations
from brianbridge.model.external_names import ExternalNames
from brianbridge.model.groups import (
    Neurons,
    Operation,
    Pathway,
    PoissonDrive,
    PoissonNeurons,
    Projection,
    SpikeTimes,
)
from brianbridge.model.members import MONITORS, Members, kind, owner_name, part, parts, whole
from brianbridge.model.monitors import describe
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.roles import contained_objects, operations_of
from brianbridge.model.spike_queue import under_way

__all__ = ["capture"]


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
        self.names = ExternalNames(namespace)
        self.refusals = []
        self.members = Members(network, self.refuse)
        self.unusable = self.members.incomplete  # names of groups that cannot even be described in part

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
        groups = [self.group(obj) for obj in self.members.groups]
        if not groups and not self.refusals:
            self.refuse("network", "there is no NeuronGroup in it", "add the groups to the network")
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
        groups = tuple(groups)
        return Model(
            groups=groups,
            inputs=tuple(self.names.inputs.values()),
            schedule=tuple(self.network.schedule),
            functions=self.names.functions,
            time=float(self.network.t),
            monitors=self._monitors({group.name for group in groups}),
        )

    def _monitors(self, known):
        """What is recorded of groups that the model has."""
        monitors = [
            describe(obj)
            for obj in sorted(self.network.objects, key=lambda obj: obj.name)
            if isinstance(obj, MONITORS) and owner_name(whole(obj.source)) in known
        ]
        return tuple(monitor for monitor in monitors if monitor is not None)

    # -- one group ------------------------------------------------------------------------------------

    def group(self, obj):
        self._refuse_unknown_parts(obj)
        readers = {
            NeuronGroup: self.neurons,
            PoissonGroup: self.poisson_neurons,
            SpikeGeneratorGroup: self.spike_times,
            Synapses: self.projection,
        }
        return readers[kind(obj)](obj)

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
        constants, inputs, functions = self.names.sort(group, texts)
        method = "euler"
        if updater is not None:
            method = self._method(group.name, updater.method_choice)
            functions += tuple(name for name in [method] if name in self.names.functions)
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
            links=self.members.links.get(group.name, {}),
            operations=operations,
        )

    def _operations(self, group):
        """What `run_regularly` and `PoissonInput` do to a group and its subgroups."""
        for runner in operations_of(group):
            if not isinstance(runner.clock, Clock):
                continue  # refused
            own = runner.clock is not group.clock
            yield Operation(
                name=runner.name,
                code=runner.abstract_code,
                dt=float(runner.clock.dt) if own else None,
                when=runner.when,
                order=runner.order,
                active=runner.active,
                part=part(runner.group),
            )
        for drive in self.members.drives:
            if whole(drive.group).name == group.name:
                yield PoissonDrive(
                    name=drive.name,
                    variable=drive.target_var,
                    n=int(drive.N),
                    rate=float(drive.rate),
                    weight=drive.weight,
                    when=drive.when,
                    order=drive.order,
                    active=drive.active,
                    part=part(drive.group),
                )

    def _refuse_unknown_parts(self, group):
        known = {id(contained) for contained in contained_objects(group).values()}
        for contained in parts(group):
            if id(contained) not in known and not isinstance(contained, Subgroup) and kind(contained) is None:
                self.refuse(group.name, f"{contained.name} is not bridged", "write it with run_regularly")
        for runner in operations_of(group):
            if not isinstance(runner.clock, Clock):
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
                self.names.functions[methods[0]] = choice
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
            if owned and owner_name(variable.owner) == group.name and variable.name == name:
                if variable.read_only or name.startswith("_") or name == "delay":
                    continue
                value = np.array(variable.get_value())
                values[name] = value.reshape(()) if variable.scalar else value
                if value.dtype.kind == "f" and np.isnan(value).any():
                    self.refuse(group.name, f"'{name}' starts with NaN", "assign numbers before wrapping it")
        return values


def _lines(code):
    return [line.strip() for line in code.strip().split("\n") if line.strip()]


def _end(group):
    return (whole(group).name, *(part(group) or (None, None)))


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
