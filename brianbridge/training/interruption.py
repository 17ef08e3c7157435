"""What must not be left half done: Ctrl-C waits until it is."""

import signal
import threading
from contextlib import contextmanager

__all__ = ["undisturbed"]


@contextmanager
def undisturbed():
    """Hold back a KeyboardInterrupt until the block has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt
