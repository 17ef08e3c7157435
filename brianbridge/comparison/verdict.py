"""Compare what a script runs: one verdict for every way in which that can end."""

from dataclasses import dataclass, field
from pathlib import Path

from brianbridge.comparison.agreement import Comparison
from brianbridge.comparison.following import Follower
from brianbridge.comparison.script import ScriptFailed, execute
from brianbridge.comparison.surroundings import brian2_settings_kept
from brianbridge.garbage_collection import spared_from_collection

__all__ = ["MOST_STEPS", "Verdict", "compare_script"]

MOST_STEPS = 1000  # unless asked for more
MOST_SECONDS = 60  # likewise
EMPTY = (
    "The script runs an empty network: no Brian2 object is visible where run(...) is called. Objects in "
    "lists or of another function have to be added to a Network."
)


@dataclass(frozen=True)
class Verdict:
    """The answer for one script.

    Attributes
    ----------
    verdict : {'agree', 'differ', 'refused', 'failed', 'error'}
        The surrogate takes Brian2's steps in all runs; it does not; the network of a run cannot be bridged;
        the script runs no network, or none that Brian2 takes; brianbridge itself fails.
    message : str
        The same in a sentence.
    comparison : Comparison
        The numbers of the runs that were compared; there may be none.
    places : tuple of Place or None
        Where the script asks for these runs.
    refusals : tuple of Refusal
    made : dict of str to Place
        Where the refused objects were made.
    notes : tuple of str
        What else the user should know of the comparison.
    error : Exception or None
        The error of brianbridge itself.
    """

    verdict: str
    message: str
    comparison: Comparison = field(default_factory=Comparison)
    places: tuple = ()
    refusals: tuple = ()
    made: dict = field(default_factory=dict)
    notes: tuple = ()
    error: Exception | None = None

    def document(self):
        """Everything as plain dicts and lists, for JSON. Infinite differences stay infinite."""
        comparison = self.comparison
        return {
            "verdict": self.verdict,
            "message": self.message,
            "notes": list(self.notes),
            "steps": comparison.steps,
            "lockstep": comparison.lockstep,
            "runs": [
                {
                    "steps": run.steps,
                    "steps_of_whole_run": run.asked,
                    "dt": {"value": run.dt, "unit": "s"},
                    "spikes": run.spikes,
                    "agrees": run.agrees,
                    **_place(place),
                }
                for run, place in zip(comparison.runs, self.places, strict=True)
            ],
            "objects": {name: _object(obj) for name, obj in comparison.objects.items()},
            "refusals": [
                {
                    "object": refusal.object,
                    "construct": refusal.construct,
                    "remedy": refusal.remedy,
                    **_place(self.made.get(refusal.object)),
                }
                for refusal in self.refusals
            ],
        }


def _place(place):
    return {"file": place.file if place else None, "line": place.line if place else None}


def _object(agreement):
    """One object: events and states by name, each with what the verdict depends on."""
    return {
        "type": agreement.kind,
        "n": agreement.n,
        "agrees": agreement.agrees,
        "events": {
            name: {
                "brian2": event.brian2,
                "surrogate": event.surrogate,
                "differing_bins": event.differing,
                "first_differing_step": event.first,
            }
            for name, event in agreement.events.items()
        },
        "states": {
            name: {
                "largest_difference": state.difference,
                "unit": state.unit,
                "relative_to_range": state.relative,
            }
            for name, state in agreement.states.items()
        },
    }


def compare_script(path, steps=None, *, lockstep=False, argv=()):
    """Execute a script, and compare Brian2 with the surrogate in all of its runs.

    Parameters
    ----------
    path : str or Path
    steps : int, optional
        Time steps to compare in total, each of the shortest clock of its network; the script is not continued
        after them. Default: 1000, or as many as can be compared in a minute.
    lockstep : bool
        Restart the surrogate from Brian2's state at every step.
    argv : sequence of str
        The script's arguments.

    Returns
    -------
    Verdict

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    path = Path(path).resolve()
    follower = Follower(path, steps or MOST_STEPS, None if steps else MOST_SECONDS, lockstep=lockstep)
    failed = None
    with brian2_settings_kept() as declined, spared_from_collection():
        try:
            execute(path, follower, argv)
        except ScriptFailed as error:
            failed = error
    return _verdict(follower, failed, tuple(declined))


def _verdict(follower, failed, notes):
    """What the runs say comes first, then why there are no more of them."""
    comparison, refused = follower.comparison, follower.refused
    notes = (*notes, *_notes(follower, failed))
    if not comparison.agrees:
        verdict, message = "differ", _differs(follower)
    elif follower.error is not None:
        verdict, message = "error", _broken(follower)
    elif refused is not None:
        verdict, message = "refused", _refused(follower)
    elif not comparison.runs:
        verdict, message = "failed", _nothing_run(follower, failed)
    else:
        verdict, message = "agree", f"brianbridge agrees with Brian2 over {_extent(comparison)}."
    return Verdict(
        verdict,
        message,
        comparison,
        places=tuple(follower.places),
        refusals=refused.refusals if refused is not None else (),
        made=follower.made,
        notes=notes,
        error=follower.error,
    )


def _notes(follower, failed):
    comparison = follower.comparison
    if not comparison.runs:
        return
    if not follower.left or follower.out_of_time:
        last, number = comparison.runs[-1], len(comparison.runs)
        which = f"Run {number}" if number > 1 else "The script's first run"
        if last.steps < last.asked:
            how = f"{which} has {last.asked} steps, of which {last.steps} were compared"
        else:
            how = f"The script was stopped after {comparison.steps} steps"
        limit = f", which took {MOST_SECONDS} s" if follower.out_of_time else ""
        yield f"{how}{limit}; more can be compared with --steps."
    if failed is not None:
        yield f"After what was compared, the script fails. {failed}"
    for tie in comparison.ties:
        yield f"By their names alone: {tie}; order= would say so."
    if any("spike" in obj.events for obj in comparison.objects.values()) and not comparison.spikes:
        yield "No neuron spiked in these steps: the comparison says little about synapses."
    if not comparison.agrees and not comparison.lockstep:
        yield "In a chaotic network one bit is enough; --lockstep compares every step by itself."


def _extent(comparison):
    """How much was compared, and how exactly that agrees if it does."""
    counted = f"{_some(comparison.steps, 'step')} and {_some(comparison.spikes, 'spike')}"
    if len(comparison.runs) > 1:
        counted = f"{len(comparison.runs)} runs, {counted}"
    if not comparison.agrees:
        return counted
    return f"{counted}, " + (
        "bit for bit" if comparison.bit_equal else "within 1e-9 of every variable's range"
    )


def _differs(follower):
    comparison = follower.comparison
    names = [name for name, obj in comparison.objects.items() if not obj.agrees]
    first = next(number for number, run in enumerate(comparison.runs) if not run.agrees)
    where = f", first in {_run(first + 1, follower.places[first])}" if len(comparison.runs) > 1 else ""
    return f"brianbridge differs from Brian2 within {_extent(comparison)}{where}: see {', '.join(names)}."


def _refused(follower):
    reasons = f"for {_some(len(follower.refused.refusals), 'reason')}"
    if not follower.comparison.runs:
        return f"brianbridge cannot bridge this network, {reasons}."
    return f"brianbridge cannot bridge {_latest(follower)}, {reasons}; {_before(follower)}."


def _broken(follower):
    said = f"{type(follower.error).__name__}: {' '.join(str(follower.error).split())}"
    before = f" ({_before(follower)})" if follower.comparison.runs else ""
    return (
        f"An error of brianbridge itself in {_latest(follower)}{before}: {said}. Please report it, with the "
        "script and with what BRIANBRIDGE_DEBUG=1 in the environment adds to this line."
    )


def _nothing_run(follower, failed):
    if failed is None and follower.empty:
        return EMPTY
    if follower.failure is not None and failed is not None and failed.__cause__ is follower.failure:
        return f"Brian2 does not run this network. {failed}"
    ending = failed or "It ended, and no run(...) of a network was reached."
    return f"{follower.path.name} runs no network. {ending}"


def _latest(follower):
    return _run(len(follower.places) + 1, follower.last)


def _run(number, place):
    return f"run {number} ({place})" if place else f"run {number}"


def _before(follower):
    before = "runs before agree" if len(follower.comparison.runs) > 1 else "run before agrees"
    return f"the {before} over {_extent(follower.comparison)}"


def _some(count, what):
    return f"{count} {what}{'s' * (count != 1)}"
