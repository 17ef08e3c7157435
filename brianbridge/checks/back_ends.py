"""Rung 5: other back ends of Brian2 take the same steps."""

from contextlib import contextmanager

import numpy as np
from brian2 import prefs, second
from brian2.codegen.runtime.cython_rt.cython_rt import CythonCodeObject

from brianbridge.checks.finding import Finding, NotRun, Table, verdict
from brianbridge.checks.noise import drawn_noise
from brianbridge.comparison.watching import Difference
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.rebuild import rebuild

__all__ = ["measure"]

LOCKSTEPS = 40  # single steps that are compared in a network that goes its own way


def measure(context):
    """The same trials with the same noise on numpy and on cython.

    Where spikes differ, the network may be chaotic: then single steps from the same state are compared.
    """
    if not CythonCodeObject.is_available():
        raise NotRun("Brian2's cython target does not work here: no C++ compiler was found")
    trials, noise = context.few, drawn_noise(context.trained.model, context.few, context.seed)
    reference = context.run(context.trained.model, trials, noise=noise, target="numpy")
    other = context.run(context.model, trials, noise=noise, target="cython")
    differing, first = _differing(reference, other)
    spikes = sum(len(steps) for group in reference.spikes.values() for _, steps in group)
    row = {"back end": "cython", "spikes": spikes, "differing": differing, "first differing step": first}
    data = {"trials": len(trials), "reference": "numpy", "back ends": [row], "lockstep": None}
    if differing == 0:
        value, passed = f"cython: all {spikes} spikes as on numpy", True
    else:
        events, worst = _lockstep(context, trials, noise)
        data["lockstep"] = {"steps": LOCKSTEPS, "differing events": events, "of their range": worst}
        passed = events == 0 and worst <= context.margins["back_ends"]
        value = (
            f"cython: {differing} of {spikes} spikes differ, from step {first} on; of {LOCKSTEPS} single steps "
            f"{events} events differ, states by {worst:.2g} of their range"
        )
    return Finding(
        verdict(passed),
        value=value,
        reason="C++ and CUDA: see the full ladder" if not context.sizes.full else "",
        data=data,
        tables=[
            Table(
                "Back ends",
                list(row),
                [list(row.values())],
                f"n = {len(trials)} trials with the same noise; reference: numpy.",
            )
        ],
    )


def _differing(reference, other):
    """Spikes on one side only, and the first step that has one."""
    differing, first = 0, None
    for group in reference.spikes:
        for trial in range(len(reference.spikes[group])):
            different = reference.raster(group, trial) != other.raster(group, trial)
            differing += int(different.sum())
            if different.any():
                step = int(different.any(axis=1).argmax())
                first = step if first is None else min(first, step)
    return differing, first


def _lockstep(context, trials, noise):
    """Single steps of both back ends from the same state, spread over the first trial."""
    inputs = {name: trials.inputs[source][:, 0] for name, source in context.trained.inputs.items()}
    sides = {
        target: _Side(model.with_inputs(inputs), target, {key: value[:, 0] for key, value in noise.items()})
        for target, model in (("numpy", context.trained.model), ("cython", context.model))
    }
    numpy_side, cython_side = sides.values()
    between = max(round(trials.steps * trials.dt / context.training_dt) // LOCKSTEPS - 1, 0)
    events, differences = 0, {}
    for _ in range(LOCKSTEPS):
        if between:
            numpy_side.run(between)
        cython_side.take(numpy_side.give())
        cython_side.run(1)
        numpy_side.run(1)
        theirs, ours = numpy_side.states(), cython_side.states()
        for name, value in theirs.items():
            differences.setdefault(name, Difference()).see(value, ours[name])
        events += sum(int(np.sum(a != b)) for a, b in zip(numpy_side.spiking(), cython_side.spiking()))
    return events, max((difference.relative for difference in differences.values()), default=0.0)


class _Side:
    """A network on one back end, advanced by a few steps at a time."""

    def __init__(self, model, target, noise):
        self.model, self.target = model, target
        self.live = rebuild(model)
        for group in model.groups:
            for variable, expression in group.initial.items():
                setattr(self.live[group.name], variable, expression)
        freeze_noise(self.live.network, noise)

    def run(self, steps):
        with _on(self.target), np.errstate(all="ignore"):
            self.live.network.run(steps * self.model.dt * second, namespace={})

    def give(self):
        """The whole state, spikes under way included; clocks by their time steps, since their names differ."""
        network = self.live.network
        network.store("lockstep")
        state = dict(network._stored_state["lockstep"])
        return {dt: state.pop(name) for dt, name in self._clocks()} | state

    def take(self, state):
        """Go on from the state of another network with groups of the same names."""
        network, state = self.live.network, dict(state)
        network._stored_state["lockstep"] = {name: state.pop(dt) for dt, name in self._clocks()} | state
        network.restore("lockstep")

    def _clocks(self):
        network = self.live.network
        clocks = {part.clock for obj in network.objects for part in (obj, *obj.contained_objects)}
        return [(clock.dt_, clock.name) for clock in clocks]

    def states(self):
        return {
            f"{group.name}.{name}": np.atleast_1d(self.live[group.name].variables[name].get_value())
            for group in self.model.groups
            for name, value in group.values.items()
            if value.dtype.kind == "f"
        }

    def spiking(self):
        """Neurons that spiked in the last step, as booleans of each group."""
        for group in self.model.groups:
            for event in getattr(group, "events", {}):
                space = self.live[group.name].variables[f"_{event}space"].get_value()
                happened = np.zeros(group.n, bool)
                happened[space[: space[-1]]] = True
                yield happened


@contextmanager
def _on(target):
    before = prefs.codegen.target
    prefs.codegen.target = target
    try:
        yield
    finally:
        prefs.codegen.target = before
