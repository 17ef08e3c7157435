"""The random numbers that the user draws, kept apart from those of simulations with a seed of their own."""

from contextlib import contextmanager

from brian2.devices.device import runtime_device

__all__ = ["random_state_kept"]


@contextmanager
def random_state_kept():
    """Leave the generators of numpy and of Brian2's runtime as they were found."""
    state = runtime_device.get_random_state()
    try:
        yield
    finally:
        runtime_device.set_random_state(state)
