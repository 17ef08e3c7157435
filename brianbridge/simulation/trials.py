"""Run trials of a task in Brian2."""

from dataclasses import dataclass

import numpy as np
from brian2 import SpikeMonitor, StateMonitor, prefs, second, seed
from tqdm.auto import tqdm

from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model.rebuild import rebuild
from brianbridge.simulation.copies import copies
from brianbridge.trained.writing import write_input

__all__ = ["Simulated", "simulate"]


@dataclass(frozen=True, eq=False)
class Simulated:
    """Trials that ran in Brian2.

    Attributes
    ----------
    output : ndarray, shape (time, batch, n)
        The output variable at the end of every step of the trials' own time step, SI.
    spikes : dict of str to list of (ndarray, ndarray)
        For each group and trial the neurons that spiked and the steps in which they did.
    sizes : dict of str to int
        Numbers of neurons.
    dt : float
        Time step of the simulation in seconds.
    steps : int
        Number of these steps in a trial.
    final : list of dict
        State of all variables at the end of each trial.
    recorded : dict of str to ndarray, shape (steps, batch, n)
        Other variables at the end of every step of the simulation, SI.
    """

    output: np.ndarray
    spikes: dict
    sizes: dict
    dt: float
    steps: int
    final: list
    recorded: dict

    def raster(self, group, trial):
        """Spikes of one trial as booleans, shape (steps, n)."""
        neurons, steps = self.spikes[group][trial]
        raster = np.zeros((self.steps, self.sizes[group]), dtype=bool)
        raster[steps, neurons] = True
        return raster

    def rates(self, group):
        """Mean firing rate of every neuron over all trials in Hz, shape (n,)."""
        trials = self.spikes[group]
        counts = sum(np.bincount(neurons, minlength=self.sizes[group]) for neurons, _ in trials)
        return counts / (len(trials) * self.steps * self.dt)


def simulate(
    trained,
    trials,
    *,
    dt=None,
    live=None,
    noise=None,
    random_seed=None,
    target=None,
    record=(),
    together=1,
    progress=True,
):
    """Run trials in Brian2, one after the other or several side by side.

    Parameters
    ----------
    trained : Trained
    trials : Trials
        From the task for which the network was trained.
    dt : Quantity, optional
        Another time step than the one of training; inputs are held on their own.
    live : Live, optional
        The network to run, into which the trained values were written; default is one built for this purpose.
    noise : dict of str to ndarray, optional
        Frozen noise, shape (steps, batch, n), as in `Records.noise`.
    random_seed : int, optional
        For fresh noise.
    target : str, optional
        Brian2's code generation target for this simulation, for example ``'numpy'``.
    record : sequence of str
        Other variables that are wanted, ``'cells.v'``.
    together : int
        Trials that run side by side, as independent copies of the network in one (see `copies`): the same
        steps, many times faster where networks are small.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Simulated

    Raises
    ------
    ValueError
        If copies of the network cannot stand side by side.
    """
    together = min(together, len(trials))
    if live is not None and together > 1:
        raise ValueError("A network that is given as live= runs its trials one by one: together=1.")
    model = trained.model if dt is None else trained.model.with_dt(dt)
    model = model.with_inputs({name: trials.inputs[source][:, 0] for name, source in trained.inputs.items()})
    model = copies(model, together)
    before = prefs.codegen.target
    prefs.codegen.target = target or before
    try:
        with _Runner(
            trained, model, trials, live or rebuild(model), noise, random_seed, record, together
        ) as runner:
            return runner.run(progress)
    finally:
        prefs.codegen.target = before


class _Runner:
    """One rebuilt network, of one or more copies, that runs all trials."""

    def __init__(self, trained, model, trials, live, noise, random_seed, record, together):
        self.trained, self.model, self.trials, self.live = trained, model, trials, live
        self.noise, self.random_seed, self.together = noise, random_seed, together
        self.steps = int(trials.steps * trials.dt / model.dt + 0.5)
        spiking = [group.name for group in model.groups if "spike" in getattr(group, "events", {})]
        self.monitors = {name: SpikeMonitor(live[name]) for name in spiking}
        self.states = {name: self._state_monitor(name) for name in dict.fromkeys([trained.output, *record])}

    def _state_monitor(self, name):
        group, _, variable = name.partition(".")
        return StateMonitor(self.live[group], variable, record=True, when="end")

    def __enter__(self):
        self.live.network.add(*self.states.values(), *self.monitors.values())
        self.live.network.store("start of a trial")
        return self

    def __exit__(self, *_):
        """Leave a network that was given as it was, without the monitors."""
        self.live.network.restore("start of a trial")
        self.live.network.remove(*self.states.values(), *self.monitors.values())

    def run(self, progress):
        values, spikes, final = {name: [] for name in self.states}, {name: [] for name in self.monitors}, []
        with tqdm(
            total=len(self.trials), desc=f"Brian2, dt = {self.model.dt * 1e3:g} ms", disable=not progress
        ) as bar:
            for first in range(0, len(self.trials), self.together):
                count = min(self.together, len(self.trials) - first)
                self._some(first)
                for name, monitor in self.states.items():
                    values[name].append(self._recorded(monitor, name)[:, :count])
                for name, monitor in self.monitors.items():
                    spikes[name] += self._spikes(monitor, name)[:count]
                final += self._final()[:count]
                bar.update(count)
        sizes = {group.name: self._size(group.name) for group in self.model.groups}
        recorded = {name: np.concatenate(each, axis=1) for name, each in values.items()}
        per_step = max(int(self.trials.dt / self.model.dt + 0.5), 1)
        output = recorded[self.trained.output][per_step - 1 :: per_step]
        return Simulated(output, spikes, sizes, self.model.dt, self.steps, final, recorded)

    def _some(self, first):
        """Run the trials from the first one on; copies without a trial of their own repeat the last one."""
        network = self.live.network
        chosen = np.minimum(np.arange(first, first + self.together), len(self.trials) - 1)
        network.restore("start of a trial")
        for name, source in self.trained.inputs.items():
            write_input(self.live.inputs[name], _side_by_side(self.trials.inputs[source], chosen))
        if self.random_seed is not None:
            seed(self.random_seed + first)
        if self.noise:
            noise = {key: _side_by_side(np.asarray(value), chosen) for key, value in self.noise.items()}
            freeze_noise(network, noise)
        for group in self.model.groups:
            for variable, expression in group.initial.items():
                setattr(self.live[group.name], variable, expression)
        network.run(self.steps * self.model.dt * second, namespace={})

    def _size(self, name):
        """Neurons, or synapses, of one copy."""
        return self.model[name].n // self.together

    def _recorded(self, monitor, name):
        """A variable in every trial, (steps, copies, n); the arrays of monitors are reused."""
        values = np.array(getattr(monitor, f"{name.partition('.')[2]}_")).T
        return values.reshape(len(values), self.together, -1)

    def _spikes(self, monitor, name):
        """Neurons and steps of the spikes of every copy."""
        copy, neuron = np.divmod(np.array(monitor.i[:]), self._size(name))
        steps = np.rint(np.array(monitor.t_[:]) / self.model.dt).astype(int)
        return [(neuron[copy == k], steps[copy == k]) for k in range(self.together)]

    def _final(self):
        """Value of every variable that may be assigned, by ``group.variable``, in every copy."""
        trials = [{} for _ in range(self.together)]
        for group in self.model.groups:
            for variable in group.values:
                value = np.array(self.live[group.name].variables[variable].get_value())
                split = value.shape == (group.n,)
                parts = value.reshape(self.together, -1) if split else [value] * self.together
                for trial, part in zip(trials, parts):
                    trial[f"{group.name}.{variable}"] = part
        return trials


def _side_by_side(values, chosen):
    """The rows of some trials, (time, batch, n), beside each other: (time, trials*n)."""
    return values[:, chosen].reshape(len(values), -1)
