"""Brian2's own monitors, filled with what a surrogate recorded in their place."""

from dataclasses import dataclass

import numpy as np
from brian2 import Clock
from brian2.monitors import EventMonitor, StateMonitor
from brian2.units.fundamentalunits import Quantity

from brianbridge.generation.program import SpikeTable
from brianbridge.model.monitors import Monitor, live_monitor
from brianbridge.model.rebuild import Live
from brianbridge.surrogate.feeding import SECOND, SpikeRows

__all__ = ["MonitorRecord", "monitor_records"]


@dataclass
class MonitorRecord:
    """What a monitor recorded in a batch of trials.

    Attributes
    ----------
    monitor : Monitor
    live : Live
        The network whose groups it watches.
    batch : int
    end : Quantity
        When the simulation ended.
    steps : ndarray of int, shape (samples,)
        Of the monitor's clock.
    values : dict of str to Tensor, shape (samples, batch, n)
        By variable; ``'_happened'`` are the events.
    table : SpikeTable or None
        Of a `SpikeGeneratorGroup`: says in which order it sends the spikes of one step.
    step_offset : int
        1 where the monitor samples before the table's spikes are sent, and sees those of the step before.
    """

    monitor: Monitor
    live: Live
    batch: int
    end: Quantity
    steps: np.ndarray
    values: dict
    table: SpikeTable | None
    step_offset: int

    def of_trial(self, trial=None):
        """The monitor as Brian2 would have filled it in one trial; which one, if there are several."""
        name = self.monitor.name
        if trial is None and self.batch > 1:
            raise ValueError(
                f"{name} recorded {self.batch} trials. Choose one: records.monitor({name}, trial=0)."
            )
        trial = trial or 0
        if not 0 <= trial < self.batch:
            raise IndexError(f"{name} recorded {self.batch} trials, counted from 0: there is no {trial}.")
        live = live_monitor(self.monitor, self.live.groups)
        live._clock = Clock(live.clock.dt)  # the group's clock never runs
        live._clock.set_interval(self.end, self.end)
        if self.monitor.active:
            values = {key: rows[:, trial].detach().cpu().numpy() for key, rows in self.values.items()}
            times = self.steps * live.clock.dt_
            if isinstance(live, StateMonitor):
                _fill(live, len(times), {"t": times, **values})
            elif isinstance(live, EventMonitor):
                self._fill_events(live, times, values)
            else:
                counts = np.count_nonzero(values["_happened"], axis=1)
                rate = 1.0 * counts / live.clock.dt_ / len(live.source)
                _fill(live, len(times), {"t": times, "rate": rate})
        return live

    def _fill_events(self, live, times, values):
        happened = values.pop("_happened")
        samples, elements = np.nonzero(happened)
        if self.table is not None:
            position = self._positions(self.steps[samples], elements)
            samples, elements = (x[np.lexsort((position, samples))] for x in (samples, elements))
        values = {name: rows[samples, elements] for name, rows in values.items()}
        if self.monitor.lists_events:
            values |= {"i": elements, "t": times[samples]}
        _fill(live, len(samples), values)
        live.variables["count"].set_value(np.count_nonzero(happened, axis=0))

    def _positions(self, steps, elements):
        """Where in the table of a `SpikeGeneratorGroup` each spike stands."""
        table, (start, _) = self.table, self.monitor.part or (0, None)
        steps = steps - self.step_offset
        steps = steps % table.period if table.period else steps
        known = table.steps * table.n + table.indices
        order = np.argsort(known)
        return order[np.searchsorted(known[order], steps * table.n + start + elements)]


class _Kept:
    """Stands where Brian2 has an array that grows, whose memory would be lost together with the monitor.

    ``records[monitor].t[:]`` has to be good although nobody holds that monitor.
    """

    def __init__(self, data):
        self.data = data


def _fill(live, number, values):
    """Give a monitor a number of samples, or of events, and what it recorded in each."""
    live.variables["N"].set_value(number)
    for name, value in values.items():
        variable = live.variables[name]
        data = np.array(value, dtype=variable.dtype)
        variable.device.arrays[variable] = _Kept(data)
        variable.size = data.shape if variable.ndim > 1 else len(data)


def monitor_records(live, program, run, recorded, monitors):
    """Sort what was recorded by monitors.

    Parameters
    ----------
    live : Live
    program : Program
        Its last records are those of the active monitors, in their order.
    run : Run
    recorded : list of Tensor, shape (samples, batch, n)
        Outputs of these records.
    monitors : sequence of Monitor

    Returns
    -------
    dict of str to MonitorRecord
        By name.
    """
    last = run.first + run.steps
    end = Quantity(last * program.dt, dim=SECOND)
    active = [monitor for monitor in monitors if monitor.active]
    records = dict(zip(active, program.records[len(program.records) - len(active) :], strict=True))
    outputs, found = iter(recorded), {}
    for monitor in monitors:
        steps, values, table, step_offset = np.zeros(0, dtype=int), {}, None, 0
        if monitor in records:
            record, event = records[monitor], f"{monitor.group}.{monitor.event}"
            steps = np.arange(-(-run.first // record.every), -(-last // record.every))
            values = {output.removeprefix("_to_record_"): next(outputs) for output in record.outputs}
            if isinstance(run.rows.get(f"spikes {event}"), SpikeRows):
                table = program.spike_tables[event]
                step_offset = int(not any(_sends(block, event) for block in program.blocks[: record.place]))
        found[monitor.name] = MonitorRecord(monitor, live, run.batch, end, steps, values, table, step_offset)
    return found


def _sends(block, event):
    return block.kind == "generator" and block.event == event
