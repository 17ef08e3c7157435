"""Dense projections as grids: rows of sources, columns of targets, so that no index is looked up in a loop.

A gather or scatter costs several cycles for each synapse, a row of a grid a fraction of one: from a sixteenth
of all possible synapses on, a grid is faster although some of its places are empty.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

__all__ = ["Grid", "fits", "grid_for"]

SPARSEST = 1 / 16  # of all pairs
SPARSE = 1 / 3  # of all pairs: up to here its own synapses may be faster than all places, if trials are many
LARGEST = 2**24  # places
#: Operations without a pole: what they make of zero is a number.
HARMLESS = "own at shared row number mask add subtract multiply negative cast masked".split()


@dataclass(frozen=True)
class Grid:
    """A projection laid out as a grid.

    Attributes
    ----------
    rows, columns : int
    outer, inner : str
        Names in the step of the index arrays that count rows and columns.
    places : ndarray of int64, shape (synapses,)
        Where each synapse lies in the grid.
    full : bool
        Whether every place has a synapse.
    """

    rows: int
    columns: int
    outer: str
    inner: str
    places: np.ndarray = field(compare=False)
    full: bool

    def along(self, axis, index):
        """An index of every synapse as one of every row (0) or column (1); None if it is not one."""
        line = self.places // self.columns if axis == 0 else self.places % self.columns
        table = np.zeros(self.rows if axis == 0 else self.columns, dtype=np.int32)
        table[line] = index
        return table if np.array_equal(table[line], index) else None

    @property
    def transposed(self):
        """The grid with rows and columns exchanged."""
        places = self.places % self.columns * self.rows + self.places // self.columns
        return Grid(self.columns, self.rows, self.inner, self.outer, places, self.full)

    @property
    def sparse(self):
        """Whether products with many vectors at once had better look up each synapse's source."""
        return len(self.places) < SPARSE * self.rows * self.columns

    @cached_property
    def by_column(self):
        """Synapses sorted by column: their numbers, their rows, and where each column begins."""
        row, column = np.divmod(self.places, self.columns)
        order = np.lexsort((row, column))
        starts = np.searchsorted(column[order], np.arange(self.columns + 1))
        return order, row[order], starts.astype(np.int32)

    @property
    def in_order(self):
        """Whether the grid is the synapses as they are."""
        return self.full and bool(np.array_equal(self.places, np.arange(len(self.places))))


def grid_for(outer, inner, names):
    """A grid for synapses between two groups, or None where a list of synapses is better.

    Parameters
    ----------
    outer, inner : str
        Names of the index arrays in the step.
    names : dict of str to Tensor
        Constants of the step.

    Returns
    -------
    Grid or None
    """
    row, column = (np.asarray(names[name]) for name in (outer, inner))
    if not len(row):
        return None
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    if rows * columns > LARGEST or len(row) < SPARSEST * rows * columns or columns < 8:
        return None
    places = row.astype(np.int64) * columns + column
    if len(np.unique(places)) < len(places):
        return None
    return Grid(rows, columns, outer, inner, places, len(places) == rows * columns)


def fits(grid, body):
    """Whether a body can run over a grid.

    It changes neurons only, by sums, and it leaves nothing at the empty places, where the synapses' own
    constants are zero.

    Parameters
    ----------
    grid : Grid
    body : Body

    Returns
    -------
    bool
    """
    sums = all(e.kind == "add" and e.value.type == "real" and e.mask is None for e in body.effects)
    own = all(v.symbol.startswith("c_") and v.type == "real" for v in body.values if v.op == "own")
    if not (sums and own) or any(value.op == "lookup" for value in body.values):
        return False
    if any(v.op == "row" and not v.index for v in body.values) and not grid.in_order:
        return False  # random numbers of every synapse, which are not laid out
    if grid.full:
        return True
    return all(v.op in HARMLESS for v in body.values) and all(_vanishes(e.value) for e in body.effects)


def _vanishes(value):
    """Whether a value is zero where the synapses' own constants are."""
    if value.op == "own":
        return True
    if value.op == "multiply":
        return any(map(_vanishes, value.arguments))
    if value.op in ("add", "subtract", "negative", "cast"):
        return all(map(_vanishes, value.arguments))
    return value.op == "masked" and _vanishes(value.arguments[1])
