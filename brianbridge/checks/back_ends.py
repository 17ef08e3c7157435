"""Rung 5: other back ends of Brian2 take the same steps."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from brian2 import prefs, second
from brian2.codegen.runtime.cython_rt.cython_rt import CythonCodeObject
from brian2.equations.equations import parse_string_equations

from brianbridge.checks.finding import Finding, NotRun, Table, verdict
from brianbridge.checks.noise import drawn_noise
from brianbridge.comparison.watching import Difference
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.rebuild import rebuild
from brianbridge.simulation.standalone import DeviceMissing, keep_builds

__all__ = ["measure"]

LOCKSTEPS = 20  # single steps that are compared in a network that goes its own way


def measure(context):
    """The same trials with the same noise on numpy and on the other back ends.

    Where spikes differ, the network may be chaotic: then steps from the same state are compared, single ones
    on cython, and on devices that cannot be stopped after each step those that go on from the end of a trial.
    """
    trials, noise = context.few, drawn_noise(context.trained.model, context.few, context.seed)
    reference = context.run(context.trained.model, trials, noise=noise, target="numpy")
    spikes = sum(group.sizes["spike"] for group in reference.spikes.values())
    rows, missing, apart = [], [], {}
    for name, settings in _wanted(context, missing).items():
        try:
            other = context.run(context.model, trials, noise=noise, **settings)
        except DeviceMissing as why:
            missing.append(f"{name}: {why}")
            continue
        rows.append(_row(name, spikes, *_differing(reference, other)))
        if rows[-1]["differing"]:
            apart[name] = settings
    if not rows:
        raise NotRun("; ".join(missing))
    found = [f"{row['back end']}: {row['differing']} of {spikes} spikes differ" for row in rows]
    steps = {}
    for name, settings in apart.items():
        events, worst = (
            _lockstep(context, trials, noise)
            if name == "cython"
            else _going_on(context, reference, noise, settings)
        )
        steps[name] = {"differing events": events, "of their range": worst}
        found.append(
            f"{name}, from the same states: {events} events, and states by {worst:.2g} of their range"
        )
    margin = context.margins["back_ends"]
    passed = all(one["differing events"] == 0 and one["of their range"] <= margin for one in steps.values())
    data = {"trials": len(trials), "reference": "numpy", "back ends": rows, "from the same states": steps}
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
        wanted["CUDA"] = {"device": "cuda_standalone"}
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
        with _on(self.target), spared_from_collection(), np.errstate(all="ignore"):
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


def _going_on(context, reference, noise, settings):
    """Steps that follow on the end of each trial, with its last inputs, on numpy and on another device."""
    events, differences = 0, {}
    with keep_builds():
        for trial, state in enumerate(reference.final):
            shown = _last_rows(context.few[[trial]], LOCKSTEPS)
            steps = round(shown.steps * shown.dt / context.training_dt)
            numbers = {key: values[-steps:, [trial]] for key, values in noise.items()}
            here, there = (
                context.run(_in_state(model, state, reference), shown, noise=numbers, **where)
                for model, where in (
                    (context.trained.model, {"target": "numpy"}),
                    (context.model, settings),
                )
            )
            events += _differing(here, there)[0]
            for name, value in here.final[0].items():
                if value.dtype.kind == "f" and not name.endswith(".lastspike"):
                    differences.setdefault(name, Difference()).see(value, there.final[0][name])
    return events, max((difference.relative for difference in differences.values()), default=0.0)


def _last_rows(trials, rows):
    """The end of trials, as trials."""
    inputs = {name: values[-rows:] for name, values in trials.inputs.items()}
    return replace(trials, inputs=inputs, targets=trials.targets[-rows:], mask=trials.mask[-rows:], epochs={})


def _in_state(model, state, simulated):
    """A model that starts in the state in which a trial has ended; its parameters are its own."""
    groups = []
    for group in model.groups:
        equations = parse_string_equations(group.equations)
        values = {
            name: value
            if name in equations and "constant" in equations[name].flags
            else state.get(f"{group.name}.{name}", value)
            for name, value in group.values.items()
        }
        if "lastspike" in values:  # time begins anew
            values["lastspike"] = values["lastspike"] - simulated.steps * simulated.dt
        groups.append(replace(group, values=values, initial={}))
    return replace(model, groups=tuple(groups))


@contextmanager
def _on(target):
    before = prefs.codegen.target
    prefs.codegen.target = target
    try:
        yield
    finally:
        prefs.codegen.target = before
