"""Execute a user's Brian2 script, whose runs are carried out by somebody else."""

import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from brian2 import Network, second
from brian2.core.namespace import get_local_namespace
from brian2.units.fundamentalunits import Quantity, check_units

from brianbridge.comparison.places import Place, in_words, place_of_call
from brianbridge.comparison.surroundings import as_main_program

__all__ = ["Enough", "ScriptFailed", "ScriptRun", "execute"]

ELSEWHERE = "The script runs a network in another process, where brianbridge cannot follow"


class ScriptFailed(Exception):
    """A script did not get to its end; says where it failed, in the script's own lines."""


class Enough(Exception):
    """Enough was run: the script is not to be continued."""


@dataclass(frozen=True)
class ScriptRun:
    """A run that a script asks for.

    Attributes
    ----------
    network : brian2.Network
        The magic network, with all visible objects, where the script called `brian2.run`.
    namespace : Mapping
        What Brian2 would look names up in: the run's own ``namespace=``, or the caller's variables.
    duration : Quantity
    reported : dict
        ``report``, ``report_period`` and ``profile``.
    place : Place or None
        Where the script asks for it.
    by_brian2 : callable
        Lets Brian2 carry it out.
    """

    network: Network
    namespace: Mapping
    duration: Quantity
    reported: dict
    place: Place | None
    by_brian2: Callable


def execute(path, carry_out, argv=()):
    """Execute a script as ``python script.py`` would, until it ends or has run enough.

    What the script prints goes to standard error. Everything it changes in this process is put back, except
    Brian2's settings: see `brian2_settings_kept`.

    Parameters
    ----------
    path : Path
        Absolute.
    carry_out : callable
        Called with a `ScriptRun` in place of every run. What it raises arrives in the script as if Brian2 had
        raised it; by raising `Enough` it stops the script.
    argv : sequence of str
        The script's arguments.

    Raises
    ------
    ScriptFailed
        If the script raises an exception, or leaves with another status than 0.
    OSError
        If the file cannot be read.
    """
    source = path.read_bytes()
    stopped, elsewhere = [], mmap.mmap(-1, 1)  # memory that other processes share
    with as_main_program(path, argv) as module, _runs_taken_over(path, carry_out, stopped, elsewhere):
        try:
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
        except KeyboardInterrupt:
            raise
        except SystemExit as error:
            if error.code and not stopped:
                raise ScriptFailed(f"It left with sys.exit({error.code!r}).") from error
        except BaseException as error:  # test tools skip and fail by exceptions that are no Exception
            if not stopped:  # else it was not prepared for being stopped
                raise ScriptFailed(in_words(error, path)) from error
    if elsewhere[0] and not stopped:
        raise ScriptFailed(f"{ELSEWHERE}.")


@contextmanager
def _runs_taken_over(path, carry_out, stopped, elsewhere):
    """Take the place of `Network.run`, which the magic network calls too."""
    original, process = Network.run, os.getpid()

    @check_units(duration=second, report_period=second)
    def run(
        self, duration, report=None, report_period=10 * second, namespace=None, profile=None, level=0
    ):  # the arguments of Network.run
        if os.getpid() != process:
            elsewhere[0] = 1
            raise RuntimeError(ELSEWHERE)
        if stopped:  # something has held up the first SystemExit
            raise SystemExit
        if namespace is None:
            namespace = get_local_namespace(level + 2)
        reported = dict(report=report, report_period=report_period, profile=profile)
        asked = ScriptRun(
            network=self,
            namespace=dict(namespace),
            duration=duration,
            reported=reported,
            place=place_of_call(path),
            by_brian2=lambda: original(self, duration, namespace=namespace, **reported),
        )
        try:
            carry_out(asked)
        except Enough:
            stopped.append(True)
            # passes a script's `except Exception`, and ends a thread without a word
            raise SystemExit from None

    Network.run = run
    try:
        yield
    finally:
        Network.run = original
