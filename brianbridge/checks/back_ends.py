"""Rung 5: other back ends of Brian2 take the same steps."""

from dataclasses import replace

import numpy as np
from brian2 import second
from brian2.codegen.runtime.cython_rt.cython_rt import CythonCodeObject
from brian2.equations.equations import parse_string_equations

from brianbridge.checks.finding import Finding, NotRun, Table, verdict
from brianbridge.checks.noise import drawn_noise
from brianbridge.checks.nudge import nudge_of, nudged
from brianbridge.codegen_target import codegen_target
from brianbridge.comparison.watching import Difference
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.rebuild import rebuild
from brianbridge.simulation.initial_states import drawn_states
from brianbridge.simulation.standalone import DeviceMissing, keep_builds

__all__ = ["measure"]

OUTPUTS, STATES = "outputs (of their range)", "states (of their range)"
SLIGHT = 1e-3  # of a value: a smaller range is nothing to measure rounding by
LOCKSTEPS = 20  # single steps that are compared in a network that goes its own way


def measure(context):
    """The same trials with the same noise, from the same states, on numpy and on the other back ends.

    Spikes, outputs and the states at the end are compared. Where they differ, the network may be chaotic:
    then spikes differ no earlier than after a nudge far larger than rounding, and steps from the same state
    are compared, single ones on cython, and on devices that cannot be stopped after each step those that go
    on from the end of a trial.
    """
    trials, noise = context.few, drawn_noise(context.trained.model, context.few, context.seed)
    start, own_start = (
        drawn_states(model, len(trials), context.seed) for model in (context.trained.model, context.model)
    )
    reference = context.run(context.trained.model, trials, noise=noise, initial=start, target="numpy")
    margin = context.margins["back_ends"]
    rows, missing, apart = [], [], {}
    for name, settings in _wanted(context, missing).items():
        try:
            other = context.run(context.model, trials, noise=noise, initial=own_start, **settings)
        except DeviceMissing as why:
            missing.append(f"{name}: {why}")
            continue
        rows.append({"back end": name} | _compared(reference, other))
        if rows[-1]["differing"] or max(rows[-1][OUTPUTS], rows[-1][STATES]) > margin:
            apart[name] = settings
    if not rows:
        raise NotRun("; ".join(missing))
    found = [
        f"{row['back end']}: {row['differing']} of {row['spikes']} spikes differ, outputs by "
        f"{row[OUTPUTS]:.2g} and last states by {row[STATES]:.2g} of their range"
        for row in rows
    ]
    steps = {}
    for name, settings in apart.items():
        events, worst = (
            _lockstep(context, trials, noise, start)
            if name == "cython"
            else _going_on(context, reference, noise, settings)
        )
        steps[name] = {"differing events": events, "of their range": worst}
        found.append(
            f"{name}, from the same states: {events} events, and states by {worst:.2g} of their range"
        )
    passed = all(one["differing events"] == 0 and one["of their range"] <= margin for one in steps.values())
    differing = [row for row in rows if row["differing"]]
    nudge = _nudged(context, trials, noise, start, reference) if differing else None
    early = [said for row in differing if (said := _too_early(row, nudge))]
    data = {"trials": len(trials), "reference": "numpy", "back ends": rows, "from the same states": steps}
    return Finding(
        verdict(passed and not early),
        value="; ".join(found),
        reason="; ".join([*early, *missing]),
        data=data | {"nudge": nudge},
        tables=[
            Table.of_rows(
                "Back ends",
                rows,
                f"n = {len(trials)} trials with the same noise, from the same states; reference: numpy. "
                "Largest differences of the outputs at any time, and of all states at the ends of trials.",
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


def _compared(reference, other):
    """Bins with a spike on one side only, the first step that has one, and differences of values."""
    differing, first = _differing(reference, other)
    outputs = Difference()
    outputs.see(reference.outputs.values, other.outputs.values)
    return {
        "spikes": sum(spikes.sizes["spike"] for spikes in reference.spikes.values()),
        "differing": differing,
        "first differing step": first,
        OUTPUTS: _relative(outputs),
        STATES: _worst(_last_states(reference, other)),
    }


def _differing(reference, other):
    """Bins with a spike on one side only, and the first step that has one."""
    differing, first = 0, []
    for group in reference.spikes:
        different = reference.raster(group).values != other.raster(group).values
        differing += int(different.sum())
        first += [int(different.any(axis=(1, 2)).argmax())] if different.any() else []
    return differing, min(first, default=None)


def _nudged(context, trials, noise, start, reference):
    """The first step in which a nudge of the initial states changes a spike, and the nudge in words."""
    model = context.trained.model
    nudge, said = nudge_of(model, reference)
    if not nudge:
        return None
    initial = nudged(model, start, nudge, len(trials))
    moved = context.run(model, trials, noise=noise, initial=initial, target="numpy")
    return {"by": said, "first differing step": _differing(reference, moved)[1]}


def _too_early(row, nudge):
    """What to say of spikes that differ before rounding can have become a difference; or nothing."""
    if nudge is None:
        return ""
    first, chaos = row["first differing step"], nudge["first differing step"]
    if chaos is not None and chaos <= first:
        return ""
    then = "in no step" if chaos is None else f"from step {chaos} on"
    return (
        f"{row['back end']}: spikes differ from step {first} on, after a nudge of {nudge['by']} {then}: "
        "this is more than rounding, unless neurons reach their threshold exactly"
    )


def _last_states(reference, other, differences=None):
    """Differences of all variables at the ends of trials, by name; added to those that are given."""
    differences = {} if differences is None else differences
    for theirs, ours in zip(reference.final, other.final):
        for name, value in theirs.items():
            if value.dtype.kind == "f" and not name.endswith(".lastspike"):
                differences.setdefault(name, Difference()).see(value, ours[name])
    return differences


def _worst(differences):
    return max(map(_relative, differences.values()), default=0.0)


def _relative(difference):
    """As a part of the range, which counts as a thousandth of the values where neurons hardly differ."""
    size = max(abs(difference.low), abs(difference.high))
    if difference.largest == 0 or not np.isfinite(size):
        return difference.relative
    return difference.largest / max(difference.high - difference.low, SLIGHT * size or difference.largest)


def _lockstep(context, trials, noise, start):
    """Single steps of both back ends from the same state, spread over the first trial."""
    inputs = {name: trials.inputs[source][:, 0] for name, source in context.trained.inputs.items()}
    sides = {
        target: _Side(
            model.with_inputs(inputs),
            target,
            {key: value[:, 0] for key, value in noise.items()},
            {key: value[0] for key, value in start.items()},
        )
        for target, model in (("numpy", context.trained.model), ("cython", context.model))
    }
    numpy_side, cython_side = sides.values()
    between = max(round(trials.steps * trials.dt / context.training_dt) // LOCKSTEPS - 1, 0)
    events, differences = 0, {}
    with spared_from_collection():
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
    return events, _worst(differences)


class _Side:
    """A network on one back end, advanced by a few steps at a time."""

    def __init__(self, model, target, noise, start):
        self.model, self.target = model, target
        self.live = rebuild(model)
        for name, values in start.items():
            group, _, variable = name.partition(".")
            self.live[group].variables[variable].set_value(values)
        freeze_noise(self.live.network, noise)

    def run(self, steps):
        with codegen_target(self.target), np.errstate(all="ignore"):
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
            _last_states(here, there, differences)
    return events, _worst(differences)


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
