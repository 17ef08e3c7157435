"""What a script may change around it while it runs, put back afterwards."""

import logging
import os
import sys
import types
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from brian2 import BrianLogger, prefs

__all__ = ["as_main_program", "brian2_settings_kept"]

devices = import_module("brian2.devices.device")  # in the package, `device` is the active device


@contextmanager
def brian2_settings_kept():
    """Put back Brian2's preferences, default clock and random state.

    Within, Brian2's log messages are kept to errors, and its numpy target is the default: nothing needs to be
    compiled, unless a script asks for it. Whichever device and precision a script asks for, it gets the
    runtime device and double precision.

    Yields
    ------
    list of str
        What a script has asked for and was not given, in words.
    """
    declined = []
    preferences, random_state = dict(prefs.prefs), np.random.get_state()
    dt = devices.runtime_device.defaultclock.dt
    before = list(devices.previous_devices)
    console = BrianLogger.console_handler
    level = console.level if console is not None else None
    if console is not None:
        console.setLevel(logging.ERROR)
    prefs.codegen.target = "numpy"
    prefs.core.stop_on_keyboard_interrupt = False  # else Ctrl+C ends a run, and the script goes on
    try:
        with _on_runtime_device(declined), _in_double_precision(declined):
            yield declined
    finally:
        prefs.prefs.clear()
        prefs.prefs.update(preferences)
        np.random.set_state(random_state)
        devices.previous_devices[:] = before
        devices.runtime_device.defaultclock.dt = dt
        if console is not None:
            console.setLevel(level)


@contextmanager
def _on_runtime_device(declined):
    """Let the script go on with the runtime device, whichever device it chooses."""
    original, runtime = devices._do_set_device, devices.runtime_device
    attributes = dict(vars(runtime))

    def set_device(device, build_on_run=True, **options):
        known = device in devices.all_devices if isinstance(device, str) else True
        if not known or device in ("runtime", runtime):
            original(device, build_on_run, **options)
        else:
            name = device if isinstance(device, str) else type(device).__name__
            _decline(declined, f"chooses the device {name!r}; Brian2's runtime device")
            runtime.build = lambda *args, **kwargs: None  # what was run has been run: nothing to build

    devices._do_set_device = set_device
    try:
        yield
    finally:
        devices._do_set_device = original
        vars(runtime).clear()
        vars(runtime).update(attributes)


@contextmanager
def _in_double_precision(declined):
    """Let the script go on in double precision, whichever it prefers."""
    kind = type(prefs)
    original = kind.__setitem__

    def set_preference(self, name, value):
        if name == "core.default_float_dtype" and value in (np.float32,):
            _decline(declined, f"sets prefs.{name} to single precision; double precision")
        else:
            original(self, name, value)

    kind.__setitem__ = set_preference
    try:
        yield
    finally:
        kind.__setitem__ = original


def _decline(declined, what):
    note = f"The script {what} was used in its place."
    if note not in declined:
        declined.append(note)


@contextmanager
def as_main_program(path, argv):
    """Surroundings in which a script finds itself when it is started with ``python``, without a screen.

    Parameters
    ----------
    path : Path
        Absolute.
    argv : sequence of str

    Yields
    ------
    module
        A fresh ``__main__``.
    """
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    module.__builtins__ = __builtins__
    folder, modules = os.getcwd(), dict(sys.modules)
    search, arguments, hook, figures = list(sys.path), sys.argv, sys.excepthook, set(plt.get_fignums())
    sys.modules["__main__"] = module
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path), *argv]
    os.chdir(path.parent)
    try:
        with _printing_to_stderr(), _without_screen(), warnings.catch_warnings(), np.errstate():
            yield module
    finally:
        os.chdir(folder)
        sys.argv, sys.path[:], sys.excepthook = arguments, search, hook
        sys.modules["__main__"] = modules["__main__"]
        _forget_modules_of(path.parent, known=modules)
        for number in set(plt.get_fignums()) - figures:
            plt.close(number)


@contextmanager
def _printing_to_stderr():
    """Also for programs that the script starts and for compiled code, which know nothing of `sys.stdout`."""
    sys.stdout.flush()
    sys.stderr.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    # a stream of its own, which a script may close, and to which what it leaves behind may go on writing
    stream = open(os.dup(2), "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    try:
        with redirect_stdout(stream), redirect_stderr(stream):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


@contextmanager
def _without_screen():
    """Draw on matplotlib's Agg back end, whichever the script asks for."""
    backend, use, switch = matplotlib.get_backend(), matplotlib.use, plt.switch_backend
    plt.switch_backend("Agg")
    matplotlib.use = plt.switch_backend = lambda *args, **kwargs: None
    try:
        yield
    finally:
        matplotlib.use, plt.switch_backend = use, switch
        if backend.lower() != "agg":
            plt.switch_backend(backend)


def _forget_modules_of(folder, known):
    """Modules beside the script: another script may have others of the same name."""
    for name, module in list(sys.modules.items()):
        if name in known or name.partition(".")[0] == "brianbridge":
            continue
        file = getattr(module, "__file__", None) or ""
        if file.startswith(f"{folder}{os.sep}") and "site-packages" not in file:
            del sys.modules[name]
