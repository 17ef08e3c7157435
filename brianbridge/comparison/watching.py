"""The surrogate taken along with a running network, step by step, and what differs between the two."""

import time
from dataclasses import dataclass

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

from brianbridge.comparison.agreement import EventAgreement, ObjectAgreement, StateAgreement

__all__ = ["Difference", "Watch"]


class Watch:
    """Takes the surrogate along with a running network, and keeps the largest differences."""

    def __init__(self, network, surrogate, stepper, clock, lockstep):
        self.network, self.surrogate, self.stepper = network, surrogate, stepper
        self.clock, self.lockstep = clock, lockstep
        self.sizes = {group.name: group.n for group in surrogate.model.groups}
        live = {obj.name: obj for obj in network.objects}
        self.live = {name: live[name] for name in self.sizes}
        self.states, self.events, self.every = {}, {}, {}
        for key in stepper.state:
            if key.startswith("spikes "):
                self.events[key] = EventAgreement()
                event_dt = surrogate.program.event_dt(key.removeprefix("spikes "))
                self.every[key] = surrogate.program.every(event_dt)
            elif not key.startswith("past "):
                self.states[key] = Difference()
        self.failure = None
        self.deadline, self.running, self.out_of_time = None, None, False

    def stop_after(self, seconds, network):
        """Let a network stop after some time, measured in seconds of the user; None for never."""
        self.running = network
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def after_step(self):
        try:
            self._compare()
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.out_of_time = True
                self.running.stop()
        except Exception as error:
            self.failure = error
            raise

    def _compare(self):
        step = self.stepper.steps
        now = self.surrogate.program.start + step
        self.stepper.step()
        values = {key: self._value(key) for key in self.states}
        values |= {key: self._happened(key) for key in self.events}
        ours = {key: self.stepper.state[key][0].numpy() for key in values}
        for key, difference in self.states.items():
            difference.see(values[key], ours[key])
        for key, event in self.events.items():
            if now % self.every[key] == 0:
                _see_event(event, values[key], ours[key] > 0.5, step)
        if self.lockstep:
            self.stepper.restart_from(values)

    def _value(self, key):
        group, name = key.split(".", 1)
        return np.atleast_1d(self.live[group].variables[name].get_value())

    def _happened(self, key):
        """Booleans of all neurons from the list of indices that Brian2 keeps."""
        group, event = key.removeprefix("spikes ").rsplit(".", 1)
        space = self.live[group].variables[f"_{event}space"].get_value()
        happened = np.zeros(self.sizes[group], dtype=bool)
        happened[space[: space[-1]]] = True
        return happened

    def after_run(self):
        """What the surrogate takes for a constant must not have changed in Brian2 either."""
        for group in self.surrogate.model.groups:
            for name, start in group.values.items():
                key = f"{group.name}.{name}"
                if key not in self.states and not np.array_equal(
                    self._value(key), np.atleast_1d(start), equal_nan=start.dtype.kind == "f"
                ):
                    self.states[key] = Difference()
                    self.states[key].see(self._value(key), np.atleast_1d(start))

    def agreement(self):
        """Of all objects.

        Returns
        -------
        dict of str to ObjectAgreement
        """
        objects = {
            name: ObjectAgreement(type(obj).__name__, self.sizes[name]) for name, obj in self.live.items()
        }
        for key, event in self.events.items():
            group, name = key.removeprefix("spikes ").rsplit(".", 1)
            objects[group].events[name] = event
        for key, difference in self.states.items():
            group, name = key.split(".", 1)
            dimensions = self.live[group].variables[name].dim
            unit = "" if dimensions is DIMENSIONLESS else str(get_unit(dimensions))
            objects[group].states[name] = StateAgreement(unit, difference.largest, difference.relative)
        return objects


def _see_event(event, theirs, ours, step):
    """Add one step to the counts of an event: booleans of all neurons."""
    differing = int(np.count_nonzero(theirs != ours))
    event.brian2 += int(np.count_nonzero(theirs))
    event.surrogate += int(np.count_nonzero(ours))
    event.differing += differing
    if differing and event.first is None:
        event.first = step


@dataclass
class Difference:
    """Largest difference of one variable, and the range of its values in Brian2; in SI units."""

    largest: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    def see(self, theirs, ours):
        """Add one step: values of all elements."""
        theirs, ours = theirs.astype(float), ours.astype(float)
        if not theirs.size:
            return
        low, high = theirs.min(), theirs.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = theirs[np.isfinite(theirs)]
            low, high = (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        if not np.array_equal(theirs, ours):
            equal = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
            difference = np.abs(theirs[~equal] - ours[~equal])
            if difference.size:
                worst = difference.max()  # NaN if there is one
                self.largest = max(self.largest, float(worst) if np.isfinite(worst) else np.inf)

    @property
    def relative(self):
        """As a part of the variable's range; of its value, where that never changes; 1 where that is zero."""
        if self.largest == 0 or not np.isfinite(self.largest):
            return self.largest
        extent = self.high - self.low
        return self.largest / (extent or abs(self.high) or self.largest)
