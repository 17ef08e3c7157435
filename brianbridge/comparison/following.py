"""Carry out the runs of a script one after another, each in Brian2 and in a surrogate of its own."""

import gc
import time

from brian2 import second

from brianbridge.comparison.agreement import Comparison
from brianbridge.comparison.places import places_of_objects
from brianbridge.comparison.script import Enough
from brianbridge.comparison.side_by_side import Brian2Failed, compare
from brianbridge.model.refusals import Refused

__all__ = ["Follower"]


class Follower:
    """Takes the runs of a script, until enough steps were compared or one cannot be.

    Before each run the network is captured anew: whatever the script has assigned, connected, restored or
    switched off before is part of both sides.

    Parameters
    ----------
    path : Path
        The script.
    steps : int
        Steps to compare in total.
    seconds : float or None
        After so much time of comparing, the script is not continued either.
    lockstep : bool

    Attributes
    ----------
    comparison : Comparison
        Of all runs so far.
    places : list of Place or None
        Where the script asks for each of them.
    last : Place or None
        Where it asks for the latest run, which may have failed.
    refused : Refused or None
        Why the latest run cannot be bridged.
    made : dict of str to Place
        Where the refused objects were made.
    failure : Exception or None
        With which Brian2 has refused the latest run.
    error : Exception or None
        An error of ours in the latest run.
    empty : bool
        Whether a network without objects was run.
    """

    def __init__(self, path, steps, seconds=None, *, lockstep=False):
        self.path, self.left, self.seconds = path, steps, seconds
        self.comparison = Comparison(lockstep=lockstep)
        self.places, self.last = [], None
        self.refused, self.made = None, {}
        self.failure = self.error = None
        self.empty = False

    def __call__(self, asked):
        """Carry out one run of the script.

        Parameters
        ----------
        asked : ScriptRun

        Raises
        ------
        Enough
            If the script is not to be continued.
        Exception
            What Brian2 raises.
        """
        self.last, self.failure = asked.place, None
        self.empty |= not asked.network.objects
        if not asked.network.objects or asked.duration <= 0 * second:
            asked.by_brian2()  # nothing is simulated; some scripts prepare their network so
            return
        objects = _with_contained(asked.network.objects)
        try:
            self._compare(asked)
        except Brian2Failed as failed:
            self.failure = failed.error
        except Refused as refused:
            self.refused = refused
            self.made = places_of_objects((r.object for r in refused.refusals), objects, self.path)
            raise Enough from None
        except Exception as error:
            self.error = error
            raise Enough from None
        if self.failure is not None:
            raise self.failure
        gc.collect()  # the surrogate's objects have names, which the script's next objects might get
        if not self.left or self.out_of_time:
            raise Enough

    @property
    def out_of_time(self):
        return any(run.out_of_time for run in self.comparison.runs)

    def _compare(self, asked):
        began = time.monotonic()
        seen = compare(
            asked.network,
            asked.namespace,
            self.left,
            duration=asked.duration,
            seconds=self.seconds,
            lockstep=self.comparison.lockstep,
            seed=len(self.places) + 1,
            **asked.reported,
        )
        if seen.runs:
            self.comparison.add(seen)
            self.places.append(asked.place)
            self.left -= seen.steps
        if self.seconds is not None:
            self.seconds = max(self.seconds - (time.monotonic() - began), 0.0)


def _with_contained(objects):
    found = set(objects)
    for obj in objects:
        found |= _with_contained(obj.contained_objects)
    return found
