"""What the checks ask of the surrogate: the only module of them that needs torch."""

import numpy as np
import torch

from brianbridge.comparison.agreement import Comparison
from brianbridge.comparison.side_by_side import compare_with
from brianbridge.surrogate.module import Surrogate

__all__ = ["both_precisions", "transcribed"]


@torch.no_grad()
def transcribed(trained, model, trials, seed):
    """Run trials in the exact float64 surrogate and in Brian2, and compare every step.

    Parameters
    ----------
    trained : Trained
        Of which the surrogate is made.
    model : Model
        Which runs in Brian2.
    trials : Trials
    seed : int
        Of the noise.

    Returns
    -------
    list of Comparison
        One for each trial.
    """
    surrogate = Surrogate(trained.model, dtype=torch.float64, exact=True, backend="eager")
    steps = int(trials.steps * trials.dt / trained.model.dt + 0.5)
    comparisons = []
    for trial in range(len(trials)):
        inputs = {name: trials.inputs[source][:, trial] for name, source in trained.inputs.items()}
        network = model.with_inputs(inputs).live().network
        comparison = Comparison()
        comparison.add(
            compare_with(
                surrogate,
                network,
                steps,
                {name: values[:, None] for name, values in inputs.items()},
                seed=seed + trial,
            )
        )
        comparisons.append(comparison)
    return comparisons


@torch.no_grad()
def both_precisions(trained, model, trials, seed):
    """The same trials with the same noise in the surrogate, in float32 and in float64.

    Parameters
    ----------
    trained : Trained
        Runs in float32, as in training.
    model : Model
        Runs in float64.
    trials : Trials
    seed : int

    Returns
    -------
    outputs : tuple of ndarray
        In float32 and float64, on the time step of the trials.
    first : int ndarray, shape (batch,)
        First step with a different spike; -1 where there is none.
    dt : float
        Of these steps, in seconds.
    """
    spiking = [group.name for group in model.groups if "spike" in getattr(group, "events", {})]
    inputs = {name: trials.inputs[source] for name, source in trained.inputs.items()}
    every = max(round(trials.dt / model.dt), 1)
    outputs, spikes, noise = [], [], None
    for dtype, network in ((torch.float32, trained.model), (torch.float64, model)):
        surrogate = Surrogate(network, dtype=dtype)
        records = surrogate(inputs, record=[trained.output, *spiking], noise=noise, seed=seed)
        noise = dict(records.noise)
        outputs.append(records[trained.output].numpy()[every - 1 :: every].astype(float))
        spikes.append([records[group].numpy() > 0.5 for group in spiking])
    differs = np.zeros(outputs[0].shape[1], bool)[None]
    if spiking:
        differs = np.any([(a != b).any(axis=2) for a, b in zip(*spikes)], axis=0)
    first = np.where(differs.any(axis=0), differs.argmax(axis=0), -1)
    return tuple(outputs), first, model.dt
