"""What becomes of a network's times when it takes other steps: Brian2 knows whole numbers of steps only."""

import numpy as np
from brian2 import second
from brian2.codegen.translation import get_identifiers_recursively
from brian2.core.clocks import BaseClock
from brian2.core.functions import Function, timestep
from brian2.core.variables import ArrayVariable
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.utils.stringtools import get_identifiers

from brianbridge.model.groups import Operation, PoissonDrive, PoissonNeurons, Projection, SpikeTimes
from brianbridge.model.rebuild import unrun
from brianbridge.model.refusals import Refusal
from brianbridge.model.spike_queue import delay_steps
from brianbridge.model.spike_times import repeated_spike_refusals

__all__ = ["RoundedTimes", "refusals_of_step", "rounded_times"]


class RoundedTimes(UserWarning):
    """With other time steps, times in a network are rounded differently than with its own.

    Attributes
    ----------
    changes : tuple of str
    """

    def __init__(self, message, changes=()):
        super().__init__(message)
        self.changes = tuple(changes)

    @classmethod
    def of(cls, changes, own_dt, dt):
        """The warning about some changes."""
        heading = f"With steps of {_ms(dt)} instead of {_ms(own_dt)}, these times are rounded differently:"
        return cls("\n".join([heading, *(f"  - {change}" for change in changes)]), changes)


# -- what is impossible -------------------------------------------------------------------------------


def refusals_of_step(own, model):
    """What cannot be simulated with other time steps than the network's own.

    Parameters
    ----------
    own, model : Model
        With the network's own steps, and with others.

    Returns
    -------
    list of Refusal
    """
    refusals = []
    groups = list(zip(own.groups, model.groups))
    if any(_on_steps(own.time, old.dt) and not _on_steps(own.time, new.dt) for old, new in groups):
        construct = f"it stands at {_ms(own.time)}, which is between two steps of {_ms(model.dt)}"
        refusals.append(Refusal("network", construct, "wrap it before it runs, or choose another dt"))
    for before, after in groups:
        if isinstance(after, SpikeTimes):
            refusals += _refusals_of_spikes(after)
        for drive in after.operations:
            if isinstance(drive, PoissonDrive) and drive.rate * before.dt <= 1 < drive.rate * after.dt:
                construct = f"its rate of {drive.rate:g} Hz is more than one event every {_ms(after.dt)}"
                remedy = "write it as more inputs of a lower rate, or choose a shorter dt"
                refusals.append(Refusal(drive.name, construct, remedy))
    return refusals


def _refusals_of_spikes(group):
    """Spike times that do not fit into whole steps."""
    bins = timestep(group.times, group.dt)
    period = round(group.period / group.dt)
    if group.period and not _on_steps(group.period, group.dt):
        construct = f"its period of {_ms(group.period)} is no multiple of {_ms(group.dt)}"
        return [Refusal(group.name, construct, "choose a dt of which the period is a multiple")]
    if group.period and np.any(bins >= period):
        construct = f"it spikes at {_ms(group.times.max())}, at the very end of its period"
        return [Refusal(group.name, construct, "move this spike to the beginning of the period")]
    return repeated_spike_refusals(group)


# -- what changes -------------------------------------------------------------------------------------


def rounded_times(own, model, live, program):
    """The times that are rounded differently with other time steps, in words.

    Parameters
    ----------
    own, model : Model
        With the network's own steps, and with others.
    live : Live
        The network rebuilt from `model`.
    program : Program
        Of `live`.

    Returns
    -------
    list of str
        Delays, refractory periods, spike times, operations and timed inputs, each with its object.
    """
    changes = []
    for before, after in zip(own.groups, model.groups):
        if isinstance(after, Projection):
            changes += _delays(own, model, before, after)
        if isinstance(after, SpikeTimes):
            times = [timestep(group.times, group.dt) * group.dt for group in (before, after)]
            changes += _changed(after.name, *times, "spike time")
        if getattr(after, "refractory", False) is not False:
            changes += _refractory(own, model, after.name, live[after.name], program)
        if isinstance(after, PoissonNeurons):
            changes += _frequent_spikes(before, after)
        changes += _operations(before, after)
    return changes + _inputs(own, model)


def _changed(name, before, after, what):
    """How times in seconds change, as a list of one sentence or none."""
    before, after = np.broadcast_arrays(np.ravel(before), np.ravel(after))
    changed = ~np.isclose(before, after, rtol=1e-9, atol=0)
    if not changed.any():
        return []
    most = np.argmax(np.abs(after - before).round(12))  # of equal changes, the first
    change = f"{_ms(before[most])} becomes {_ms(after[most])}"
    if len(np.unique(before)) == len(np.unique(after)) == 1:
        return [f"{name}: the {what} of {change}"]
    return [f"{name}: {changed.sum()} of {changed.size} {what}s change, the most where {change}"]


def _delays(own, model, before, after):
    changes = []
    for old, new in zip(before.pathways, after.pathways):
        source = (after.source if new.prepost == "pre" else after.target)[0]
        steps = own[source].dt, model[source].dt
        name = f"{after.name}_{new.name}"
        if after.n:
            changes += _changed(name, *(delay_steps(new.delay, dt) * dt for dt in steps), "delay")
        under_way = [pathway.under_way[:, 0] * dt for pathway, dt in zip((old, new), steps)]
        changes += _changed(f"{name}, spikes under way", *under_way, "remaining delay")
    return changes


def _refractory(own, model, name, live, program):
    """Rounded down to whole steps by `timestep`, when it is compared with the time since the last spike."""
    text, steps = model[name].refractory, (own[name].dt, model[name].dt)
    if not isinstance(text, str):
        return _changed(name, *(timestep(text, dt) * dt for dt in steps), "refractory period")
    now = f"every {_ms(steps[1])} instead of every {_ms(steps[0])}"
    variables = live.resolve_all(get_identifiers(text), run_namespace={}, user_identifiers=set())
    if parse_expression_dimensions(text, variables) is not second.dim:
        if "lastspike" not in get_identifiers_recursively([text], live.variables):
            return []
        return [f"{name}: refractory={text!r} is a condition on time, which is looked at {now}"]
    if _varies(text, live, program):
        return [f"{name}: refractory={text!r} depends on the state of the network; it may end {now}"]
    periods = [timestep(_periods(text, one, name), dt) * dt for one, dt in zip((own, model), steps)]
    return _changed(name, *periods, "refractory period")


def _varies(text, live, program):
    """Whether an expression depends on time, chance or anything that the network changes."""
    names = get_identifiers_recursively([text], live.variables)
    for variable in live.resolve_all(names, run_namespace={}, user_identifiers=set()).values():
        if isinstance(variable, Function) and not variable.stateless:
            return True
        if isinstance(variable, ArrayVariable):
            array = program.arrays.get(f"{variable.owner.name}.{variable.name}")
            time = isinstance(variable.owner, BaseClock) and variable.name != "dt"
            if time or (array is not None and array.role == "state"):
                return True
    return False


def _periods(text, model, name):
    """Values of an expression in seconds, with the values from which the network starts."""
    live = unrun(model)
    live[name].variables.add_subexpression("_refractory_period", text, dimensions=second.dim)
    return np.array(live[name].state("_refractory_period", use_units=False)[:])


def _frequent_spikes(before, after):
    rates = after.values.get("rates", np.zeros(0))
    highest = rates.max(initial=0.0)
    if highest * before.dt <= 1 < highest * after.dt:
        return [f"{after.name}: a rate of {highest:g} Hz would be more than one spike every {_ms(after.dt)}"]
    return []


def _operations(before, after):
    changes = []
    for operation in after.operations:
        if isinstance(operation, Operation) and operation.dt is not None:
            changes += _off_steps(f"{operation.name}: it runs", operation.dt, before, after)
    return changes


def _inputs(own, model):
    """Timed inputs, each named once for groups of the same time step."""
    changes = {}
    for before, after in zip(own.groups, model.groups):
        for name in after.inputs.values():
            dt = model.input(name).dt
            what = "some values are skipped: they change" if dt < after.dt else "its values change"
            changes.setdefault((name, after.dt), _off_steps(f"{name}: {what}", dt, before, after))
    return [change for found in changes.values() for change in found]


def _off_steps(what, dt, before, after):
    """That something happens regularly, but not at the steps of its group; nothing where it was so before."""
    if _on_steps(dt, after.dt) or not (dt < after.dt or _on_steps(dt, before.dt)):
        return []
    when = "more often than" if dt < after.dt else "between"
    return [f"{what} every {_ms(dt)}, {when} the steps of {after.name} (every {_ms(after.dt)})"]


def _on_steps(time, dt):
    """Whether a time is a whole number of steps."""
    steps = time / dt
    return abs(steps - round(steps)) < 1e-4 and (round(steps) > 0 or time == 0)


def _ms(seconds):
    return f"{seconds * 1e3:g} ms"
