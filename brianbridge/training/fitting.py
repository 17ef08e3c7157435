"""`fit`: gradient training of a surrogate on a task."""

import importlib.metadata
import platform
import time
import warnings
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from brian2.units.fundamentalunits import Quantity
from brian2.units.stdunits import ms
from tqdm.auto import tqdm

from brianbridge.model.naming import UnknownName, input_name, trainable_name, variable_name
from brianbridge.trained.network import Trained
from brianbridge.training.losses import root_sum_square

__all__ = ["fit"]

PATIENCE = 5  # updates without any gradient before a warning
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
    learning_rate=0.01,
    learning_rates=None,
    loss=root_sum_square,
    clip=None,
    stop=None,
    validation=None,
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
        For trials and noise.
    batch : int
        Trials in each update.
    learning_rate : float
        Of Adam, in the units of the parameters (mV, pA, ...; for bounded ones of the logit).
    learning_rates : dict, optional
        Other learning rates for some parameters: ``{rec.w: 0.1}``.
    loss : callable
        Takes output, target and mask, each (time, batch, outputs).
    clip : float, optional
        Largest joint norm of the gradients.
    stop : dict, optional
        Stop early: ``{'accuracy': 0.9, 'trials': 100, 'every': 10, 'loss': 15}``. Once the running loss is
        below ``loss``, accuracy is measured on so many fresh trials every so many updates.
    validation : Task, optional
        The task on which that accuracy is measured and for which the network counts as trained, where it is
        not the one of the training trials: with longer epochs, for example.
    progress : bool
        Show loss and accuracy while training.

    Returns
    -------
    Trained

    Raises
    ------
    FloatingPointError
        If loss or gradients are not finite; names the parameter, and says what usually helps.
    ValueError
        If nothing is trained, no gradient reaches a parameter, or task and network do not fit.

    Warns
    -----
    UserWarning
        If the gradient of a parameter was zero in all of the first updates.
    """
    if not surrogate.named_values():
        raise ValueError("This model has nothing to train: wrap(net, train={cells.tau_m: ...}).")
    wiring = {input_name(key, surrogate.model): source for key, source in inputs.items()}
    output = ".".join(variable_name(output, surrogate.model))
    optimizer = torch.optim.Adam(_parameter_groups(surrogate, learning_rate, learning_rates or {}))
    training = _Training(surrogate, task, validation or task, wiring, output, seed, batch, loss)
    history = _train(training, optimizer, updates, clip, _stop(stop or {}), progress)
    settings = dict(
        updates=len(history["loss"]),
        batch=batch,
        learning_rate=learning_rate,
        loss=getattr(loss, "__name__", str(loss)),
        clip=clip,
        seed=seed,
        stop=stop or {},
    )
    return _result(training, history, settings)


def _result(training, history, settings):
    """The trained network with the record of its training."""
    surrogate, trained_for = training.surrogate, training.validation
    settings |= dict(
        spike_gradient={name: repr(g) for name, g in surrogate.spike_gradients.items()},
        reset_gradient=surrogate.ops.reset_gradient,
        dt=float(surrogate.dt),
        dtype=str(surrogate.ops.dtype),
        trained_on={training.task.name: dict(training.task.arguments)},
    )
    return Trained(
        model=surrogate.trained_model(),
        task=trained_for.name,
        arguments=dict(trained_for.arguments),
        inputs=training.wiring,
        output=training.output,
        history=history,
        manifest={
            "training": settings,
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
            "python": platform.python_version(),
        },
    )


@dataclass
class _Stop:
    """When training may stop."""

    accuracy: float | None = None
    loss: float | None = None
    trials: int = 100
    every: int = 10

    def check_now(self, update, running_loss):
        low_enough = self.loss is None or running_loss < self.loss
        return self.accuracy is not None and low_enough and update % self.every == 0

    def reached(self, accuracy, running_loss):
        if self.accuracy is None:
            return self.loss is not None and running_loss < self.loss
        return accuracy is not None and accuracy >= self.accuracy


def _stop(given):
    known = [field.name for field in fields(_Stop)]
    unknown = set(given) - set(known)
    if unknown:
        raise ValueError(f"stop= knows {', '.join(known)}, not {', '.join(map(repr, sorted(unknown)))}.")
    return _Stop(**given)


@dataclass
class _Training:
    """Draws trials and simulates them."""

    surrogate: object
    task: object
    validation: object
    wiring: dict
    output: str
    seed: int
    batch: int
    loss: object
    generator: np.random.Generator = field(init=False)
    noise: torch.Generator = field(init=False)

    def __post_init__(self):
        self.generator = np.random.default_rng(self.seed)
        self.noise = torch.Generator(self.surrogate.device).manual_seed(self.seed)
        self.dt = self._trials_dt()

    def _trials_dt(self):
        """Time step of the trials: that of the timed inputs, on which their values are held."""
        step = float(self.surrogate.dt)
        steps = {self.surrogate.model.input(name).dt for name in self.wiring} or {step}
        ratio = max(steps) / step
        if len(steps) > 1 or round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
            listed = ", ".join(f"{dt * 1e3:g} ms" for dt in sorted(steps))
            raise ValueError(
                f"The inputs have time steps of {listed}, the network one of {step * 1e3:g} ms. Give the "
                "TimedArrays of a task one common dt, a multiple of the network's."
            )
        return Quantity(steps.pop(), dim=ms.dim)

    def simulate(self, task, batch):
        """Simulate fresh trials; returns them with the output (time, batch, outputs)."""
        trials = task.trials(self.generator, batch, self.dt)
        missing = set(self.wiring.values()) - set(trials.inputs)
        if missing:
            unknown = ", ".join(map(repr, sorted(missing)))
            raise UnknownName(f"The task has no input {unknown}; it has {', '.join(trials.inputs)}.")
        records = self.surrogate(
            inputs={name: torch.as_tensor(trials.inputs[source]) for name, source in self.wiring.items()},
            duration=trials.duration,
            record=[self.output],
            batch=batch,
            seed=self.noise,
        )
        every = round(float(self.dt) / float(self.surrogate.dt))
        output = records[self.output][every - 1 :: every]
        if tuple(output.shape) != trials.targets.shape:
            raise ValueError(
                f"{self.output} has the shape {tuple(output.shape)}, (time, batch, n), but the targets of "
                f"the task have {trials.targets.shape}."
            )
        return trials, output

    def losses(self, trials, output):
        def tensor(array):
            return torch.as_tensor(array, dtype=output.dtype, device=output.device)

        return self.loss(output, tensor(trials.targets), tensor(trials.mask))

    @torch.no_grad()
    def accuracy(self, trials):
        """Fraction correct of so many fresh trials."""
        trials, output = self.simulate(self.validation, trials)
        return self.score(self.validation, trials, output)

    def score(self, task, trials, output):
        return float(np.mean(task.score(output.detach().cpu().numpy().astype(float), trials)))


def _train(training, optimizer, updates, clip, stop, progress):
    """The training loop; returns loss and accuracy of every update. An interrupt ends it early."""
    history = {"loss": [], "accuracy": [], "validated": [], "seconds": []}
    silent = set(training.surrogate.named_values())
    started = time.perf_counter()
    with tqdm(total=updates, desc="training", unit="update", disable=not progress) as bar:
        for update in range(1, updates + 1):
            try:
                loss, accuracy = _update(training, optimizer, clip, update)
                running = float(np.mean([*history["loss"][-9:], loss]))
                validated = training.accuracy(stop.trials) if stop.check_now(update, running) else None
            except KeyboardInterrupt:
                bar.write(f"Interrupted: the network is kept as it was after {update - 1} updates.")
                break
            silent = _warn_of_silence(training.surrogate, silent, update)
            row = dict(
                loss=loss, accuracy=accuracy, validated=validated, seconds=time.perf_counter() - started
            )
            for name, value in row.items():
                history[name].append(value)
            bar.set_postfix(loss=f"{running:.2f}", accuracy=f"{np.mean(history['accuracy'][-10:]):.0%}")
            bar.update()
            if stop.reached(validated, running):
                break
    return history


def _update(training, optimizer, clip, update):
    """One update of the parameters; returns loss and accuracy of its trials."""
    surrogate = training.surrogate
    trials, output = training.simulate(training.task, training.batch)
    loss = training.losses(trials, output)
    optimizer.zero_grad()
    loss.backward()
    _check_gradients(surrogate, loss, update)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(surrogate.parameters(), clip)
    accuracy = training.score(training.task, trials, output)
    optimizer.step()
    surrogate.project()
    return float(loss.detach()), accuracy


def _parameter_groups(surrogate, learning_rate, learning_rates):
    rates = {trainable_name(key, surrogate.model): rate for key, rate in learning_rates.items()}
    return [
        {"params": [raw], "lr": rates.get(name, learning_rate)}
        for name, raw in surrogate.named_values().items()
    ]


def _warn_of_silence(surrogate, silent, update):
    """Names of parameters whose gradient has been exactly zero so far; a warning when that lasts."""
    silent = {name for name in silent if not surrogate.named_values()[name].grad.any()}
    if silent and update == PATIENCE:
        warnings.warn(
            f"The gradient of {', '.join(sorted(silent))} was exactly zero in the first {PATIENCE} updates: "
            "nothing is learned there. Is the output connected (readout weights not all zero)? Do the "
            "neurons spike, or come within the width of the spike gradient of their threshold?",
            stacklevel=4,
        )
    return silent


def _check_gradients(surrogate, loss, update):
    """Stop with the cause in words where a loss or gradient is not finite, or missing."""
    if not torch.isfinite(loss):
        raise FloatingPointError(f"The loss became {loss.item()} in update {update}.")
    for name, raw in surrogate.named_values().items():
        if raw.grad is None:
            raise ValueError(f"No gradient reaches {name} from the output; leave it out of train=.")
        if not torch.isfinite(raw.grad).all():
            raise FloatingPointError(
                f"The gradient of {name} is not finite in update {update}. Spike gradients that are steep "
                "compared with the distance from reset to threshold grow through every reset: use a wider "
                "one (bb.Box(width=25*mV)), or Surrogate(..., reset_gradient=False)."
            )
