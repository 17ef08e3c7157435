"""Distances between the spike trains of two simulations, by elephant."""

import numpy as np
import quantities as pq
from elephant.spike_train_dissimilarity import van_rossum_distance, victor_purpura_distance
from neo import SpikeTrain

__all__ = ["distances"]

SCALE = 10 * pq.ms
MOST = 40  # neurons of a group


def distances(first, second):
    """Mean distances of the spike trains of the same neurons in the same trials.

    Parameters
    ----------
    first, second : SimulatedTrials
        They may have other time steps.

    Returns
    -------
    victor_purpura, van_rossum : float
        NaN where no neuron spikes.
    """
    found = []
    for group in first.spikes:
        every = max(first.sizes[group] // MOST, 1)
        for trial in range(len(first.trials)):
            for neuron in range(0, first.sizes[group], every):
                pair = [_train(one, group, trial, neuron) for one in (first, second)]
                if any(len(train) for train in pair):
                    found.append(
                        (
                            victor_purpura_distance(pair, cost_factor=1 / SCALE)[0, 1],
                            van_rossum_distance(pair, time_constant=SCALE)[0, 1],
                        )
                    )
    return tuple(float(mean) for mean in np.mean(found, axis=0)) if found else (np.nan, np.nan)


def _train(simulated, group, trial, neuron):
    spikes = simulated.spikes[group]
    chosen = (spikes.trial.values == trial) & (spikes.neuron.values == neuron)
    # a spike of a step has happened within it: its end is the same time at every step
    times = np.sort(spikes.time.values[chosen]) + simulated.dt
    stop = simulated.steps * simulated.dt + simulated.dt
    return SpikeTrain(times * pq.s, t_stop=stop * pq.s)
