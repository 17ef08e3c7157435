"""Trials: what is shown, what is wanted, and when."""

from dataclasses import dataclass, field, replace

import numpy as np
from brian2.units import Quantity, second

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.arguments import read_duration, show
from brianbridge.tasks.epochs import during


@dataclass(frozen=True, eq=False, repr=False)
class Trials:
    """A batch of trials of one task, checked on construction.

    ``trials[3]``, slices, index arrays and boolean arrays select trials: the result is again `Trials`.

    Parameters
    ----------
    inputs : dict
        Name to float array (time, batch, channels).
    targets : float array (time, batch, outputs)
        The output that is wanted.
    mask : float array (time, batch, outputs)
        1 where the error counts, 0 where it does not.
    epochs : dict
        Name to int array (batch, 2): steps ``[start, stop)`` of each trial.
    conditions : dict
        Name to array (batch,).
    dt : float
        Time step in seconds. A Quantity is converted.
    channels : dict, optional
        Name of an input, or 'target', to what its channels are called.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, the mask is not 0 or 1, or an epoch leaves the trial.
    """

    inputs: dict
    targets: np.ndarray
    mask: np.ndarray
    epochs: dict
    conditions: dict
    dt: float
    channels: dict = field(default_factory=dict)

    def __post_init__(self):
        targets = _signal("targets", self.targets)
        steps, batch, _ = targets.shape
        checked = {
            "dt": _seconds(self.dt),
            "targets": targets,
            "mask": _mask(self.mask, targets.shape),
            "inputs": {name: _input(name, value, steps, batch) for name, value in self.inputs.items()},
            "epochs": {name: _epoch(name, value, steps, batch) for name, value in self.epochs.items()},
            "conditions": {name: _condition(name, value, batch) for name, value in self.conditions.items()},
        }
        signals = checked["inputs"] | {"target": targets}
        checked["channels"] = {name: _labels(name, value, signals) for name, value in self.channels.items()}
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the way round 'frozen' that dataclasses leave open

    @property
    def steps(self):
        """Number of time steps."""
        return self.targets.shape[0]

    @property
    def duration(self):
        """Length of the trials (Quantity)."""
        return self.steps * self.dt * second

    @property
    def lengths(self):
        """Number of steps up to the end of the last epoch of each trial, int array (batch,).

        Beyond it, a trial is padded to the length of the longest one.
        """
        ends = [epoch[:, 1] for epoch in self.epochs.values()]
        return np.max(ends, axis=0) if ends else np.full(len(self), self.steps)

    def __len__(self):
        return self.targets.shape[1]

    def __getitem__(self, which):
        if isinstance(which, str):
            raise TypeError(
                f"trials[{which!r}]: an index selects trials; write trials.inputs[{which!r}], "
                f"trials.epochs[...] or trials.conditions[...]"
            )
        chosen = np.atleast_1d(np.arange(len(self))[which])
        if chosen.ndim != 1:
            raise IndexError(f"trials[{which!r}]: trials have one index, such as trials[3] or trials[:10]")
        return replace(
            self,
            targets=self.targets[:, chosen],
            mask=self.mask[:, chosen],
            inputs={name: value[:, chosen] for name, value in self.inputs.items()},
            epochs={name: value[chosen] for name, value in self.epochs.items()},
            conditions={name: value[chosen] for name, value in self.conditions.items()},
        )

    def __repr__(self):
        inputs = ", ".join(f"{name} ({value.shape[2]})" for name, value in self.inputs.items())
        return (
            f"<Trials: {len(self)} of {show(self.duration)}, dt={show(self.dt * second)}; "
            f"inputs: {inputs or 'none'}; outputs: {self.targets.shape[2]}; "
            f"epochs: {', '.join(self.epochs)}; conditions: {', '.join(self.conditions)}>"
        )

    def during(self, epoch):
        """Mark the steps of one epoch.

        Parameters
        ----------
        epoch : str

        Returns
        -------
        bool array (time, batch)

        Raises
        ------
        ValueError
            If the trials have no such epoch.
        """
        return during(self._epoch(epoch), self.steps)

    def times(self, epoch):
        """Return when an epoch begins and ends in each trial: Quantity, shape (batch, 2)."""
        return self._epoch(epoch) * self.dt * second

    def at_steps(self, values, dt):
        """Select what a simulation of these trials holds at the end of each of their steps.

        Parameters
        ----------
        values : array (time, ...)
            At the end of every step of the simulation.
        dt : float
            Of the simulation, in seconds.

        Returns
        -------
        array (steps, ...)
            A view.
        """
        every = max(int(self.dt / dt + 0.5), 1)
        return values[every - 1 :: every]

    def _epoch(self, name):
        if name not in self.epochs:
            raise ValueError(f"the trials have no epoch {name!r}; {did_you_mean(name, self.epochs)}")
        return self.epochs[name]


def _seconds(dt):
    if not isinstance(dt, Quantity):
        try:
            dt = float(dt) * second
        except (TypeError, ValueError):
            raise TypeError(f"dt={dt!r} must be a time step in seconds, such as dt=0.001") from None
    return float(read_duration("dt", dt, zero=False))


def _signal(name, value):
    if isinstance(value, Quantity) and not value.is_dimensionless:
        raise ValueError(
            f"{name} has the unit {value.get_best_unit()}, but trials hold plain numbers; "
            f"divide it by its unit"
        )
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {array.shape}, expected three axes (time, batch, channels)")
    if not np.isfinite(array).all():
        step, trial, channel = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name} is not finite at step {step}, trial {trial}, channel {channel}")
    return array


def _input(name, value, steps, batch):
    array = _signal(f"inputs['{name}']", value)
    if array.shape[:2] != (steps, batch):
        raise ValueError(
            f"inputs['{name}'] has shape {array.shape}, expected ({steps}, {batch}, channels): "
            f"the targets have {steps} steps and {batch} trials"
        )
    return array


def _mask(value, shape):
    array = _signal("mask", value)
    if array.shape != shape:
        raise ValueError(f"mask has shape {array.shape}, but targets {shape}; they must agree")
    other = array[(array != 0) & (array != 1)]
    if other.size:
        raise ValueError(f"mask holds {other[0]:g}, but must be 1 (counts) or 0 (does not)")
    return array


def _epoch(name, value, steps, batch):
    array = np.asarray(value)
    if array.shape != (batch, 2) or array.dtype.kind not in "iu":
        raise ValueError(
            f"epochs['{name}'] has shape {array.shape} and type {array.dtype}, expected "
            f"integers ({batch}, 2): [start, stop) of each trial, in steps"
        )
    start, stop = array.T
    outside = (start < 0) | (stop < start) | (stop > steps)
    if outside.any():
        trial = outside.argmax()
        raise ValueError(
            f"epochs['{name}'] of trial {trial} is [{start[trial]}, {stop[trial]}), but must "
            f"lie within its {steps} steps, with start <= stop"
        )
    return array


def _condition(name, value, batch):
    array = np.asarray(value)
    if array.shape != (batch,):
        raise ValueError(
            f"conditions['{name}'] has shape {array.shape}, expected one value for each trial: ({batch},)"
        )
    return array


def _labels(name, value, signals):
    if name not in signals:
        raise ValueError(f"channels[{name!r}] belongs to no input; {did_you_mean(name, signals)}")
    labels, count = tuple(map(str, value)), signals[name].shape[2]
    if len(labels) != count:
        raise ValueError(f"channels[{name!r}] names {len(labels)} channels, but there are {count}")
    return labels
