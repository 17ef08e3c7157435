"""`SimulatedTrials`: what trials did, the same from every device."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray
from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

from brianbridge.simulation.neo_export import to_neo
from brianbridge.tasks.task import Task
from brianbridge.tasks.trials import Trials

__all__ = ["OUTCOMES", "SimulatedTrials", "collect"]

OUTCOMES = ("correct", "incorrect", "no response")


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedTrials:
    """Trials that were simulated. Arrays have named axes, and their units in ``attrs['units']``.

    Attributes
    ----------
    trials : Trials
        What was shown, with the epochs and conditions.
    task : Task or None
        Judges the outputs.
    outputs : xarray.DataArray, axes (time, trial, output)
        The output variable at the end of every step of the trials' own time step, SI.
    states : dict of str to xarray.DataArray, axes (time, trial, neuron)
        The recorded variables, ``'group.variable'``, at the end of every step of the simulation, SI.
    spikes : dict of str to xarray.Dataset, axis (spike,)
        For each group 'trial', 'neuron', 'step' and 'time' of every spike.
    sizes : dict of str to int
        Numbers of neurons, or synapses.
    dt : float
        Time step of the simulation in seconds.
    steps : int
        Number of these steps in a trial.
    final : list of dict
        State at the end of each trial: ``'group.variable'`` to array, SI.
    device : str
        Where the trials ran.
    """

    trials: Trials
    task: Task | None
    outputs: xarray.DataArray
    states: dict
    spikes: dict
    sizes: dict
    dt: float
    steps: int
    final: list
    device: str

    def __repr__(self):
        counts = ", ".join(
            f"{spikes.sizes['spike']} spikes of {name}" for name, spikes in self.spikes.items()
        )
        return (
            f"<Simulated: {len(self.trials)} trials of {self.steps} steps of {self.dt * 1e3:g} ms on "
            f"{self.device}; {counts or 'no spikes'}; states: {', '.join(self.states) or 'none'}>"
        )

    @cached_property
    def decisions(self):
        """Outcome of every trial by the rule of the task: 'correct', 'incorrect' or 'no response'.

        An `xarray.DataArray` with the axis (trial,). A task of the user's own that only has a score knows
        no missing response.

        Raises
        ------
        ValueError
            If there is no task that could judge, or an output is not finite.
        """
        return self.judged_as(self.trials)

    def judged_as(self, trials):
        """Outcomes of the same outputs, if these had been the trials: see `decisions`.

        Parameters
        ----------
        trials : Trials
            Of the same number and course, such as those before the context was switched.

        Returns
        -------
        xarray.DataArray, axis (trial,)
        """
        if self.task is None:
            raise ValueError(
                "No task is known that could judge these trials: hand it over, "
                "bb.simulate(trained, task, trials)."
            )
        output = self.outputs.values
        if hasattr(self.task, "outcomes"):
            found = np.asarray(self.task.outcomes(output, trials))
            found = np.where(found == "none", "no response", found)
        else:
            found = np.where(self.task.score(output, trials), "correct", "incorrect")
        return xarray.DataArray(found, {"trial": np.arange(len(found))}, name="decisions")

    @property
    def accuracy(self):
        """Share of correct trials."""
        return float((self.decisions == "correct").mean())

    def raster(self, group, trial=None):
        """Spikes as booleans.

        Parameters
        ----------
        group : str
        trial : int, optional
            Default: all of them.

        Returns
        -------
        xarray.DataArray, axes (time, trial, neuron)
            Without the axis of the trial where one was named.
        """
        spikes, trials = self.spikes[group], len(self.trials)
        raster = np.zeros((self.steps, trials, self.sizes[group]), dtype=bool)
        raster[spikes.step, spikes.trial, spikes.neuron] = True
        raster = _named(raster, ("time", "trial", "neuron"), self.dt, name=group)
        return raster if trial is None else raster.isel(trial=trial, drop=True)

    def spike_trains(self, group):
        """Spike times of every neuron in every trial.

        Parameters
        ----------
        group : str

        Returns
        -------
        ndarray, shape (trials * neurons, spikes)
            In seconds, ascending, filled up with NaN. A spike of a step has happened within it: its end is
            the same time at every step.
        """
        spikes, n = self.spikes[group], self.sizes[group]
        rows = spikes.trial.values * n + spikes.neuron.values
        order = np.lexsort((spikes.step.values, rows))
        counts = np.bincount(rows, minlength=len(self.trials) * n)
        columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        trains = np.full((len(counts), counts.max(initial=0)), np.nan)
        trains[rows[order], columns] = (spikes.step.values[order] + 1) * self.dt
        return trains

    def rates(self, group):
        """Mean firing rate of every neuron over all trials in Hz: axis (neuron,)."""
        counts = np.bincount(self.spikes[group].neuron, minlength=self.sizes[group])
        rates = counts / (len(self.trials) * self.steps * self.dt)
        return xarray.DataArray(rates, dims="neuron", name=group, attrs={"units": "Hz"})

    def to_neo(self):
        """The trials as a `neo.Block`, for elephant and everything else that reads neo.

        Returns
        -------
        neo.Block
            One segment a trial, with its conditions and decision as annotations, its epochs, a `SpikeTrain`
            for every neuron, and an `AnalogSignal` for the output and every recorded state.
        """
        return to_neo(self)


def collect(job, recorded, trials, task, device):
    """Join the trials that a device ran.

    Parameters
    ----------
    job : Job
        Its first recorded variable is the output.
    recorded : list of Recorded
    trials : Trials
    task : Task or None
    device : str

    Returns
    -------
    SimulatedTrials
    """
    dt = job.model.dt
    values = {name: np.stack([trial.values[name] for trial in recorded], axis=1) for name in job.record}
    units = {name: _unit(job.model.dimensions(tuple(name.split(".", 1)))) for name in job.record}
    output = job.record[0]
    return SimulatedTrials(
        trials=trials,
        task=task,
        outputs=_named(
            trials.at_steps(values[output], dt),
            ("time", "trial", "output"),
            trials.dt,
            units[output],
            output,
        ),
        states={
            name: _named(array, ("time", "trial", "neuron"), dt, units[name], name)
            for name, array in values.items()
        },
        spikes={name: _spikes([trial.spikes[name] for trial in recorded], dt) for name in job.model.spiking},
        sizes={group.name: group.n for group in job.model.groups},
        dt=dt,
        steps=job.steps,
        final=[trial.final for trial in recorded],
        device=device,
    )


def _named(array, axes, dt, unit="1", name=None):
    """An array with named axes; the first one is time, of which each step has its beginning."""
    time = xarray.DataArray(np.arange(len(array)) * dt, dims="time", attrs={"units": "s"})
    coordinates = {axis: np.arange(size) for axis, size in zip(axes[1:], array.shape[1:])}
    return xarray.DataArray(array, {"time": time, **coordinates}, dims=axes, name=name, attrs={"units": unit})


def _spikes(by_trial, dt):
    counts = [len(neurons) for neurons, _ in by_trial]
    step = np.concatenate([steps for _, steps in by_trial]).astype(int)
    return xarray.Dataset(
        {
            "trial": ("spike", np.repeat(np.arange(len(by_trial)), counts)),
            "neuron": ("spike", np.concatenate([neurons for neurons, _ in by_trial]).astype(int)),
            "step": ("spike", step),
            "time": ("spike", step * dt, {"units": "s"}),
        }
    )


def _unit(dimensions):
    return "1" if dimensions is DIMENSIONLESS else str(get_unit(dimensions))
