"""One process at a time works on a file: a second one is told so, and undoes nothing."""

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["InUse", "alone_with", "is_abandoned"]


class InUse(RuntimeError):
    """Another process is working on the same file."""


@contextlib.contextmanager
def alone_with(path, what):
    """Work on a file alone, or not at all.

    The operating system gives the lock back when a process ends, however it ends. Where it has no such locks
    (Windows, some network drives) nothing is locked.

    Parameters
    ----------
    path : str or Path
        Need not exist; its folder is made.
    what : str
        What the other process is, for the error: ``'training'``.

    Raises
    ------
    InUse
        If another process holds the lock; says which.
    """
    path = Path(path)
    lock = _lock_of(path)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = _locked(lock)
    except OSError as error:
        raise OSError(
            error.errno, f"{path} cannot be written ({error.strerror or error}): nothing was begun"
        ) from None
    if held is not None and held < 0:
        raise InUse(
            f"{path} is in use by another {what}{_process(lock)}. Wait until that has ended, or choose "
            "another place."
        )
    try:
        yield
    finally:
        if held is not None:
            lock.unlink(missing_ok=True)
            os.close(held)


def is_abandoned(path):
    """Whether a process that worked on a file alone was killed and has left it."""
    lock = _lock_of(Path(path))
    if fcntl is None or not lock.exists():
        return False
    try:
        held = os.open(lock, os.O_RDWR)
    except OSError:  # another user's, or just removed
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(held)


def _lock_of(path):
    return path.with_name(f".{path.name}.lock")


def _locked(lock):
    """A descriptor that holds the lock; -1 if another one does, None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(held)
            return -1 if isinstance(error, BlockingIOError) else None
        # It may have been removed by the process that held it, between opening and locking.
        if _is_still(lock, held):
            with contextlib.suppress(OSError):  # a full disk holds no number
                os.truncate(held, 0)
                os.write(held, str(os.getpid()).encode())
            return held
        os.close(held)


def _is_still(lock, held):
    try:
        return os.path.samestat(os.fstat(held), os.stat(lock))
    except FileNotFoundError:
        return False


def _process(lock):
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int(lock.read_text()[:20])})"
    return ""
