"""Build a live Brian2 `Network` from a `Model`."""

import gc
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from brian2 import (
    Clock,
    Network,
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpikeGeneratorGroup,
    Synapses,
    TimedArray,
    hertz,
    linked_var,
    second,
)
from brian2.devices.device import get_device, runtime_device
from brian2.equations.equations import parse_string_equations
from brian2.units.fundamentalunits import Quantity

from brianbridge.model.groups import (
    SPIKE_TIMES,
    Neurons,
    PoissonDrive,
    PoissonNeurons,
    Projection,
    SpikeTimes,
)
from brianbridge.model.roles import contained_objects
from brianbridge.model.spike_queue import send

__all__ = ["Live", "rebuild", "set_aside", "unrun"]


@dataclass
class Live:
    """A live network and its parts by name.

    Attributes
    ----------
    network : brian2.Network
    groups : dict of str to NeuronGroup or Synapses
    inputs : dict of str to TimedArray
        Change a trial's input in place: ``live.inputs['stim'].values[:] = ...``.
    """

    network: Network
    groups: dict
    inputs: dict

    def __getitem__(self, name):
        return self.groups[name]


def set_aside(objects):
    """Tell Brian2 that these objects are not forgotten: it warns of groups that are deleted and never ran.

    Parameters
    ----------
    objects : iterable of BrianObject
        They cannot be added to a network afterwards.
    """
    for obj in objects:
        obj._network = "none, used to read a model"


def rebuild(model, clocks=None):
    """Build an ordinary Brian2 network; for another time step see `Model.with_dt`.

    Parameters
    ----------
    model : Model
    clocks : dict of float to Clock, optional
        Clocks to be used, by their time step in seconds; others are made.

    Returns
    -------
    Live

    Raises
    ------
    ValueError
        If the equations use functions of the user's own, which the model lacks since it comes from a file; or
        if the model starts later than t = 0, on a standalone device.
    """
    missing = sorted({name for group in model.groups for name in group.functions} - set(model.functions))
    if missing:
        raise ValueError(
            f"The equations use {', '.join(missing)}, functions of your own, which files do not hold. Hand "
            f"them over: trained.with_functions({{'{missing[0]}': {missing[0]}}})."
        )
    if model.time > 0 and get_device() is not runtime_device:
        raise ValueError(
            f"The model starts at t = {model.time:g} s, where its network was when it was wrapped; a "
            "standalone device starts at 0 s. Wrap the network before its first run, or use "
            "set_device('runtime')."
        )
    with _no_garbage_collection():
        return _Rebuild(model, clocks).live()


def unrun(model):
    """A live network that lends its names and equations, and never runs.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Live
    """
    live = rebuild(model)
    set_aside(live.groups.values())
    return live


@contextmanager
def _no_garbage_collection():
    """Brian2 looks for a free name among all objects, and stumbles over one that is collected meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Rebuild:
    """One network under construction."""

    def __init__(self, model, clocks=None):
        self.model = model
        self.clocks = dict(clocks or {})
        self.inputs = {timed.name: _timed_array(timed) for timed in model.inputs}
        self.groups = {}
        self.drives = []

    def live(self):
        unlinked = []
        for group in self.model.groups:
            self.groups[group.name] = live = self.group(group)
            _set_values(group, live)
            unlinked += [(live, name, link) for name, link in group.links.items()]
            unlinked = [one for one in unlinked if not self.linked(*one)]
            for role, contained in contained_objects(live).items():
                contained.when, contained.order, contained.active = group.schedule[role]
            for operation in group.operations:
                self.operation(live, operation)
        network = Network(*self.groups.values(), *self.drives)
        network.schedule = list(self.model.schedule)
        network.t_ = self.model.time
        return Live(network, self.groups, self.inputs)

    def group(self, group):
        build = {
            Neurons: _neurons,
            PoissonNeurons: _poisson_neurons,
            SpikeTimes: _spike_times,
            Projection: _projection,
        }[type(group)]
        namespace = _namespace(self.model, group, self.inputs)
        return build(self.model, group, self.groups, self.clock(group.dt), namespace)

    def clock(self, dt):
        return self.clocks.setdefault(dt, Clock(Quantity(dt, dim=_SECOND)))

    def linked(self, live, name, link):
        """Link a variable, if what it is linked to exists already."""
        if link.group not in self.groups:
            return False
        index = np.array(link.index) if isinstance(link.index, np.ndarray) else link.index
        setattr(live, name, linked_var(self.groups[link.group], link.variable, index=index))
        return True

    def operation(self, live, operation):
        part = live if operation.part is None else live[slice(*operation.part)]
        if isinstance(operation, PoissonDrive):
            weight, rate = operation.weight, Quantity(operation.rate, dim=hertz.dim)
            runner = PoissonInput(part, operation.variable, operation.n, rate, weight)
            runner._name = operation.name  # which Brian2 does not let us choose
            self.drives.append(runner)
        else:
            clock = None if operation.dt is None else self.clock(operation.dt)
            runner = part.run_regularly(operation.code, clock=clock, name=operation.name)
        runner.when, runner.order, runner.active = operation.when, operation.order, operation.active


_SECOND = second.dim


def _timed_array(timed):
    return TimedArray(
        Quantity(np.array(timed.values), dim=timed.dimensions), dt=Quantity(timed.dt, dim=_SECOND)
    )


def _namespace(model, group, inputs):
    names = {
        name: _quantity(constant.value, constant.dimensions) for name, constant in group.constants.items()
    }
    names |= {identifier: inputs[name] for identifier, name in group.inputs.items()}
    names |= {name: model.functions[name] for name in group.functions if name.isidentifier()}
    return names


def _quantity(value, dimensions):
    return value if isinstance(value, bool) else Quantity(value, dim=dimensions)


def _neurons(model, group, groups, clock, namespace):
    events = {name: condition for name, condition in group.events.items() if name != "spike"}
    refractory = group.refractory
    if isinstance(refractory, float):
        refractory = Quantity(refractory, dim=_SECOND)
    live = NeuronGroup(
        group.n,
        group.equations,
        threshold=group.events.get("spike"),
        reset=group.codes.get("spike"),
        refractory=refractory,
        events=events or None,
        method=model.functions.get(group.method, group.method),
        method_options=dict(group.method_options) or None,
        namespace=namespace,
        dtype=_dtypes(group),
        clock=clock,
        order=group.order,
        name=group.name,
    )
    for event, code in group.codes.items():
        if event != "spike":
            live.run_on_event(event, code)
    return live


def _poisson_neurons(model, group, groups, clock, namespace):
    (rates,) = parse_string_equations(group.equations).values()
    return PoissonGroup(
        group.n,
        Quantity(0.0, dim=hertz.dim) if rates.expr is None else rates.expr.code,
        namespace=namespace,
        clock=clock,
        order=group.order,
        name=group.name,
    )


def _spike_times(model, group, groups, clock, namespace):
    return SpikeGeneratorGroup(
        group.n,
        np.array(group.indices),
        Quantity(np.array(group.times), dim=_SECOND),
        period=Quantity(group.period, dim=_SECOND),
        clock=clock,
        order=group.order,
        name=group.name,
    )


def _projection(model, group, groups, clock, namespace):
    def end(name, start, stop):
        return groups[name] if start is None else groups[name][start:stop]

    on = {"pre": {}, "post": {}}
    for pathway in group.pathways:
        on[pathway.prepost][pathway.name] = pathway.code
    live = Synapses(
        end(*group.source),
        end(*group.target),
        model=group.equations,
        on_pre=on["pre"] or None,
        on_post=on["post"] or None,
        on_event={pathway.name: pathway.event for pathway in group.pathways},
        delay={p.name: Quantity(float(p.delay), dim=_SECOND) for p in group.pathways if p.delay.shape == ()},
        multisynaptic_index=group.multisynaptic_index,
        method=model.functions.get(group.method, group.method),
        method_options=dict(group.method_options) or None,
        namespace=namespace,
        dtype=_dtypes(group),
        clock=clock,
        order=group.order,
        name=group.name,
    )
    if group.n:
        live.connect(i=np.array(group.i), j=np.array(group.j))
    else:
        live.connect(False)
    for pathway in group.pathways:
        if pathway.delay.shape != () and group.n:
            getattr(live, pathway.name).variables["delay"].set_value(np.array(pathway.delay))
        if len(pathway.under_way):
            send(getattr(live, pathway.name), pathway.under_way)
    return live


def _dtypes(group):
    return {name: value.dtype for name, value in group.values.items() if name not in SPIKE_TIMES}


def _set_values(group, live):
    """Assign without units: the values are SI, bit for bit."""
    for name, value in group.values.items():
        live.variables[name].set_value(np.array(value))
