"""What a device is asked to run, and what it hands back."""

from dataclasses import dataclass, field

import numpy as np
from brian2 import second
from brian2.units.fundamentalunits import Quantity

from brianbridge.model.description import Model

__all__ = ["Job", "Recorded", "input_rows"]


@dataclass(frozen=True, eq=False)
class Job:
    """Trials of one network.

    Attributes
    ----------
    model : Model
        With the time step and the integrator of this simulation; its timed inputs are as long as a trial.
    inputs : dict of str to ndarray, shape (time, trials, n) or (time, trials)
        Name of a timed input to its values in every trial, SI.
    trials, steps : int
        Number of trials, and of time steps in each.
    record : tuple of str
        Variables at the end of every step, ``'group.variable'``.
    noise : dict of str to ndarray, shape (steps, trials, n)
        Random numbers to replay; empty for fresh ones.
    initial : dict of str to ndarray, shape (trials, n)
        States at the beginning, by ``'group.variable'``; the others start as the model says.
    seed : int or None
        Of fresh random numbers: trial k has ``seed + k``.
    """

    model: Model
    inputs: dict
    trials: int
    steps: int
    record: tuple
    noise: dict = field(default_factory=dict)
    initial: dict = field(default_factory=dict)
    seed: int | None = None

    @property
    def duration(self):
        """Of a trial (Quantity)."""
        return Quantity(self.steps * self.model.dt, dim=second.dim)


@dataclass(frozen=True, eq=False)
class Recorded:
    """One trial.

    Attributes
    ----------
    values : dict of str to ndarray, shape (steps, n)
        The recorded variables, SI.
    spikes : dict of str to (ndarray, ndarray)
        For each group the neurons that spiked and the steps in which they did.
    final : dict of str to ndarray
        ``'group.variable'`` to its value at the end, SI.
    """

    values: dict
    spikes: dict
    final: dict


def input_rows(values, chosen):
    """Values of a timed input in some trials, beside each other: (time, trials*n), or (time,).

    Raises
    ------
    ValueError
        If an input that is one value for all neurons differs between these trials.
    """
    values = values[:, chosen]
    if values.ndim == 3:
        return values.reshape(len(values), -1)
    if not np.all(values == values[:, :1]):
        raise ValueError(
            "An input that is one value for all neurons differs from trial to trial, so that the trials "
            "cannot run side by side: use together=1."
        )
    return values[:, 0]
