"""Measure a network on trials that it is not trained with."""

from dataclasses import dataclass

import numpy as np
import torch

from brianbridge.tasks.decisions import accuracy_by_condition
from brianbridge.training.batches import Batches
from brianbridge.training.random_numbers import VALIDATION, random_numbers

__all__ = ["OPTIONS", "Validation", "validation_of"]

OPTIONS = ("trials", "every")  # what stop={...} may say of validations
TOGETHER = 100  # trials that are simulated at a time


@dataclass(frozen=True)
class Validation:
    """How a network is measured while it is trained.

    Parameters
    ----------
    task : Task, optional
        Where it is not the one of the training trials: with longer epochs, for example. The network counts as
        trained for this task.
    trials : int
        Fresh trials for each validation.
    every : int
        Updates between two validations.
    dt : Quantity, optional
        Another time step of the network. Its noise keeps its power, because Brian2 scales it with the step;
        trials keep the step of their inputs.
    conditions : tuple of str
        What distinguishes the conditions of which the worst one is wanted: ``('f1', 'f2')``.
    """

    task: object = None
    trials: int = 100
    every: int = 10
    dt: object = None
    conditions: tuple = ()

    def __post_init__(self):
        for name in OPTIONS:
            if getattr(self, name) < 1:
                raise ValueError(f"Validation: {name}={getattr(self, name)} must be at least 1.")

    def measured_by(self, surrogate, task, wiring, output, seed, loss):
        """A function that takes the number of the update and returns columns of the history.

        Parameters
        ----------
        surrogate : Surrogate
        task : Task
            Of the training trials.
        wiring, output, seed, loss
            As for the training.
        """
        task = self.task or task
        surrogate = surrogate if self.dt is None else surrogate.twin(self.dt)
        batches = Batches(surrogate, task, wiring, output)

        @torch.no_grad()
        def measure(update):
            rng, noise = random_numbers(seed, VALIDATION, update, surrogate.device)
            trials = batches.draw(rng, self.trials)
            parts = [
                batches.simulate(trials[first : first + TOGETHER], noise)
                for first in range(0, self.trials, TOGETHER)
            ]
            return self._columns(parts, task, loss)

        return measure

    def _columns(self, parts, task, loss):
        correct = np.concatenate([part.correct(task) for part in parts])
        sizes = [len(part.trials) for part in parts]
        error, count = torch.stack([part.loss(_squares) for part in parts]).sum(0).tolist()
        columns = {
            "validated": float(correct.mean()),
            "validation_loss": float(np.average([float(part.loss(loss)) for part in parts], weights=sizes)),
            "rmse": (error / count) ** 0.5 if count else None,
        }
        if self.conditions:
            conditions = {
                name: np.concatenate([part.trials.conditions[name] for part in parts])
                for name in self.conditions
            }
            by_condition = accuracy_by_condition(correct, conditions, *self.conditions)
            columns["worst_condition"] = min(by_condition.values())
        return columns


def _squares(output, target, mask):
    """Summed squared error, and the number of values that count."""
    return torch.stack([(mask * (output - target) ** 2).sum(), mask.sum()])


def validation_of(given, stop):
    """The `Validation` that ``fit(validation=..., stop=...)`` asks for.

    Parameters
    ----------
    given : Validation, Task or None
    stop : Rule, dict or anything else
        A dict may hold 'trials' and 'every'.
    """
    options = {name: stop[name] for name in OPTIONS if isinstance(stop, dict) and name in stop}
    if not isinstance(given, Validation):
        return Validation(given, **options)
    if options:
        raise ValueError("Give trials and every in one place: Validation(trials=..., every=...).")
    return given
