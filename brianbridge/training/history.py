"""The course of a training: one row for each update."""

import numpy as np

__all__ = ["COLUMNS", "History"]

#: Name of each column to what it holds; None where it was not measured.
COLUMNS = {
    "loss": "of the batch, without regularisers; None where the update was left out",
    "regularisation": "sum of the regularisers",
    "gradient_norm": "joint norm of all gradients, before clipping",
    "accuracy": "fraction of the batch that is correct",
    "validated": "fraction of the validation trials that is correct",
    "validation_loss": "loss of the validation trials",
    "rmse": "root of the mean squared error of the validation trials, over unmasked values",
    "worst_condition": "fraction correct in the worst condition of the validation trials",
    "seconds": "since the training began",
}
RUNNING = 10  # updates over which loss and accuracy are averaged


class History:
    """Rows of numbers; what is asked of the past is asked here.

    Attributes
    ----------
    columns : dict of str to list
    """

    def __init__(self, columns=None):
        self.columns = columns or {name: [] for name in COLUMNS}

    def __len__(self):
        return len(self.columns["loss"])

    def append(self, **values):
        """Add a row; columns that are not named are None."""
        for name in COLUMNS:
            self.columns[name].append(values.get(name))

    def complete(self, **values):
        """Fill in columns of the last row."""
        for name, value in values.items():
            self.columns[name][-1] = value

    def rows(self, first):
        """Rows from number `first` on, as dicts with the number of the update."""
        for k in range(first, len(self)):
            yield {"update": k + 1} | {name: column[k] for name, column in self.columns.items()}

    def last(self, name):
        """Value in the last row; None if there is none."""
        return self.columns[name][-1] if len(self) else None

    def running(self, name, count=RUNNING):
        """Mean of a column over the last updates; None where none of them has a value."""
        values = [value for value in self.columns[name][-count:] if value is not None]
        return float(np.mean(values)) if values else None

    def measured(self, name):
        """All values of a column that were measured."""
        return [value for value in self.columns[name] if value is not None]

    def left_out(self):
        """Number of updates at the end that were left out."""
        count = 0
        while count < len(self) and self.columns["loss"][-1 - count] is None:
            count += 1
        return count

    def arrays(self):
        """Columns as float64 arrays; what was not measured is NaN."""
        return {
            name: np.array([np.nan if value is None else value for value in column], dtype=np.float64)
            for name, column in self.columns.items()
        }

    @classmethod
    def from_arrays(cls, arrays):
        """Undo `arrays`."""
        return cls(
            {
                name: [None if np.isnan(v) else v for v in arrays[name].tolist()]  # tolist: Python's floats
                for name in COLUMNS
            }
        )
