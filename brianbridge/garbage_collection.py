"""Brian2 collects garbage at every run; most of what it would go through then are imported modules."""

import contextlib
import gc

__all__ = ["spared_from_collection"]

_blocks = 0  # that are under way, one within the other


@contextlib.contextmanager
def spared_from_collection():
    """In this block, the garbage collector passes over whatever was there before.

    With torch and sympy imported, a collection takes longer than many a trial. What is garbage already is
    collected before: Brian2 gives no name twice, and compiles code anew where a name in it is another one.
    """
    global _blocks
    gc.collect()
    gc.freeze()
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1
        if not _blocks:
            gc.unfreeze()
