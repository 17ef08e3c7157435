"""What a command answers: exit status, one document for ``--json``, text for people."""

import os
import traceback
from dataclasses import dataclass

__all__ = [
    "BAD_INPUT",
    "BUG",
    "FINE",
    "NEGATIVE",
    "REFUSED",
    "SCRIPT_FAILED",
    "USAGE",
    "Answer",
    "Problem",
    "show_traceback",
]

FINE = 0
NEGATIVE = 1  # differs, a check fails
REFUSED = 2
SCRIPT_FAILED = 3
USAGE = 64
BAD_INPUT = 65
BUG = 70


@dataclass(frozen=True)
class Answer:
    """Result of a command.

    Attributes
    ----------
    document : dict
        May hold arrays and quantities.
    text : str
    status : int
    """

    document: dict
    text: str
    status: int = FINE

    def despite(self, problem):
        """The same, where a `Problem` came up after everything was found."""
        document = self.document | {"error": str(problem)}
        return Answer(document, f"{self.text}\n\nbrianbridge: {problem}", problem.status)


class Problem(Exception):
    """The command cannot be carried out, through no fault of ours.

    Parameters
    ----------
    message : str
    status : int
        `USAGE` or `BAD_INPUT`.
    """

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def show_traceback(error):
    """Of an error of ours, where the environment asks for it: for those who are to mend it."""
    if os.environ.get("BRIANBRIDGE_DEBUG") == "1":
        traceback.print_exception(error)
