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
from brianbridge.simulation.standalone import DeviceMissing

__all__ = ["measure"]

LOCKSTEPS = 20  # single steps that are compared in a network that goes its own way


def measure(context):
    """The same trials with the same noise on numpy and on the other back ends.

    Where spikes differ on cython, the network may be chaotic: then single steps from the same state are
    compared.
    """
    trials, noise = context.few, drawn_noise(context.trained.model, context.few, context.seed)
    reference = context.run(context.trained.model, trials, noise=noise, target="numpy")
    spikes = sum(group.sizes["spike"] for group in reference.spikes.values())
    rows, missing, passed, found = [], [], True, []
    for name, settings in _wanted(context, missing).items():
        try:
            other = context.run(context.model, trials, noise=noise, **settings)
        except DeviceMissing as why:
            missing.append(f"{name}: {why}")
            continue
        rows.append(_row(name, spikes, *_differing(reference, other)))
    if not rows:
        raise NotRun("; ".join(missing))
    data = {"trials": len(trials), "reference": "numpy", "back ends": rows, "lockstep": None}
    for row in rows:
        found.append(f"{row['back end']}: {row['differing']} of {spikes} spikes differ")
    if any(row["differing"] for row in rows):
        events, worst = _lockstep(context, trials, noise)
        data["lockstep"] = {"steps": LOCKSTEPS, "differing events": events, "of their range": worst}
        passed = events == 0 and worst <= context.margins["back_ends"]
        found.append(f"of {LOCKSTEPS} single steps {events} events, and states by {worst:.2g} of their range")
    return Finding(
        verdict(passed),
        value="; ".join(found),
        reason="; ".join(missing),
        data=data,
        tables=[
            Table(
                "Back ends",
                list(rows[0]),
                [list(row.values()) for row in rows],
                f"n = {len(trials)} trials with the same noise; reference: numpy.",
            )
        ],
    )


def _wanted(context, missing):
    """Settings of `simulate` for each back end; adds to what is missing."""
    wanted = {}
    if CythonCodeObject.is_available():
        wanted["cython"] = {"target": "cython"}
    else:
        missing.append("cython: no C++ compiler was found")
    if context.sizes.full:
        wanted["C++ standalone"] = {"device": "cpp_standalone"}
        missing.append("CUDA: bb.simulate(device='cuda_standalone') on a machine that has it")
    return wanted


def _row(name, spikes, differing, first):
    return {"back end": name, "spikes": spikes, "differing": differing, "first differing step": first}


def _differing(reference, other):
    """Bins with a spike on one side only, and the first step that has one."""
    differing, first = 0, []
    for group in reference.spikes:
        different = reference.raster(group).values != other.raster(group).values
        differing += int(different.sum())
        first += [int(different.any(axis=(1, 2)).argmax())] if different.any() else []
    return differing, min(first, default=None)


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
        """The whole state, spikes under way included, with the names of the clocks."""
        self.live.network.store("lockstep")
        return self.live.network._stored_state["lockstep"], self._clocks()

    def take(self, given):
        """Go on from the state of another network with groups of the same names; those of clocks differ."""
        state, clocks = given
        own = {mine: state[theirs] for mine, theirs in zip(self._clocks(), clocks)}
        others = {name: value for name, value in state.items() if name not in clocks}
        self.live.network._stored_state["lockstep"] = others | own
        self.live.network.restore("lockstep")
        for group in self.model.groups:  # but parameters are its own
            variables = self.live[group.name].variables
            for name, value in group.values.items():
                if variables[name].constant and not variables[name].read_only:
                    variables[name].set_value(value)

    def _clocks(self):
        objects = list(self.live.network.objects)
        for obj in objects:
            objects += obj.contained_objects
        clocks = {obj.clock for obj in objects if hasattr(obj, "clock")}
        return [clock.name for clock in sorted(clocks, key=lambda clock: (clock.dt_, clock.name))]

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
