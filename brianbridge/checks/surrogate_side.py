"""What the checks ask of the surrogate: the only module of them that needs torch."""

import numpy as np
import torch
from brian2 import second

from brianbridge import training
from brianbridge.checks.finding import NotRun
from brianbridge.comparison.agreement import Comparison
from brianbridge.comparison.side_by_side import compare_with
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.model.quantities import read_quantity
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import read_spike_gradient
from brianbridge.tasks import make
from brianbridge.tasks.registry import UnknownTaskError

__all__ = ["both_precisions", "fine_tuned", "transcribed"]

GENTLER = 0.1  # learning rates of fine-tuning, as a part of those of the training
LOSSES = (
    training.root_sum_square,
    training.mean_square,
    training.cross_entropy,
    training.binary_cross_entropy,
)


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
    with spared_from_collection():
        return [_compared(surrogate, trained, model, trials, trial, seed) for trial in range(len(trials))]


def _compared(surrogate, trained, model, trials, trial, seed):
    """The comparison of one trial."""
    inputs = {name: trials.inputs[source][:, trial] for name, source in trained.inputs.items()}
    network = model.with_inputs(inputs).live().network
    steps = int(trials.steps * trials.dt / trained.model.dt + 0.5)
    inputs = {name: values[:, None] for name, values in inputs.items()}
    comparison = Comparison()
    comparison.add(compare_with(surrogate, network, steps, inputs, seed=seed + trial))
    return comparison


@torch.no_grad()
def both_precisions(trained, model, trials, seed):
    """The same trials with the same noise in the surrogate, in float32 and in float64.

    Parameters
    ----------
    trained : Trained
        Names inputs and output.
    model : Model
        Runs in both.
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
    spiking = model.spiking
    inputs = {name: trials.inputs[source] for name, source in trained.inputs.items()}
    outputs, spikes, noise = [], [], None
    for dtype in (torch.float32, torch.float64):
        surrogate = Surrogate(model, dtype=dtype)
        records = surrogate(inputs, record=[trained.output, *spiking], noise=noise, seed=seed)
        noise = dict(records.noise)
        outputs.append(trials.at_steps(records[trained.output].numpy(), model.dt).astype(float))
        spikes.append([records[group].numpy() > 0.5 for group in spiking])
    differs = np.zeros(outputs[0].shape[1], bool)[None]
    if spiking:
        differs = np.any([(a != b).any(axis=2) for a, b in zip(*spikes)], axis=0)
    first = np.where(differs.any(axis=0), differs.argmax(axis=0), -1)
    return tuple(outputs), first, model.dt


def fine_tuned(trained, model, task, dt, updates, seed):
    """Train a network on at another time step, as its file says that it was trained, but more gently.

    Parameters
    ----------
    trained : Trained
        Its manifest has the spike gradients, the loss, the batch and the learning rates, of which a tenth is
        taken; Adam, without regularisers.
    model : Model
        From which it starts.
    task : Task
        Where the file does not name that of the training trials.
    dt : float
        In seconds.
    updates, seed : int

    Returns
    -------
    Model
        At its own time step, with the new values.

    Raises
    ------
    NotRun
        If the file does not say how the network was trained, or the training breaks off.
    """
    told = trained.manifest.get("training", {})
    try:
        surrogate = Surrogate(model.with_dt(dt * second), **_surrogate_options(told))
        task = _training_task(told, task)
        wiring = dict(inputs=trained.inputs, output=trained.output)
        tuned = training.fit(
            surrogate, task, **wiring, **_options(told), updates=updates, seed=seed, progress=False
        )
    except KeyError as missing:
        raise NotRun(f"the file does not say how the network was trained: {missing.args[0]}") from None
    except (ValueError, FloatingPointError) as error:
        raise NotRun(str(error)) from None
    targets = [target for trainable in model.trainable for target in trainable.targets]
    return model.with_values({target: tuned.model.initial_value(target) for target in targets})


def _surrogate_options(told):
    return {
        "spike_gradient": {name: read_spike_gradient(text) for name, text in told["spike_gradient"].items()},
        "reset_gradient": told["reset_gradient"],
        "dtype": {str(dtype): dtype for dtype in (torch.float32, torch.float64)}[told["dtype"]],
    }


def _options(told):
    truncate = told["truncate"]
    return {
        "batch": told["batch"],
        "learning_rates": {name: GENTLER * rate for name, rate in told["learning_rates"].items()},
        "loss": {loss.__name__: loss for loss in LOSSES}[told["loss"]],
        "clip": told["clip"],
        "truncate": None if truncate is None else read_quantity(truncate),
    }


def _training_task(told, task):
    """The task of the training trials, which may have shorter epochs than that of the network."""
    name, arguments = next(iter(told["trained_on"].items()))
    try:
        return make(name, **arguments)
    except UnknownTaskError:
        return task
