"""Execute a user's Brian2 script up to its first run."""

import os
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from brian2 import Network, second
from brian2.core.base import BrianObjectException
from brian2.core.magic import MagicNetwork
from brian2.core.namespace import get_local_namespace
from brian2.units.fundamentalunits import Quantity, check_units

from brianbridge.comparison.surroundings import as_main_program

__all__ = ["ScriptFailed", "Started", "in_words", "run_until_first_run"]

devices = import_module("brian2.devices.device")  # in the package, `device` is the active device

MOST_FRAMES = 5


class ScriptFailed(Exception):
    """A script did not get as far as running a network; says where it failed, in the script's own lines."""


@dataclass(frozen=True)
class Started:
    """What a script was about to run.

    Attributes
    ----------
    network : brian2.Network
        With all visible objects, where the script called `brian2.run`.
    namespace : dict
        What Brian2 would look names up in: the run's own ``namespace=``, or the caller's variables.
    duration : Quantity
    devices : tuple of str
        Devices other than the runtime that the script had chosen. They were not used.
    """

    network: Network
    namespace: dict
    duration: Quantity
    devices: tuple = ()


class _Reached(BaseException):
    """The first run. No `Exception`, so that a script's own ``except Exception`` lets it pass."""


def run_until_first_run(path, argv=()):
    """Execute a script as ``python script.py`` would, and stop at its first run.

    What the script prints goes to standard error. Everything it changes in this process is put back, except
    Brian2's settings, which the run would depend on: see `brian2_settings_kept`.

    Parameters
    ----------
    path : str or Path
    argv : sequence of str
        The script's arguments.

    Returns
    -------
    Started

    Raises
    ------
    ScriptFailed
        If the script fails, exits or ends before it runs a network for longer than 0 s.
    OSError
        If the file cannot be read.
    """
    path = Path(path).resolve()
    source = path.read_bytes()
    reached, chosen = [], []
    ending = "It ended, and no run(...) of a network was reached."
    with as_main_program(path, argv) as module, _stopping_at_run(reached), _on_runtime_device(chosen):
        try:
            exec(compile(source, str(path), "exec"), vars(module))
        except _Reached:
            pass
        except SystemExit as error:
            ending = f"It left with sys.exit({'' if error.code is None else repr(error.code)})."
        except Exception as error:
            ending = in_words(error, path)
    if not reached:
        raise ScriptFailed(f"{path.name} runs no network. {ending}")
    network, namespace, duration = reached[0]
    return Started(network, namespace, duration, tuple(dict.fromkeys(chosen)))


# -- the run ------------------------------------------------------------------------------------------


@contextmanager
def _stopping_at_run(reached):
    """Take the place of `Network.run`, which the magic network calls too."""
    original, process = Network.run, os.getpid()

    @check_units(duration=second, report_period=second)
    def run(
        self, duration, report=None, report_period=10 * second, namespace=None, profile=None, level=0
    ):  # the arguments of Network.run
        if os.getpid() != process:
            raise RuntimeError("the network is run in another process, where brianbridge cannot follow")
        if duration == 0 * second:
            return  # some scripts prepare their network so; nothing is simulated
        if duration < 0 * second:
            original(self, duration)  # complains
        if namespace is None:
            namespace = get_local_namespace(level + 2)
        reached.append((_network(self), dict(namespace), duration))
        raise _Reached

    Network.run = run
    try:
        yield
    finally:
        Network.run = original


def _network(network):
    """The network itself; for the magic network, which changes with every run, one of the same objects."""
    if not isinstance(network, MagicNetwork):
        return network
    active = {id(obj) for obj in network.objects if obj.active}
    network.check_dependencies()  # deactivates what is connected to something that is not visible
    contained = {id(part) for obj in network.objects for part in obj.contained_objects}
    own = Network()
    for obj in network.objects:
        obj._network = None  # else Brian2 takes it for an object of a network that has run
        if id(obj) not in contained and (obj.active or id(obj) not in active):
            own.add(obj)
    own.schedule = network.schedule
    return own


@contextmanager
def _on_runtime_device(chosen):
    """Let the script go on with the runtime device, whichever device it chooses."""
    original = devices._do_set_device

    def set_device(device, build_on_run=True, **options):
        known = device in devices.all_devices if isinstance(device, str) else True
        if not known or device in ("runtime", devices.runtime_device):
            original(device, build_on_run, **options)
        else:
            chosen.append(device if isinstance(device, str) else type(device).__name__)

    devices._do_set_device = set_device
    try:
        yield
    finally:
        devices._do_set_device = original


# -- failures -----------------------------------------------------------------------------------------


def in_words(error, path=None):
    """An exception of Brian2 or of a script in a few words.

    Parameters
    ----------
    error : Exception
    path : Path, optional
        The script: the lines of it and of the modules beside it that led to the error are quoted.

    Returns
    -------
    str
    """
    if isinstance(error, SyntaxError) and (error.filename or "").endswith(".py"):
        where = f"{Path(error.filename).name}, line {error.lineno}"
        return f"{where} is not valid Python: {error.msg}.\n    {(error.text or '').strip()}"
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # it would be in quotes
    text = f"{type(error).__name__}: {said}" if str(said) else type(error).__name__
    if isinstance(error, BrianObjectException) and error.__cause__ is not None:
        name = error._brian_objname
        while isinstance(error.__cause__, BrianObjectException):  # Brian2 wraps some complaints twice
            error = error.__cause__
        text = f"Brian2 complains about {name!r}: {in_words(error.__cause__)}"
    frames = [] if path is None else _frames(error, path)
    return "\n".join([text.rstrip(" .\n") + ".", *frames[-MOST_FRAMES:]])


def _frames(error, path):
    """The script's lines in a traceback, and those of modules beside it."""
    return [
        f"    {Path(frame.filename).name}, line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(f"{path.parent}{os.sep}")
        and not {"site-packages", "brianbridge"} & set(Path(frame.filename).parts[len(path.parent.parts) :])
    ]
