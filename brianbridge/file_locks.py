"""One process at a time works on a file: a second one is told so, and undoes nothing."""

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["InUse", "alone_with", "is_abandoned"]


class InUse(RuntimeError):
    """Another process is working on the same file."""


@contextlib.contextmanager
def alone_with(path, what):
    """Work on a file alone, or not at all.

    The operating system gives the lock back when a process ends, however it ends.

    Parameters
    ----------
    path : str or Path
        Need not exist; its folder is made.
    what : str
        What the other process is, for the error: ``'training'``.

    Raises
    ------
    InUse
        If another process holds the lock.
    """
    path = Path(path)
    lock = _lock_of(path)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InUse(
            f"{path} is in use by another {what}. Wait until that has ended, or choose another place."
        ) from None
    except OSError as error:
        raise OSError(
            error.errno, f"{path} cannot be written ({error.strerror or error}): nothing was begun"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows removes it after the release only
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def is_abandoned(path):
    """Whether a process that worked on a file alone was killed and has left it."""
    lock = _lock_of(Path(path))
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock:
            return True
    except (Timeout, OSError):  # in use, or another user's
        return False


def _lock_of(path):
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=0, is_singleton=False)
