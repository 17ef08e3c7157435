"""What makes the numbers of a report re-runnable."""

import hashlib
import importlib.metadata
import inspect
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
from brian2 import prefs

from brianbridge.checks.checked_task import hash_of, task_entries
from brianbridge.checks.ladder import wanted_rungs
from brianbridge.kernels.compiler import compiler

__all__ = ["manifest_of", "sha256_of_file", "with_threads_of_torch"]

LIBRARIES = ("brianbridge", "brian2", "numpy", "scipy", "sympy", "elephant", "torch", "cython", "safetensors")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def manifest_of(context, ladder, only=None, source=None):
    """Hashes of model, parameters and inputs; seeds, versions, preferences, dt, method, devices and threads.

    Parameters
    ----------
    context : Context
    ladder : str
    only : list of str, optional
    source : path, optional
        The file of the trained network.

    Returns
    -------
    dict
    """
    model, trials = context.model, context.trials
    return {
        "trained": {
            "sha256 of the model with its values": context.trained.hash,
            "file": None if source is None else str(Path(source).resolve()),
            "sha256 of the file": None if source is None else sha256_of_file(source),
            "sha256 of the user's functions": _hashes_of_functions(context.trained.model),
        },
        "in Brian2": {
            "sha256 of the model with its values": model.hash,
            "sha256 of the user's functions": _hashes_of_functions(model),
            "method": {group.name: _text(group.method) for group in model.groups},
            "devices": sorted(
                {
                    device
                    for rung in wanted_rungs(context.sizes.full, only)
                    for device in rung.devices(context.sizes.full)
                }
            ),
            "preferences": _changed_preferences()
            | {
                "codegen.target": str(prefs.codegen.target),
                "codegen.cpp.extra_compile_args_gcc": _text(prefs.codegen.cpp.extra_compile_args_gcc),
                "core.default_float_dtype": np.dtype(prefs.core.default_float_dtype).name,
            },
        },
        "untrained": None if context.untrained is None else context.untrained.hash,
        "parameters sha256": {
            name: hash_of(np.asarray(value)) for name, value in context.trained.values.items()
        },
        "task": task_entries(context.task, trials),
        "inputs sha256": {name: hash_of(value) for name, value in trials.inputs.items()},
        "check": {
            "ladder": ladder,
            "only": only,
            "seed": context.seed,
            "dt (ms)": [dt * 1e3 for dt in context.dts],
            "trials": len(trials),
            "margins": dict(context.margins),
            "fine-tuning (updates)": context.fine_tune,
        },
        "training": {"dt (ms)": context.training_dt * 1e3, **context.trained.manifest.get("training", {})},
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "compilers": {
                "C": _version_of(compiler()),
                "C++": _version_of(tuple(os.environ.get("CXX", "").split()) or ("g++",)),
            },
            "threads": {name: os.environ.get(name, "") for name in THREADS},
        },
    }


def with_threads_of_torch(manifest):
    """The manifest with the number of torch's threads: None where no check has needed torch."""
    torch, machine = sys.modules.get("torch"), manifest["machine"]
    threads = machine["threads"] | {"torch": torch.get_num_threads() if torch else None}
    return manifest | {"machine": machine | {"threads": threads}}


def sha256_of_file(path):
    """Hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _hashes_of_functions(model):
    """By name; None where Python does not know the source. They are no part of a model's own hash."""
    return {name: _hash_of_source(function) for name, function in model.functions.items()}


def _hash_of_source(function):
    own = getattr(function, "pyfunc", function)
    try:
        text = inspect.getsource(own if inspect.isroutine(own) else type(own))
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _changed_preferences():
    """What Brian2's preferences say, where that is not the default; of logging no number depends."""
    found = {}
    for category, (definitions, _) in prefs.pref_register.items():
        for name, definition in definitions.items():
            full = f"{category}.{name}"
            if category != "logging" and prefs[full] != definition.default:
                found[full] = definition.representor(prefs[full])
    return found


@cache
def _version_of(command):
    """First line of what a compiler says of itself; empty if there is none."""
    if not command:
        return ""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.partition("\n")[0].strip()


def _text(value):
    return value if isinstance(value, str) else ", ".join(map(str, value)) if value else ""


def _versions():
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found
