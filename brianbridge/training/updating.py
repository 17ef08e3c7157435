"""One update of the parameters: simulate, differentiate, check, clip, step."""

import time
from dataclasses import dataclass

import torch
from torch.nn.utils import clip_grad_norm_, get_total_norm

from brianbridge.training.carrying import from_the_start
from brianbridge.training.gradients import GradientWatch, check_reach, not_finite
from brianbridge.training.interruption import undisturbed
from brianbridge.training.random_numbers import NOISE, TRIALS, random_numbers

__all__ = ["Updater"]


@dataclass
class Updater:
    """Updates the parameters of a surrogate.

    Attributes
    ----------
    batches : Batches
    optimiser : torch.optim.Optimizer
    loss : callable
    regularisers : sequence of callable
    seed, batch : int
    clip : float or None
    skip : int
        Successive updates that may be left out because something is not finite.
    updates_per_batch : int
    carry : bool
    state : State or None
        Where the next trials start from, in continuous training.
    """

    batches: object
    optimiser: torch.optim.Optimizer
    loss: object
    regularisers: tuple
    seed: int
    batch: int
    clip: float | None
    skip: int
    updates_per_batch: int
    carry: bool
    state: object = None

    def __post_init__(self):
        self.surrogate = self.batches.surrogate
        self.watch = GradientWatch(self.surrogate)
        self.drawn = None, None
        self.started = time.perf_counter()

    def update(self, history):
        """Update once, and add the row to the history; both or neither, also if interrupted.

        Raises
        ------
        FloatingPointError
            If loss or gradients are not finite, more often in succession than may be skipped.
        """
        number = len(history) + 1
        simulated = self._simulate(number)
        self.optimiser.zero_grad()
        loss, penalty = self._backward(simulated)
        check_reach(self.surrogate)
        trouble = not_finite(self.surrogate, loss, number)
        if trouble:
            self._leave_out(trouble, history)
            return
        trained = self.surrogate.named_values().values()
        row = {
            "loss": float(loss.detach()),
            "regularisation": penalty,
            "gradient_norm": float(get_total_norm([raw.grad for raw in trained])),
            "accuracy": float(simulated.correct(self.batches.task).mean()),
        }
        self.watch(number, row["loss"] + penalty, row["gradient_norm"])
        if self.clip is not None:
            clip_grad_norm_(trained, self.clip)
        with undisturbed():
            self._step(simulated, number)
            history.append(**row, seconds=self.seconds)

    @property
    def seconds(self):
        """Time since the training began."""
        return time.perf_counter() - self.started

    def _simulate(self, number):
        batch = (number - 1) // self.updates_per_batch
        if self.drawn[0] != batch:
            rng, _ = random_numbers(self.seed, TRIALS, batch)
            self.drawn = batch, self.batches.draw(rng, self.batch)
        _, noise = random_numbers(self.seed, NOISE, number, self.surrogate.device)
        return self.batches.simulate(self.drawn[1], noise, self.state)

    def _backward(self, simulated):
        """Gradients of loss and regularisers; returns the loss, and the sum of the others."""
        late = [term for term in self.regularisers if getattr(term, "after_backward", False)]
        loss = simulated.loss(self.loss)
        penalty = sum((term(simulated) for term in self.regularisers if term not in late), torch.zeros(()))
        (loss + penalty).backward()
        return loss, float(penalty.detach()) + sum(term.add_gradient(simulated) for term in late)

    def _step(self, simulated, number):
        self.optimiser.step()
        self.surrogate.project()
        if self.carry and number % self.updates_per_batch == 0:
            self.state = from_the_start(simulated.final, self.surrogate)

    def _leave_out(self, trouble, history):
        if history.left_out() >= self.skip:
            again = f" It is one of {self.skip + 1} in succession." if self.skip else ""
            raise FloatingPointError(
                f"{trouble}{again} The surrogate holds the parameters of before this update; skip=5 would "
                "leave out up to five such updates in succession."
            )
        history.append(seconds=self.seconds)
