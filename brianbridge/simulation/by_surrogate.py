"""Trials in the surrogate: the one place where simulations need torch, imported only when it is asked for."""

import numpy as np
import torch

from brianbridge.simulation.job import Recorded
from brianbridge.surrogate.module import Surrogate

__all__ = ["run"]

TOGETHER = 100  # trials of a batch: more take memory, and are no faster


@torch.no_grad()
def run(job):
    """Run trials in the surrogate, in float64, compiled where there is a C compiler.

    Parameters
    ----------
    job : Job

    Returns
    -------
    list of Recorded
    """
    surrogate = Surrogate(job.model, dtype=torch.float64)
    found = []
    for first in range(0, job.trials, TOGETHER):
        some = slice(first, min(first + TOGETHER, job.trials))
        records = surrogate(
            {name: torch.as_tensor(values[:, some]) for name, values in job.inputs.items()},  # SI
            duration=job.duration,
            record=[*job.record, *job.model.spiking],
            noise={key: torch.as_tensor(values[:, some]) for key, values in job.noise.items()} or None,
            initial={key: torch.as_tensor(values[some]) for key, values in job.initial.items()} or None,
            batch=some.stop - some.start,
            seed=None if job.seed is None else job.seed + first,
        )
        found += [_recorded(job, records, trial) for trial in range(some.stop - some.start)]
    return found


def _recorded(job, records, trial):
    final = {
        f"{g.name}.{name}": np.array(value) for g in job.model.groups for name, value in g.values.items()
    }
    final |= {name: _array(state, trial) for name, state in records.final.items() if name in final}
    spikes = {}
    for group in job.model.spiking:
        steps, neurons = np.nonzero(_array(records[group].transpose(0, 1), trial))
        spikes[group] = neurons, steps
    values = {name: _array(records[name].transpose(0, 1), trial) for name in job.record}
    return Recorded(values, spikes, final)


def _array(tensor, trial):
    """Values of one trial; the axis of the trials comes first, and has one entry where all are the same."""
    return tensor[trial if len(tensor) > 1 else 0].cpu().numpy().copy()
