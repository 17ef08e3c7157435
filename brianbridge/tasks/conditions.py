"""Which condition each trial belongs to.

Conditions are a table: a dictionary of columns of one length, one row for each condition.
"""

import itertools

import numpy as np

from brianbridge.spelling import did_you_mean


def crossed(**factors):
    """Make the table of all combinations of levels.

    Parameters
    ----------
    **factors
        Name to its levels, such as ``context=[0, 1]``.

    Returns
    -------
    dict
        Name to array (conditions,); the last factor changes fastest.
    """
    rows = list(itertools.product(*(range(len(levels)) for levels in factors.values())))
    return {
        name: np.asarray(levels)[[row[place] for row in rows]]
        for place, (name, levels) in enumerate(factors.items())
    }


def size(table):
    """Return the number of conditions; a table without columns has one."""
    return len(next(iter(table.values()), [0]))


def rows(table, chosen):
    """Take some rows of a table, by index or boolean array."""
    return {name: column[chosen] for name, column in table.items()}


def only(table, **wanted):
    """Keep the conditions that have the wanted values.

    Parameters
    ----------
    table : dict
    **wanted
        Column to one value, or to a list of values.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such column or no such condition.
    """
    for name, value in wanted.items():
        if name not in table:
            raise ValueError(f"there is no condition {name!r}; {did_you_mean(name, table)}")
        kept = np.isin(table[name], np.atleast_1d(value))
        if not kept.any():
            levels = ", ".join(map(str, np.unique(table[name])[:20].tolist()))
            raise ValueError(f"there is no condition with {name}={value!r}; {name} is one of {levels}")
        table = rows(table, kept)
    return table


def spread(rng, batch, table):
    """Give the trials to the conditions as evenly as the batch allows.

    Every condition occurs ``batch // conditions`` times; the trials that are left over go to different
    conditions, drawn at random. The order is random.

    Parameters
    ----------
    rng : numpy Generator
    batch : int
    table : dict

    Returns
    -------
    dict
        Name to array (batch,).
    """
    conditions = size(table)
    whole, left_over = divmod(batch, conditions)
    index = np.concatenate(
        [np.tile(np.arange(conditions), whole), rng.choice(conditions, size=left_over, replace=False)]
    )
    return rows(table, rng.permutation(index))


def mixed(rng, batch, table, column, fraction):
    """Spread trials over conditions of two kinds, of which one takes a given fraction on average.

    Parameters
    ----------
    rng : numpy Generator
    batch : int
    table : dict
    column : str
        Boolean column that distinguishes the two kinds.
    fraction : float
        Probability, drawn for each trial, that it is of the kind marked True. Without effect if the table
        holds conditions of one kind only.

    Returns
    -------
    dict
        Name to array (batch,).
    """
    marked = table[column]
    chosen = rng.random(batch) < fraction if marked.any() and not marked.all() else np.full(batch, marked[0])
    drawn = {name: np.empty(batch, values.dtype) for name, values in table.items()}
    for kind in np.unique(chosen):
        part = spread(rng, int(np.sum(chosen == kind)), rows(table, marked == kind))
        for name, values in part.items():
            drawn[name][chosen == kind] = values
    return drawn


def balanced(rng, batch, **factors):
    """Cross the levels of all factors, and spread the trials over the combinations: see `spread`."""
    return spread(rng, batch, crossed(**factors))
