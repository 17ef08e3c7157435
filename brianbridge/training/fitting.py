"""`fit`: gradient training of a surrogate on a task."""

import hashlib
import importlib.metadata
import platform
from contextlib import nullcontext
from pathlib import Path

import torch

from brianbridge.file_locks import alone_with
from brianbridge.model.naming import input_name, variable_name
from brianbridge.termination import cleaned_up
from brianbridge.trained.network import Trained
from brianbridge.training.batches import Batches
from brianbridge.training.carrying import check_carrying
from brianbridge.training.course import Course
from brianbridge.training.logs import logs_of
from brianbridge.training.losses import root_sum_square
from brianbridge.training.optimisers import LEARNING_RATE, learning_rates_of, make_optimiser
from brianbridge.training.settings import as_text, plain
from brianbridge.training.stopping import rule_of
from brianbridge.training.updating import Updater
from brianbridge.training.validation import OPTIONS, Validation, validation_of

__all__ = ["fit"]

VERSIONS = ("brianbridge", "brian2", "torch", "numpy")


def fit(
    surrogate,
    task,
    *,
    inputs,
    output,
    updates=1000,
    seed=0,
    batch=10,
    learning_rate=LEARNING_RATE,
    learning_rates=None,
    optimiser=torch.optim.Adam,
    loss=root_sum_square,
    regularisers=(),
    clip=1.0,
    skip=0,
    updates_per_batch=1,
    truncate=None,
    carry=False,
    stop=None,
    validation=None,
    keep="last",
    checkpoint=None,
    save_every=10,
    log=(),
    progress=True,
):
    """Train a surrogate by backpropagation through time.

    Parameters
    ----------
    surrogate : Surrogate
    task : Task
    inputs : dict
        A `TimedArray` (or its name) to the name of one of the task's inputs. Trials have the time step of
        these arrays.
    output : VariableView or str
        The variable that is compared with the target, at the end of every step of the trials.
    updates : int
        Largest number of updates.
    seed : int
        For trials and noise. Those of an update follow from the seed and its number alone.
    batch : int
        Trials in each update.
    learning_rate : float or dict
        In the units of the parameters (mV, pA, ...; for `Bounds` of the logit, for `Positive` of the
        logarithm). A dict has names as in ``wrap(train=...)``: ``{rec.w: 0.1}``; parameters that it does not
        name have 0.01.
    learning_rates : dict, optional
        Other learning rates for some parameters, where `learning_rate` is that of all others.
    optimiser : callable
        A class of `torch.optim`, or any function from parameter groups to an optimiser:
        ``functools.partial(torch.optim.SGD, momentum=0.9)``.
    loss : callable
        Takes output, target and mask, each (time, batch, outputs); see `brianbridge.training`.
    regularisers : sequence of callable
        Each takes the `Simulated` trials; what it returns is added to the loss.
    clip : float or None
        Largest joint norm of all gradients.
    skip : int
        So many updates in succession are left out, instead of ending the training, where loss or gradients
        are not finite.
    updates_per_batch : int
        Updates with the same trials, each with noise of its own.
    truncate : Quantity, optional
        Truncated backpropagation: gradients do not pass the multiples of this time.
    carry : bool
        Continuous training: trials start in the state in which those of the last update ended, and not in the
        initial state. Validation trials start in the initial state.
    stop : Rule, callable or dict, optional
        ``Loss(15) & Accuracy(0.9)``, or the same as ``{'loss': 15, 'accuracy': 0.9, 'trials': 100, 'every':
        10}``: once the running loss is below 15, accuracy is measured on 100 fresh trials every 10 updates. A
        dict may also name 'worst_condition', 'rmse', 'average' and 'patience' (validations without a lower
        loss).
    validation : Validation or Task, optional
        How the network is validated; a `Validation` is made whether or not a rule to stop asks for it. A task
        alone, where it is not the one of the training trials.
    keep : {'last', 'best'}
        Which parameters are returned: the last ones, or those of the lowest validation loss.
    checkpoint : str or Path, optional
        A ``.safetensors`` file from which the same call goes on after an interruption, with the same result,
        bit for bit, as without. `updates`, `stop`, `validation`, `keep`, `skip` and `log` may be others then.
    save_every : int
        Updates between two checkpoints.
    log : path, callable, or list of these
        ``'history.csv'`` or ``'history.json'``, or what is called with each row of the history, such as
        ``TensorBoard(folder)``. After an interruption all rows come again.
    progress : bool
        Show loss and accuracy while training.

    Returns
    -------
    Trained
        After an interrupt (Ctrl-C), with the updates so far.

    Raises
    ------
    FloatingPointError
        If loss or gradients are not finite; names the parameter, and says what usually helps. The surrogate
        holds the parameters of before.
    CheckpointError
        If the checkpoint is damaged, or that of another training.
    OSError
        If the checkpoint or the history cannot be written; the last checkpoint stays.
    InUse
        If another training is writing the same checkpoint.
    ValueError
        If nothing is trained, no gradient reaches a parameter, or task and network do not fit.

    Warns
    -----
    UserWarning
        If the gradient of a parameter was zero in all of the first updates; if gradients are too steep.
    """
    _check(surrogate, updates, batch, updates_per_batch, save_every, skip, keep, checkpoint)
    wiring = {input_name(key, surrogate.model): source for key, source in inputs.items()}
    output = ".".join(variable_name(output, surrogate.model))
    rates = learning_rates_of(surrogate, learning_rate, learning_rates)
    rule, measured = rule_of(stop, OPTIONS), validation_of(validation, stop)
    updater = Updater(
        batches=_batches(surrogate, task, wiring, output, regularisers, truncate, carry),
        optimiser=make_optimiser(optimiser, surrogate, rates),
        loss=loss,
        regularisers=tuple(regularisers),
        seed=seed,
        batch=batch,
        clip=clip,
        skip=skip,
        updates_per_batch=updates_per_batch,
        carry=carry,
    )
    course = Course(
        updater=updater,
        measure=measured.measured_by(surrogate, task, wiring, output, seed, loss),
        every=measured.every,
        always=isinstance(validation, Validation) or keep == "best",
        stop=rule,
        updates=updates,
        path=None if checkpoint is None else Path(checkpoint),
        save_every=save_every,
        settings=_identity(updater, wiring, output, rates, optimiser, truncate),
    )
    with cleaned_up(), nullcontext() if course.path is None else alone_with(course.path, "training"):
        course.restore()
        course.run(logs_of(log), progress)
    if keep == "best":
        course.keep_best()
    outcome = dict(stop=str(rule), validation=as_text(measured, surrogate.model))
    outcome["kept"] = course.best_update if keep == "best" and course.best_update else len(course.history)
    return _result(course, measured.task or task, wiring, output, outcome)


def _check(surrogate, updates, batch, updates_per_batch, save_every, skip, keep, checkpoint):
    """Refuse what cannot be meant."""
    if not surrogate.named_values():
        raise ValueError("This model has nothing to train: wrap(net, train={cells.tau_m: ...}).")
    if surrogate.model.time > 0:
        raise ValueError(
            f"The network that was wrapped stands at t = {surrogate.model.time:g} s, but trials start at "
            "t = 0, as their inputs do. Wrap it before its first run(), or after net.restore()."
        )
    least = dict(batch=batch, updates_per_batch=updates_per_batch, save_every=save_every)
    for name, value in least.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    for name, value in dict(updates=updates, skip=skip).items():
        if value < 0:
            raise ValueError(f"{name}={value} must not be negative.")
    if keep not in ("last", "best"):
        raise ValueError(f"keep={keep!r} is neither 'last' nor 'best'.")
    if checkpoint is not None and Path(checkpoint).suffix != ".safetensors":
        raise ValueError(f"{checkpoint}: checkpoints are stored as .safetensors files.")


def _batches(surrogate, task, wiring, output, regularisers, truncate, carry):
    """What draws and simulates the training trials."""
    if carry:
        check_carrying(surrogate)
    record = [key for term in regularisers for key in getattr(term, "record", ())]
    record = [".".join(variable_name(key, surrogate.model)) for key in record]
    late = any(getattr(term, "after_backward", False) for term in regularisers)
    if late and truncate is not None:
        raise ValueError("VanishingGradient needs the whole gradient: leave truncate= out.")
    return Batches(surrogate, task, wiring, output, record, truncate, noise_gradient=late)


def _identity(updater, wiring, output, rates, optimiser, truncate):
    """What is trained, on what, and how: all that the course of the training follows from."""
    surrogate, task = updater.surrogate, updater.batches.task
    model = surrogate.model
    return plain(
        dict(
            model=model.hash,
            spike_gradient={name: repr(g) for name, g in surrogate.spike_gradients.items()},
            reset_gradient=surrogate.ops.reset_gradient,
            frozen=_frozen(surrogate),
            dt=float(surrogate.dt),
            dtype=str(surrogate.ops.dtype),
            trained_on={task.name: dict(task.arguments)},
            inputs=wiring,
            output=output,
            seed=updater.seed,
            batch=updater.batch,
            learning_rates=rates,
            optimiser=as_text(optimiser, model),
            loss=as_text(updater.loss, model),
            regularisers=[as_text(term, model) for term in updater.regularisers],
            clip=updater.clip,
            updates_per_batch=updater.updates_per_batch,
            truncate=None if truncate is None else repr(truncate),
            carry=updater.carry,
        )
    )


def _frozen(surrogate):
    """Hashes of the values that are not trained; None if all are."""
    tensors = {
        name: tensor for parameter in surrogate.parameter for name, tensor in parameter.tensors().items()
    }
    return {
        name: hashlib.sha256(tensor.detach().cpu().numpy().tobytes()).hexdigest()[:16]
        for name, tensor in tensors.items()
        if not tensor.requires_grad
    } or None


def _result(course, task, wiring, output, outcome):
    """The trained network with the record of its training."""
    ended = dict(updates=len(course.history), ended_by=course.ended_by)
    return Trained(
        model=course.surrogate.trained_model(),
        task=task.name,
        arguments=dict(task.arguments),
        inputs=wiring,
        output=output,
        history=course.history.columns,
        manifest={
            "training": course.settings | ended | outcome,
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
            "python": platform.python_version(),
        },
    )
