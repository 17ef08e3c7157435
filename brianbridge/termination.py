"""SIGTERM and SIGHUP end a block as an exception does, so that it cleans up."""

import contextlib
import signal
import threading

__all__ = ["cleaned_up"]

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def cleaned_up():
    """In this block, to be terminated raises ``SystemExit(128 + signal)``.

    Where the user's program has set handlers of its own, these stay.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number, frame):
    raise SystemExit(128 + number)
