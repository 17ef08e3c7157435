"""Trials of a task, drawn and simulated by a surrogate."""

from dataclasses import dataclass

import numpy as np
import torch
from brian2.units import second
from brian2.units.fundamentalunits import Quantity
from brian2.units.stdunits import ms

from brianbridge.model.naming import UnknownName, variable_name
from brianbridge.surrogate.feeding import steps_until

__all__ = ["Batches", "Simulated"]


@dataclass
class Simulated:
    """A batch of trials as it was simulated: what losses, regularisers and scores see.

    Attributes
    ----------
    surrogate : Surrogate
    trials : Trials
    output : Tensor, shape (time, batch, outputs)
        On the time step of the trials.
    inputs : dict of str to Tensor, shape (time, batch, n)
        What each `TimedArray` was given.
    records : dict of str to Tensor, shape (time, batch, n)
        Recorded variables in SI units, on the network's time step.
    noise : dict of str to Tensor, shape (time, batch, n)
        The random numbers; leaves of the graph where a regulariser asked for their gradient.
    final : State
    """

    surrogate: object
    trials: object
    output: torch.Tensor
    inputs: dict
    records: dict
    noise: dict
    final: object

    def __getitem__(self, key):
        """A recorded variable (``cells.v``, ``'cells.v'``), or the spikes of a group."""
        return self.records[".".join(variable_name(key, self.surrogate.model))]

    def like_output(self, array):
        """An array of the trials as a tensor of the output's type."""
        return torch.as_tensor(array, dtype=self.output.dtype, device=self.output.device)

    def loss(self, loss):
        """A loss of output, target and mask."""
        trials = self.trials
        return loss(self.output, self.like_output(trials.targets), self.like_output(trials.mask))

    def correct(self, task):
        """Which trials are correct: bool array (batch,)."""
        return np.asarray(task.score(self.output.detach().cpu().numpy().astype(float), self.trials))


class Batches:
    """Draws trials of a task and simulates them.

    Parameters
    ----------
    surrogate : Surrogate
    task : Task
    wiring : dict of str to str
        Names of `TimedArray` to names of the task's inputs.
    output : str
        ``'group.variable'``.
    record : tuple of str
        More variables to record.
    truncate : Quantity, optional
        Gradients do not pass the multiples of this time.
    noise_gradient : bool
        Whether gradients with respect to the random numbers are wanted.
    """

    def __init__(self, surrogate, task, wiring, output, record=(), truncate=None, noise_gradient=False):
        self.surrogate, self.task, self.wiring, self.output = surrogate, task, wiring, output
        self.record = list(dict.fromkeys([output, *record]))
        self.noise_gradient = noise_gradient
        self.dt = _trials_dt(surrogate, wiring)
        self.window = None if truncate is None else _window(truncate, surrogate)

    def draw(self, rng, batch):
        """Fresh trials.

        Raises
        ------
        UnknownName
            If they lack an input.
        ValueError
            If they have another time step.
        """
        trials = self.task.trials(rng, batch, self.dt)
        if not np.isclose(trials.dt, float(self.dt), rtol=1e-6, atol=0):
            raise ValueError(
                f"The task was asked for trials with dt={self.dt}, but made them with "
                f"dt={trials.dt * second}."
            )
        missing = set(self.wiring.values()) - set(trials.inputs)
        if missing:
            unknown = ", ".join(map(repr, sorted(missing)))
            raise UnknownName(f"The task has no input {unknown}; it has {', '.join(trials.inputs)}.")
        return trials

    def simulate(self, trials, seed, initial=None):
        """Simulate trials.

        Parameters
        ----------
        trials : Trials
        seed : torch.Generator
        initial : State, optional
            Where to go on from.

        Returns
        -------
        Simulated
        """
        inputs = {name: torch.as_tensor(trials.inputs[source]) for name, source in self.wiring.items()}
        parts, noise = [], None
        if self.noise_gradient:
            noise = self.surrogate.draw_noise(trials.duration, len(trials), seed)
            noise = {key: numbers.requires_grad_() for key, numbers in noise.items()}
        for duration in self._durations(trials.duration):
            records = self.surrogate(
                inputs=inputs,
                duration=duration,
                record=self.record,
                initial=initial,
                noise=noise,
                batch=len(trials),
                seed=seed,
            )
            parts.append(records)
            initial, seed = records.final.detach(), None  # which goes on with the same random numbers
        joined = {name: torch.cat([part[name] for part in parts]) for name in self.record}
        return Simulated(
            self.surrogate,
            trials,
            self._on_the_trials_step(joined[self.output], trials),
            inputs,
            joined,
            noise or {},
            initial,
        )

    def _durations(self, whole):
        """Times after which the gradient is cut, up to the whole."""
        dt = float(self.surrogate.dt)
        steps = steps_until(whole, 0, dt)
        window = self.window or steps
        counts = [min(window, steps - first) for first in range(0, steps, window)]
        return [Quantity(count * dt, dim=ms.dim) for count in counts]

    def _on_the_trials_step(self, recorded, trials):
        output = trials.at_steps(recorded, float(self.surrogate.dt))
        if tuple(output.shape) != trials.targets.shape:
            raise ValueError(
                f"{self.output} has the shape {tuple(output.shape)}, (time, batch, n), but the targets of "
                f"the task have {trials.targets.shape}."
            )
        return output


def _trials_dt(surrogate, wiring):
    """Time step of the trials: that of the timed inputs, on which their values are held."""
    step = float(surrogate.dt)
    steps = {surrogate.model.input(name).dt for name in wiring} or {step}
    ratio = max(steps) / step
    if len(steps) > 1 or round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
        listed = ", ".join(f"{dt * 1e3:g} ms" for dt in sorted(steps))
        raise ValueError(
            f"The inputs have time steps of {listed}, the network one of {step * 1e3:g} ms. Give the "
            "TimedArrays of a task one common dt, a multiple of the network's."
        )
    return Quantity(steps.pop(), dim=ms.dim)


def _window(truncate, surrogate):
    """Steps between two cuts of the gradient."""
    if not isinstance(truncate, Quantity) or truncate.dim is not ms.dim or not truncate > 0 * ms:
        raise ValueError(f"truncate={truncate} is not a time, such as 200*ms.")
    return max(1, round(float(truncate) / float(surrogate.dt)))
