"""The random numbers of a simulation: drawn where they are needed, from where they are alone, or given."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from brianbridge.random_state import random_state_kept
from brianbridge.surrogate.philox import normal, philox4x32, uniform

__all__ = ["DrawnNoise", "GivenNoise", "given_noise"]

FUNCTIONS = {"rand": uniform, "randn": normal, "poisson": uniform}
TOGETHER = 2**16  # numbers, to have little work for each and still a bounded memory


@dataclass
class GivenNoise:
    """Random numbers to replay, of one place in the step; indexed by the number of the draw.

    Attributes
    ----------
    rows : Tensor, shape (draws, batch, n)
    first : int
        Number of the first draw.
    """

    rows: torch.Tensor
    first: int

    def __getitem__(self, draw):
        return self.rows[draw - self.first]


@dataclass
class DrawnNoise:
    """Random numbers of one place in the step; indexed by the number of the draw.

    Each depends on the seed and on its place, draw, trial and element alone.

    Attributes
    ----------
    function : str or callable
        ``'rand'``, ``'randn'``, ``'poisson'`` (a uniform number, of which a count is made), or a function of
        the user's: number of elements to ndarray.
    seed : int
    place : int
    draws : range
        The numbers of the draws in this simulation.
    batch, n : int
    dtype : torch.dtype
    device : torch.device
    """

    function: object
    seed: int
    place: int
    draws: range
    batch: int
    n: int
    dtype: torch.dtype
    device: torch.device
    kept: range = field(default=range(0), repr=False)

    def __getitem__(self, draw):
        if draw not in self.kept:
            count = 1 if callable(self.function) else max(1, TOGETHER // (self.batch * self.n))
            first = draw - draw % count
            self.kept = range(first, min(first + count, self.draws.stop))
            self._kept_rows = self._drawn(self.kept)
        return self._kept_rows[draw - self.kept.start]

    @property
    def first(self):
        """Number of the first draw."""
        return self.draws.start

    @property
    def rows(self):
        """All of them: Tensor, shape (draws, batch, n)."""
        none = torch.zeros(0, self.batch, self.n, dtype=self.dtype, device=self.device)
        return torch.stack([self[draw] for draw in self.draws]) if self.draws else none

    def _drawn(self, draws):
        if callable(self.function):
            return torch.stack([self._sampled(draw) for draw in draws])
        draw = FUNCTIONS[self.function]
        return draw(self.seed, self.place, draws, self.batch, self.n, self.dtype, self.device)

    def _sampled(self, draw):
        """Numbers of the user's function, which draws from numpy, as Brian2's numpy target does."""
        counter = torch.tensor([0, 0, draw, self.place]).unbind()
        seed, *_ = philox4x32(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32))
        shape = self.batch, self.n
        with random_state_kept():
            np.random.seed(int(seed))
            numbers = np.asarray(self.function(np.arange(math.prod(shape))), dtype=float)
        return torch.as_tensor(numbers.reshape(shape)).to(self.device, self.dtype)


def given_noise(noise):
    """Random numbers to replay, as tensors of the shape (steps, batch, n)."""
    tensors = {}
    for key, value in (noise or {}).items():
        tensor = torch.as_tensor(value)
        tensors[key] = tensor[:, None] if tensor.dim() == 2 else tensor
        if tensors[key].dim() != 3:
            raise ValueError(
                f"The noise {key} has the shape {tuple(tensor.shape)}; (steps, batch, n) is needed."
            )
    return tensors
