"""Which condition each trial belongs to."""

import numpy as np


def balanced(rng, batch, **factors):
    """Cross the levels of all factors, and give the trials to the combinations as evenly as the batch allows.

    Every combination occurs ``batch // combinations`` times; the trials that are left over go to different
    combinations, drawn at random. The order is random.

    Parameters
    ----------
    rng : numpy Generator
    batch : int
    **factors
        Name to its levels, such as ``context=[0, 1]``.

    Returns
    -------
    dict
        Name to array (batch,) of levels.
    """
    shape = [len(levels) for levels in factors.values()]
    combinations = int(np.prod(shape))
    whole, left_over = divmod(batch, combinations)
    index = np.concatenate(
        [np.tile(np.arange(combinations), whole), rng.choice(combinations, size=left_over, replace=False)]
    )
    level_indices = np.unravel_index(rng.permutation(index), shape)
    return {
        name: np.asarray(levels)[chosen]
        for (name, levels), chosen in zip(factors.items(), level_indices, strict=True)
    }
