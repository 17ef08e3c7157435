"""What a simulation of the surrogate returns."""

from functools import cached_property

import numpy as np
import torch
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity, get_dimensions, get_unit

from brianbridge.model.naming import UnknownName, monitor_name, variable_name

__all__ = ["Records"]


class Records:
    """Recorded variables of a batch of trials; names are objects or text, as in the call.

    ``records[cells.v]`` is a tensor of shape (time, batch, n) in SI units; ``records[cells.v, mV]`` the same
    in another unit; ``records[cells]`` the spikes of a group, 0 or 1; ``records[monitor]`` a monitor of the
    network, filled as by Brian2 (see `monitor`).

    Attributes
    ----------
    dt : Quantity
        The time step between two rows.
    when : str
        The scheduling slot after which values were taken.
    final : State
        State after the last step, to go on from: ``surrogate(initial=records.final)``; a dict of
        ``'group.variable'`` to Tensor (batch, n).
    """

    def __init__(self, model, values, dimensions, monitors, dt, first, when, final, noise):
        self._model = model
        self._values = values
        self._dimensions = dimensions
        self._monitors = monitors
        self.dt = dt
        self._first = first
        self.when = when
        self.final = final
        self._noise = noise

    def __getitem__(self, key):
        unit = None
        if isinstance(key, tuple):
            key, unit = key
        elif monitor_name(key, self._model) is not None:
            return self.monitor(key)
        name = ".".join(variable_name(key, self._model))
        if name not in self._values:
            raise KeyError(
                f"{name} was not recorded; recorded are {', '.join(self._values) or 'no variables'}."
            )
        values = self._values[name]
        if unit is None:
            return values
        dimensions = self._dimensions[name]
        if get_dimensions(unit) != dimensions:
            raise ValueError(f"{name} is in {get_unit(dimensions)!r}, which cannot be given in {unit!r}.")
        return values / float(unit)

    def __contains__(self, key):
        monitor = monitor_name(key, self._model)
        if monitor is not None:
            return monitor in self._monitors
        return ".".join(variable_name(key, self._model)) in self._values

    def __repr__(self):
        shapes = ", ".join(f"{name} {tuple(v.shape)}" for name, v in self._values.items())
        shapes = ", ".join(filter(None, [shapes, *self._monitors]))
        return f"Records({shapes}; dt = {self.dt}, when = {self.when!r})"

    @cached_property
    def noise(self):
        """The random numbers of every step, to be replayed: ``surrogate(noise=records.noise)``.

        A dict of str to Tensor, shape (steps, batch, n). They are not kept by a simulation, but made once
        more when this is asked for.
        """
        return {key: noise.rows for key, noise in self._noise.items()}

    @property
    def names(self):
        """Names of the recorded variables."""
        return tuple(self._values)

    def monitor(self, key, trial=None):
        """A monitor as Brian2 would have filled it in this simulation.

        Parameters
        ----------
        key : StateMonitor, SpikeMonitor, EventMonitor, PopulationRateMonitor or str
            The user's monitor, or its name.
        trial : int, optional
            Which trial of the batch; may be left out if there is one only.

        Returns
        -------
        StateMonitor, SpikeMonitor, EventMonitor or PopulationRateMonitor
            An object of its own, without gradient, that holds the samples of this call alone; the user's
            monitor is not changed. Whatever can be asked of Brian2's monitor can be asked of it: `t`, `v`,
            ``[i].v``, `count`, `spike_trains()`, `smooth_rate()`. Its source is not the user's group but a
            twin of the same name.

        Raises
        ------
        KeyError
            If it was not recorded.
        ValueError
            If there are several trials and none was chosen.
        IndexError
            If there is no such trial.
        """
        name = monitor_name(key, self._model)
        if name is None:
            raise UnknownName(f"{key!r} is no monitor of the network.")
        if name not in self._monitors:
            recorded = ", ".join(self._monitors) or "no monitors"
            raise KeyError(f"{name} was not recorded; recorded are {recorded}. Name it in record=[...].")
        return self._monitors[name].of_trial(trial)

    def quantity(self, key):
        """Recorded values as an array with units, without gradient."""
        name = ".".join(variable_name(key, self._model))
        values = self._values[name].detach().cpu().numpy()
        dimensions = self._dimensions[name]
        return values if dimensions is DIMENSIONLESS else Quantity(values, dim=dimensions)

    def rates(self, group):
        """Mean firing rate of each neuron over time and trials, in Hz, shape (n,)."""
        spikes = self[group].detach()
        return (spikes.mean(dim=(0, 1)) / float(self.dt)).cpu().numpy().astype(np.float64)

    @property
    def time(self):
        """Start of every step in seconds."""
        return torch.arange(self._first, self.final.step, dtype=torch.float64) * float(self.dt)
