"""Trials in Brian2's runtime: one after the other, or several side by side."""

from contextlib import nullcontext

import numpy as np
from brian2 import SpikeMonitor, StateMonitor, seed
from tqdm.auto import tqdm

from brianbridge.codegen_target import codegen_target
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.generation.frozen_noise import freeze_noise, thaw_noise
from brianbridge.model.rebuild import rebuild
from brianbridge.random_state import random_state_kept
from brianbridge.simulation.copies import copies
from brianbridge.simulation.job import Recorded, input_rows
from brianbridge.trained.writing import write_input

__all__ = ["LAST", "run"]

LAST = 10**6  # monitors sample in the slot 'end', after everything else there


def run(job, *, live=None, target=None, together=1, progress=True):
    """Run trials in Brian2 itself.

    Parameters
    ----------
    job : Job
    live : Live, optional
        The network to run; default is one built for this purpose.
    target : str, optional
        Brian2's code generation target, for example ``'numpy'``; default is the present one.
    together : int
        Trials that run side by side, as copies of the network in one.
    progress : bool

    Returns
    -------
    list of Recorded
    """
    together = min(together, job.trials)
    if live is not None and together > 1:
        raise ValueError("A network that is given as live= runs its trials one by one: together=1.")
    model = copies(job.model, together)
    with (
        codegen_target(target),
        spared_from_collection(),
        nullcontext() if job.seed is None else random_state_kept(),
        _Runner(job, model, live or rebuild(model), together) as runner,
    ):
        return runner.run(progress)


class _Runner:
    """One rebuilt network, of one or more copies, that runs all trials."""

    def __init__(self, job, model, live, together):
        self.job, self.model, self.live, self.together = job, model, live, together
        self.monitors = {name: SpikeMonitor(live[name]) for name in job.model.spiking}
        self.states = {name: self._state_monitor(name) for name in job.record}

    def _state_monitor(self, name):
        group, _, variable = name.partition(".")
        return StateMonitor(self.live[group], variable, record=True, when="end", order=LAST)

    def __enter__(self):
        self.live.network.add(*self.states.values(), *self.monitors.values())
        self.live.network.store("start of a trial")
        return self

    def __exit__(self, *_):
        """Leave a network that was given as it was, without the monitors and the noise of this job."""
        self.live.network.restore("start of a trial")
        self.live.network.remove(*self.states.values(), *self.monitors.values())
        if self.job.noise:
            thaw_noise(self.live.network)

    def run(self, progress):
        found, trials = [], self.job.trials
        heading = f"Brian2, dt = {self.model.dt * 1e3:g} ms"
        with tqdm(total=trials, desc=heading, disable=not progress) as bar:
            for first in range(0, trials, self.together):
                count = min(self.together, trials - first)
                self._some(first)
                found += self._recorded()[:count]
                bar.update(count)
        return found

    def _some(self, first):
        """Run the trials from the first one on; copies without a trial of their own repeat the last one."""
        network, job = self.live.network, self.job
        chosen = np.minimum(np.arange(first, first + self.together), job.trials - 1)
        network.restore("start of a trial")
        for name, values in job.inputs.items():
            write_input(self.live.inputs[name], input_rows(values, chosen))
        if job.seed is not None:
            seed(job.seed + first)
        if job.noise:
            freeze_noise(network, {key: input_rows(values, chosen) for key, values in job.noise.items()})
        for group in self.model.groups:
            for variable, expression in group.initial.items():
                setattr(self.live[group.name], variable, expression)
        for name, values in job.initial.items():
            group, _, variable = name.partition(".")
            self.live[group].variables[variable].set_value(values[chosen].reshape(-1))
        network.run(job.duration, namespace={})

    def _recorded(self):
        """What every copy did."""
        values = {name: self._values(monitor, name) for name, monitor in self.states.items()}
        spikes = {name: self._spikes(monitor, name) for name, monitor in self.monitors.items()}
        final = self._final()
        return [
            Recorded(
                {name: np.ascontiguousarray(array[:, copy]) for name, array in values.items()},
                {name: by_copy[copy] for name, by_copy in spikes.items()},
                final[copy],
            )
            for copy in range(self.together)
        ]

    def _values(self, monitor, name):
        """A variable in every copy, (steps, copies, n); the arrays of monitors are reused."""
        values = np.array(getattr(monitor, f"{name.partition('.')[2]}_")).T
        return values.reshape(len(values), self.together, -1)

    def _spikes(self, monitor, name):
        """Neurons and steps of the spikes of every copy."""
        copy, neuron = np.divmod(np.array(monitor.i[:]), self.job.model[name].n)
        steps = np.rint(np.array(monitor.t_[:]) / self.model.dt).astype(int)
        return [(neuron[copy == k], steps[copy == k]) for k in range(self.together)]

    def _final(self):
        """Value of every variable that may be assigned, in every copy."""
        found = [{} for _ in range(self.together)]
        for group in self.model.groups:
            for variable in group.values:
                value = np.array(self.live[group.name].variables[variable].get_value())
                split = value.shape == (group.n,)
                parts = value.reshape(self.together, -1) if split else [value] * self.together
                for final, part in zip(found, parts):
                    final[f"{group.name}.{variable}"] = part
        return found
