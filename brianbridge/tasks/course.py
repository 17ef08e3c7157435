"""The course of a batch of trials that is being made: its epochs, and signals laid along them."""

from dataclasses import dataclass

import numpy as np
from brian2.units import Quantity

from brianbridge.tasks.epochs import during, last_step
from brianbridge.tasks.streams import held


@dataclass(frozen=True, eq=False)
class TrialCourse:
    """What a task lays its inputs and targets along.

    Parameters
    ----------
    rng : numpy Generator
    dt : Quantity
    epochs : dict
        Name to int array (batch, 2).
    conditions : dict
        Name to array (batch,).
    """

    rng: np.random.Generator
    dt: Quantity
    epochs: dict
    conditions: dict

    @property
    def steps(self):
        """Number of steps of the longest trial."""
        return last_step(self.epochs)

    @property
    def batch(self):
        """Number of trials."""
        return len(next(iter(self.epochs.values())))

    def during(self, *names):
        """Mark the steps of these epochs, bool array (time, batch); an epoch without any steps has none."""
        marked = np.zeros((self.steps, self.batch), dtype=bool)
        for name in set(names) & set(self.epochs):
            marked |= during(self.epochs[name], self.steps)
        return marked

    def within(self):
        """Mark the steps up to each trial's own end, bool array (time, batch)."""
        return self.during(*self.epochs)

    def time_in(self, name):
        """Return the time since an epoch began, at the beginning of each step: seconds, (time, batch)."""
        start = self.epochs[name][:, 0]
        return (np.arange(self.steps)[:, np.newaxis] - start) * float(self.dt)

    def held(self, values, *names):
        """Hold one value for each trial and channel, (batch, channels), during these epochs; otherwise 0."""
        return held(values, self.during(*names))
