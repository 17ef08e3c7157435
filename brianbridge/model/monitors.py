"""Monitors of a network, described so that a surrogate can answer in their place."""

from dataclasses import dataclass

import numpy as np
from brian2 import Clock, second
from brian2.monitors import EventMonitor, PopulationRateMonitor, SpikeMonitor, StateMonitor

from brianbridge.model.groups import freeze
from brianbridge.model.members import MONITORS, part, whole

__all__ = ["Monitor", "describe", "live_monitor"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Monitor:
    """What a monitor records, and when. It changes no step of the network.

    Attributes
    ----------
    name : str
    kind : str
        ``'StateMonitor'``, ``'SpikeMonitor'``, ``'EventMonitor'`` or ``'PopulationRateMonitor'``.
    group : str
        What it watches.
    part : (int, int) or None
        First and last-plus-one index of the subgroup that it watches.
    dt : float or None
        Seconds between two samples; None for every step of the group.
    when, order : str, int
        Where in the schedule.
    active : bool
    variables : tuple of str
        The variables of a `StateMonitor`; what an `EventMonitor` records besides index and time.
    indices : ndarray of int or None
        The elements that a `StateMonitor` records, counted within the part; None for all.
    event : str
        ``'spike'`` or the name of another event; empty for a `StateMonitor`.
    lists_events : bool
        Whether index and time of every event are recorded, or only how many there were.
    dtype : str
        Of the rate of a `PopulationRateMonitor`.
    """

    name: str
    kind: str
    group: str
    part: tuple | None
    dt: float | None
    when: str
    order: int
    active: bool
    variables: tuple = ()
    indices: np.ndarray | None = None
    event: str = ""
    lists_events: bool = True
    dtype: str = "float64"

    def __post_init__(self):
        freeze(self)


def describe(obj):
    """Freeze a live monitor.

    Parameters
    ----------
    obj : StateMonitor, EventMonitor or PopulationRateMonitor

    Returns
    -------
    Monitor or None
        None for a monitor that records at times of its own, on an `EventClock`.
    """
    if not isinstance(obj.clock, Clock):
        return None
    group, own = whole(obj.source), {}
    if isinstance(obj, StateMonitor):
        names = obj.record_variables
        own["variables"] = tuple(sorted(names) if isinstance(names, set) else names)
        all_ = obj.record_all and len(obj.record) == len(obj.source)  # no synapses have been added since
        own["indices"] = None if all_ else obj.record
    elif isinstance(obj, EventMonitor):
        listed = {"i", "t"} if obj.record else set()
        own["variables"] = tuple(sorted(obj.record_variables - listed))
        own["event"], own["lists_events"] = obj.event, bool(obj.record)
    else:
        own["event"], own["dtype"] = "spike", np.dtype(obj.variables["rate"].dtype).name
    return Monitor(
        name=obj.name,
        kind=next(cls.__name__ for cls in MONITORS if isinstance(obj, cls)),
        group=group.name,
        part=part(obj.source),
        dt=None if obj.clock is group.clock else float(obj.clock.dt),
        when=obj.when,
        order=obj.order,
        active=obj.active,
        **own,
    )


def live_monitor(monitor, groups):
    """Make a monitor again; Brian2 does not take it for a part of the network that runs next.

    Parameters
    ----------
    monitor : Monitor
    groups : dict of str to brian2.Group
        Live groups, by name.

    Returns
    -------
    StateMonitor, SpikeMonitor, EventMonitor or PopulationRateMonitor
    """
    group = groups[monitor.group]
    source = group if monitor.part is None else group[slice(*monitor.part)]
    named = dict(name=monitor.name)
    placed = dict(when=monitor.when, order=monitor.order, **named)
    if monitor.kind == "StateMonitor":
        record = True if monitor.indices is None else np.array(monitor.indices)
        clock = group.clock if monitor.dt is None else Clock(monitor.dt * second)
        live = StateMonitor(source, list(monitor.variables), record, clock=clock, **placed)
    elif monitor.kind == "SpikeMonitor":
        live = SpikeMonitor(source, monitor.variables, record=monitor.lists_events, **placed)
    elif monitor.kind == "EventMonitor":
        live = EventMonitor(source, monitor.event, monitor.variables, record=monitor.lists_events, **placed)
    else:
        live = PopulationRateMonitor(source, dtype=np.dtype(monitor.dtype), **named)
        live.when, live.order = monitor.when, monitor.order
    live.namespace = getattr(group, "namespace", None) or {}  # as a StateMonitor has it anyway
    live.active, live.add_to_magic_network = monitor.active, False
    return live
