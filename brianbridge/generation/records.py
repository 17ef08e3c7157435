"""What is taken down while a program runs: variables and events, and all that a monitor records."""

import math
from dataclasses import replace

import numpy as np

from brianbridge.generation.arrays import Arrays
from brianbridge.generation.program import Block, Line, Name, Record
from brianbridge.generation.schedule import block_of, statements_of
from brianbridge.model.monitors import live_monitor

__all__ = ["with_expression", "with_records"]


def with_records(program, live, variables, when, monitors=()):
    """A program that also records.

    Parameters
    ----------
    program : Program
    live : Live
        The network that it is of.
    variables : sequence of (str, str)
        Group and variable, or group and event: their values in every step.
    when : str
        The slot after which the variables are taken.
    monitors : sequence of Monitor
        They record where and when they do in Brian2.

    Returns
    -------
    Program
        Its records are in the order of the variables, then of the monitors.

    Raises
    ------
    ValueError
        If there is no such slot, or a monitor samples between the steps of the network.
    """
    place = _place(program, live, when)
    for group, variable in variables:
        if f"{group}.{variable}" in program.events:
            block, arrays = _event_block(program, group, variable), {}
        else:
            block, arrays = _variable_block(live, group, variable)
        program = _with(program, Record(block, ("_recorded",), place), arrays)
    for monitor in monitors:
        block, arrays = _monitor_block(live, monitor)
        outputs = (*(f"_to_record_{v}" for v in monitor.variables), *(["_happened"] if monitor.event else []))
        place = _place(program, live, monitor.when, monitor.order, monitor.name)
        program = _with(program, Record(block, outputs, place, _every(program, block)), arrays)
    return program


def with_expression(program, live, group, expression):
    """A program without steps, that evaluates one expression of a group's variables.

    Parameters
    ----------
    program : Program
    live : Live
    group, expression : str

    Returns
    -------
    Program
    """
    block, arrays = _variable_block(live, group, expression)
    return _with(replace(program, blocks=(), records=()), Record(block, ("_recorded",), 0), arrays)


def _with(program, record, arrays):
    return replace(program, arrays={**arrays, **program.arrays}, records=(*program.records, record))


def _variable_block(live, group, expression):
    """Block that evaluates an expression of a group's variables, and the arrays that it reads."""
    arrays, owner = Arrays(live.inputs), live.groups[group]
    statements = statements_of(owner, f"_recorded = {expression}", f"{group}_record", {}, "stateupdate")
    block = block_of(
        statements,
        arrays,
        name=f"{group} {expression}",
        kind="record",
        group=group,
        size=1 if getattr(owner.variables.get(expression), "scalar", False) else len(owner),
        slot="",
        order=0,
        dt=owner.clock.dt_,
        group_dt=owner.clock.dt_,
        text=expression,
    )
    return block, arrays.table([block])


def _event_block(program, group, event):
    key = f"{group}.{event}"
    return Block(
        name=f"{group} {event}",
        kind="record",
        group=group,
        size=program.events[key],
        slot="",
        order=0,
        dt=program.dt,
        group_dt=program.dt,
        lines=(Line("_recorded", ":=", "_event", "float"),),
        names={"_event": Name("event", key=key, value=program.event_dt(key))},
        gates={},
    )


def _monitor_block(live, monitor):
    """Block that evaluates what a monitor records, by the monitor's own code, and the arrays that it reads.

    Its lines define ``_to_record_VARIABLE``, and ``_happened`` where the monitor watches an event.
    """
    watching = live_monitor(monitor, live.groups)
    size, elements = len(watching.source), monitor.indices
    if elements is not None:
        size = len(elements)
    elif monitor.event and monitor.part:
        elements = np.arange(*monitor.part)
    arrays = Arrays(live.inputs, monitor.name, elements)
    statements = statements_of(watching, watching.abstract_code, monitor.name, {}, watching.template)
    block = block_of(
        statements,
        arrays,
        name=monitor.name,
        kind="record",
        group=monitor.group,
        size=size,
        slot=monitor.when,
        order=monitor.order,
        dt=watching.clock.dt_,
        group_dt=watching.clock.dt_,
        text=watching.abstract_code,
    )
    if monitor.event:
        key, index = f"{monitor.group}.{monitor.event}", arrays.index("_idx", {})
        event = Name("event", key=key, index=index, value=watching.clock.dt_)
        happened = Line("_happened", ":=", "_event > 0.5", "boolean")
        block = replace(block, lines=(*block.lines, happened), names={**block.names, "_event": event})
    return block, arrays.table([block])


def _place(program, live, when, order=math.inf, name=""):
    """Number of blocks that Brian2 runs before something of this slot, order and name."""
    slots = [f"{side}{slot}" for slot in live.network.schedule for side in ("before_", "", "after_")]
    if when not in slots:
        raise ValueError(f"when={when!r} is not a slot of the schedule; choose one of {', '.join(slots)}.")
    key = slots.index(when), order, name
    return sum((slots.index(block.slot), block.order, block.name) < key for block in program.blocks)


def _every(program, monitor):
    """Number of the program's steps between two samples of a monitor."""
    every = monitor.dt / program.dt
    if round(every) < 1 or abs(every - round(every)) > 1e-9 * every:
        raise ValueError(
            f"{monitor.name} samples every {monitor.dt * 1e3:g} ms, which is no multiple of the network's "
            f"time step of {program.dt * 1e3:g} ms. Give it a dt that is one."
        )
    return round(every)
