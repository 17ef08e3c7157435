"""Compare a live network with its surrogate, step by step and variable by variable."""

import inspect
from dataclasses import dataclass, field

import numpy as np
import torch
from brian2 import EventMonitor, SpikeMonitor, StateMonitor

from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.generation.program import Program
from brianbridge.model.capture import capture
from brianbridge.model.groups import Neurons
from brianbridge.surrogate.module import Surrogate
from tests.agreement.backends import assert_compiled_agrees

TOLERANCE = 1e-9  # of a variable's range


@dataclass
class Comparison:
    """What was seen: numbers of spikes and differences of every variable."""

    surrogate: Surrogate
    records: object
    spikes: dict = field(default_factory=dict)
    differing: dict = field(default_factory=dict)
    distance: dict = field(default_factory=dict)

    @property
    def bit_equal(self):
        return not any(self.differing.values()) and not any(self.distance.values())

    @property
    def total_spikes(self):
        return sum(self.spikes.values())

    def assert_agrees(self):
        assert not any(self.differing.values()), f"spike bins that differ: {self.differing}"
        far = {name: d for name, d in self.distance.items() if not d <= TOLERANCE}
        assert not far, f"states that differ, in parts of their range: {far}"


def compare(network, steps, seed=1, namespace=None):
    """Run the live network and its surrogate over the same steps, with the same random numbers.

    The network itself is run: it is used up by this.
    """
    if namespace is None:
        frame = inspect.currentframe().f_back
        namespace = {**frame.f_globals, **frame.f_locals}
    model = capture(network, namespace)
    surrogate = Surrogate(model, dtype=torch.float64, exact=True)
    names = recordable(surrogate.program, model)
    events = list(surrogate.program.events)
    duration = steps * surrogate.dt
    records = surrogate(duration=duration, record=names + events, seed=seed)
    groups = {obj.name: obj for obj in network.objects if obj.name in {g.name for g in model.groups}}
    assert_compiled_agrees(model, records, names + events, duration)
    freeze_noise(network, records.noise)
    states = {name: state_monitor(groups, *name.split(".")) for name in names}
    spikes = {event: spike_monitor(groups, *event.split(".")) for event in events}
    network.add(*states.values(), *spikes.values())
    network.run(duration, namespace=namespace)
    result = Comparison(surrogate, records)
    for name, monitor in states.items():
        result.distance[name] = distance(records[name][:, 0].numpy(), monitor, name, surrogate)
    for name, monitor in spikes.items():
        ours = records[name][:, 0].numpy() > 0.5
        theirs = np.zeros_like(ours)
        steps = np.round(monitor.t_ / surrogate.program.dt).astype(int) - surrogate.program.start
        theirs[steps, monitor.i[:]] = True
        result.spikes[name] = int(theirs.sum())
        result.differing[name] = int((ours != theirs).sum())
    return result


def agree(network, steps=1000, seed=1):
    """`compare` with the caller's names, and insist on agreement."""
    frame = inspect.currentframe().f_back
    result = compare(network, steps, seed, {**frame.f_globals, **frame.f_locals})
    result.assert_agrees()
    return result


def recordable(program: Program, model):
    """State variables, and subexpressions of neurons (Brian2 cannot monitor those of synapses)."""
    names = [key for key, array in program.arrays.items() if array.role == "state"]
    for group in model.groups:
        if isinstance(group, Neurons):
            names += [f"{group.name}.{name}" for name in group.subexpressions()]
    return list(dict.fromkeys(names))


def state_monitor(groups, group, variable):
    return StateMonitor(groups[group], variable, record=True, when="end", order=10**6)


def spike_monitor(groups, group, event):
    return SpikeMonitor(groups[group]) if event == "spike" else EventMonitor(groups[group], event)


def distance(ours, monitor, name, surrogate):
    """Largest difference as a part of the range that the variable covers; infinite where shapes differ."""
    theirs = monitor.variables[name.split(".")[1]].get_value().astype(float)
    every = round(float(monitor.clock.dt) / surrogate.program.dt)
    ours = ours[-surrogate.program.start % every :: every].astype(float)
    if ours.shape[1] == 1:
        theirs = theirs[:, :1]  # Brian2 records shared variables once for every element
    if np.array_equal(ours, theirs, equal_nan=True):
        return 0.0
    if ours.shape != theirs.shape:
        return float("inf")
    extent = np.ptp(theirs) or np.abs(theirs).max() or 1.0
    difference = np.abs(ours - theirs).max() / extent
    return float(difference) if np.isfinite(difference) else float("inf")
