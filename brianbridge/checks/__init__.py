"""
The ladder of checks: is the trained network the network that it is said to be, and do its claims survive?

    >>> import brianbridge as bb
    >>> report = bb.check(trained, dt=[1, 0.5, 0.1]*ms)  # doctest: +SKIP
    >>> report.save('report.html')  # doctest: +SKIP

Each rung is a module with a function that takes a `Context` and returns a `Finding`; `ladder` numbers them
and fixes their criteria. What needs torch is in `surrogate_side`, and only there.
"""

from brianbridge.checks.checked_task import CheckedTaskError
from brianbridge.checks.ladder import LADDER, Rung
from brianbridge.checks.options import CheckOptionError
from brianbridge.checks.reproduction import Reproduction, reproduce
from brianbridge.checks.running import check

__all__ = ["LADDER", "CheckOptionError", "CheckedTaskError", "Reproduction", "Rung", "check", "reproduce"]
