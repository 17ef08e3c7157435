"""What holds for every test: one thread, Brian2 on numpy, and nothing left over from the test before."""

import gc
import os
from pathlib import Path

import brian2
import numpy as np
import pytest
from brian2.core.names import Nameable
from brian2.devices.device import reinit_devices, runtime_device
from hypothesis import settings

from brianbridge.garbage_collection import spared_from_collection
from brianbridge.kernels import compiler

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)  # pytest-xdist already uses the cores

# Many small models, each compiled once: quickly, and kept from one run of the tests to the next.
compiler.OPTIMISATION = "-O0"
os.environ["BRIANBRIDGE_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache")

brian2.BrianLogger.log_level_error()
brian2.prefs.codegen.target = "numpy"

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def imports():
    with spared_from_collection():
        yield


@pytest.fixture(autouse=True)
def fresh_start(imports):
    """Every test starts with Brian2 as after its import (but on numpy) and from the same seeds."""
    gc.collect()
    gc.freeze()
    if brian2.get_device() is not runtime_device:
        reinit_devices()
        brian2.set_device("runtime")
    brian2.prefs.codegen.target = "numpy"
    brian2.defaultclock.dt = 0.1 * brian2.ms
    brian2.start_scope()
    Nameable.__instances__().clear()  # names count on where objects of a test before are still alive
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
