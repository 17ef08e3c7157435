"""Random numbers of an update follow from the seed and its number alone.

So an interrupted training goes on with the same trials and the same noise, and how often it is validated does
not change what it is trained with.
"""

import numpy as np
import torch

__all__ = ["NOISE", "TRIALS", "VALIDATION", "random_numbers"]

TRIALS, NOISE, VALIDATION = range(3)


def random_numbers(seed, purpose, number, device="cpu"):
    """Sources of random numbers for one purpose in one update.

    Parameters
    ----------
    seed : int
    purpose : int
        `TRIALS`, `NOISE` or `VALIDATION`.
    number : int
    device : str or torch.device

    Returns
    -------
    numpy.random.Generator, torch.Generator
    """
    sequence = np.random.SeedSequence([int(seed), purpose, number])
    noise = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return np.random.default_rng(sequence), torch.Generator(device).manual_seed(noise)
