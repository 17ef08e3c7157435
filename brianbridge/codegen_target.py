"""Brian2's code generation target for a while."""

from contextlib import contextmanager

from brian2 import prefs

__all__ = ["codegen_target"]


@contextmanager
def codegen_target(name):
    """In this block, Brian2 generates code for another target; then again for the present one.

    Parameters
    ----------
    name : str or None
        ``'numpy'``, for example; None for the present one.
    """
    before = prefs.codegen.target
    prefs.codegen.target = name or before
    try:
        yield
    finally:
        prefs.codegen.target = before
