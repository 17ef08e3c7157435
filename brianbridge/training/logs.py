"""Where the course of a training is written while it goes on: CSV, JSON, TensorBoard, or a function."""

import csv
import json
import time
from pathlib import Path

from brianbridge.atomic_files import write_together
from brianbridge.training.history import COLUMNS

__all__ = ["CSVLog", "JSONLog", "TensorBoard", "logs_of"]

OFTEN = 10.0  # seconds between two versions of a JSON file


class CSVLog:
    """One line for each update, written at once; what was not measured is empty.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced: after an interruption, all rows are written again.
    """

    def __init__(self, path):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115
        self.writer = csv.DictWriter(self.file, ["update", *COLUMNS])
        self.writer.writeheader()

    def __call__(self, row):
        """Write a row."""
        self.writer.writerow(row)
        self.file.flush()

    def close(self):
        """Close the file."""
        self.file.close()


class JSONLog:
    """A list for each column; the file is replaced every few seconds and at the end, atomically.

    Parameters
    ----------
    path : str or Path
    """

    def __init__(self, path):
        self.path, self.rows, self.written = Path(path), [], time.monotonic()

    def __call__(self, row):
        """Take up a row."""
        self.rows.append(row)
        if time.monotonic() - self.written > OFTEN:
            self._write()

    def close(self):
        """Write the file for the last time."""
        self._write()

    def _write(self):
        columns = {name: [row[name] for row in self.rows] for name in ["update", *COLUMNS]}
        write_together({self.path: json.dumps(columns, indent=1).encode()})
        self.written = time.monotonic()


class TensorBoard:
    """Curves in TensorBoard (``pip install tensorboard``).

    Parameters
    ----------
    folder : str or Path

    Raises
    ------
    ImportError
        If TensorBoard is not installed.
    """

    def __init__(self, folder):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard is not installed: pip install tensorboard") from None
        self.writer = SummaryWriter(str(folder), purge_step=1)  # after an interruption, all rows come again

    def __call__(self, row):
        """Write a row."""
        for name in COLUMNS:
            if row[name] is not None:
                self.writer.add_scalar(name, row[name], row["update"])

    def close(self):
        """Close the files."""
        self.writer.close()


def logs_of(given):
    """Open what ``fit(log=...)`` was given: a path, a callable that takes rows, or several.

    Raises
    ------
    ValueError
        If a path ends neither in ``.csv`` nor in ``.json``.
    """
    given = given if isinstance(given, list | tuple) else [given]
    kinds = {".csv": CSVLog, ".json": JSONLog}
    for log in given:
        if not callable(log) and Path(log).suffix not in kinds:
            raise ValueError(f"log={str(log)!r}: the name of a history must end in .csv or .json.")
    return [log if callable(log) else kinds[Path(log).suffix](log) for log in given]
