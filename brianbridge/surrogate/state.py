"""The state in which a simulation ends, and from which the next one goes on."""

import torch

from brianbridge.model.groups import SPIKE_TIMES

__all__ = ["State"]


class State(dict):
    """State after the last step of a simulation; ``surrogate(initial=state)`` goes on from it.

    A dict of ``'group.variable'`` to Tensor (batch, n), with what else is needed to go on: time, and with it
    the inputs, continues, events that are under way arrive, and random numbers go on where they stopped.

    Attributes
    ----------
    step : int
        Number of steps since t = 0.
    seed : int or None
        Of the random numbers; None where none was given.
    """

    def __init__(self, values, step=0, seed=None):
        super().__init__(values)
        self.step, self.seed = step, seed

    def detach(self):
        """The same without gradient, to go on without what came before (truncated backpropagation)."""
        values = {
            key: value.detach() if torch.is_tensor(value) else tuple(event.detach() for event in value)
            for key, value in self.items()
        }
        return State(values, self.step, self.seed)

    def at(self, step, dt):
        """The same state at another time: the times of last spikes and events move along.

        Parameters
        ----------
        step : int
            Number of steps since t = 0.
        dt : float
            Seconds.
        """
        moved = {
            key: value + (step - self.step) * dt if key.rpartition(".")[2] in SPIKE_TIMES else value
            for key, value in self.items()
        }
        return State(moved, step, self.seed)
