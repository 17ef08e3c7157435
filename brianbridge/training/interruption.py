"""What must not be left half done: Ctrl-C, and to be terminated, wait until it is."""

import signal
import threading
from contextlib import contextmanager

__all__ = ["undisturbed"]


@contextmanager
def undisturbed():
    """Hold back a KeyboardInterrupt, and SIGTERM, until the block has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    arrived = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number)) or signal.default_int_handler
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in arrived[:1]:
        signal.raise_signal(number)
