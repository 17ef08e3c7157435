"""A trained network in the surrogate and in Brian2: the same trials with the same random numbers."""

from dataclasses import dataclass

import numpy as np
import torch

from brianbridge.simulation.initial_states import drawn_states
from brianbridge.simulation.result import SimulatedTrials
from brianbridge.simulation.trials import simulate
from brianbridge.surrogate.module import Surrogate

__all__ = ["SameTrials", "same_trials"]


@dataclass(frozen=True, eq=False)
class SameTrials:
    """Trials that were simulated twice.

    Attributes
    ----------
    output : ndarray, shape (time, batch, outputs)
        Of the surrogate, on the time step of the trials, SI.
    spikes : dict of str to bool ndarray, shape (steps, batch, n)
        Of the surrogate.
    states : dict of str to ndarray, shape (steps, batch, n)
        Other variables in the surrogate, SI.
    brian2 : SimulatedTrials
        The same in Brian2.
    """

    output: np.ndarray
    spikes: dict
    states: dict
    brian2: SimulatedTrials

    @property
    def differing_bins(self):
        """Bins of one neuron and one step with a spike on one side only, in each trial: (batch,)."""
        trials = range(self.output.shape[1])
        return np.array(
            [
                sum(
                    int((self.brian2.raster(g, k).values != spikes[:, k]).sum())
                    for g, spikes in self.spikes.items()
                )
                for k in trials
            ]
        )

    @property
    def output_differences(self):
        """Largest difference of the output in each trial: (batch,)."""
        return np.abs(self.brian2.outputs.values - self.output).max(axis=(0, 2))

    @property
    def state_differences(self):
        """Largest difference of each of the other variables over all trials."""
        return {
            name: float(np.abs(self.brian2.states[name].values - v).max()) for name, v in self.states.items()
        }


@torch.no_grad()
def same_trials(trained, trials, *, live=None, record=(), seed=0):
    """Simulate trials in the surrogate (float64, numpy's functions), and in Brian2 with its random numbers.

    Both start each trial in the same state.

    Parameters
    ----------
    trained : Trained
    trials : Trials
    live : Live, optional
        The network in Brian2, into which the trained values were written.
    record : sequence of str
        Variables that are compared besides spikes and output, ``'cells.v'``.
    seed : int
        For the random numbers.

    Returns
    -------
    SameTrials
    """
    initial = drawn_states(trained.model, len(trials), seed)
    surrogate = Surrogate(trained.model, dtype=torch.float64, exact=True, backend="eager")
    spiking = trained.model.spiking
    records = surrogate(
        {name: trials.inputs[source] for name, source in trained.inputs.items()},
        record=[trained.output, *spiking, *record],
        initial={name: torch.tensor(values) for name, values in initial.items()},
        seed=seed,
    )
    noise = {name: values.numpy() for name, values in records.noise.items()}
    return SameTrials(
        output=trials.at_steps(records[trained.output].numpy(), trained.model.dt),
        spikes={group: records[group].numpy() > 0.5 for group in spiking},
        states={name: records[name].numpy() for name in record},
        brian2=simulate(
            trained, trials, live=live, noise=noise, initial=initial, target="numpy", record=record
        ),
    )
