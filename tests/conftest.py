"""What holds for every test: one thread, Brian2 on numpy, and nothing left over from the test before."""

import os

import brian2
import numpy as np
import pytest
from brian2.devices.device import reinit_devices, runtime_device
from hypothesis import settings

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)  # pytest-xdist already uses the cores

brian2.BrianLogger.log_level_error()
brian2.prefs.codegen.target = "numpy"

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def fresh_start():
    """Every test starts with Brian2 as after its import (but on numpy) and from the same seeds."""
    if brian2.get_device() is not runtime_device:
        reinit_devices()
        brian2.set_device("runtime")
    brian2.prefs.codegen.target = "numpy"
    brian2.defaultclock.dt = 0.1 * brian2.ms
    brian2.start_scope()
    brian2.seed(0)
    np.random.seed(0)
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture
def script(tmp_path):
    """Write a script, or another file beside it, and return its path."""

    def write(text, name="script.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
