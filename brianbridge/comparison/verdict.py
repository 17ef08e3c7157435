"""Compare what a script runs: one verdict for every way in which that can end."""

import re
from dataclasses import dataclass
from pathlib import Path

from brian2 import NeuronGroup, Synapses

from brianbridge.comparison.agreement import Brian2Failed, Comparison, compare
from brianbridge.comparison.script import ScriptFailed, run_until_first_run
from brianbridge.comparison.surroundings import brian2_settings_kept
from brianbridge.model.refusals import Refused

__all__ = ["MOST_STEPS", "Verdict", "compare_script"]

MOST_STEPS = 1000  # unless asked for more
EMPTY = (
    "The script runs an empty network: no Brian2 object is visible where run(...) is called. Objects in "
    "lists or of another function have to be added to a Network."
)


@dataclass(frozen=True)
class Verdict:
    """The answer for one script.

    Attributes
    ----------
    verdict : {'agree', 'differ', 'refused', 'failed'}
        The surrogate takes Brian2's steps; it does not; the network cannot be bridged; the script runs no
        network, or none that Brian2 takes.
    message : str
        The same in a sentence.
    comparison : Comparison or None
        The numbers, where both were run.
    refusals : tuple of Refusal
    lines : dict of str to int
        Line of the script in which a refused object was made.
    notes : tuple of str
        What else the user should know of the comparison.
    """

    verdict: str
    message: str
    comparison: Comparison | None = None
    refusals: tuple = ()
    lines: dict | None = None
    notes: tuple = ()

    def document(self):
        """Everything as plain dicts and lists, for JSON. Infinite differences stay infinite."""
        comparison = self.comparison
        lines = self.lines or {}
        return {
            "verdict": self.verdict,
            "message": self.message,
            "notes": list(self.notes),
            "steps": comparison.steps if comparison else None,
            "dt": {"value": comparison.dt, "unit": "s"} if comparison else None,
            "lockstep": comparison.lockstep if comparison else None,
            "objects": {n: _object(o) for n, o in comparison.objects.items()} if comparison else {},
            "refusals": [
                {
                    "object": refusal.object,
                    "construct": refusal.construct,
                    "remedy": refusal.remedy,
                    "line": lines.get(refusal.object),
                }
                for refusal in self.refusals
            ],
        }


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
    """Execute a script up to its first run, and compare Brian2 with the surrogate over that run.

    Parameters
    ----------
    path : str or Path
    steps : int, optional
        Default: as long as the script's own run, but at most 1000.
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
    with brian2_settings_kept():
        try:
            started = run_until_first_run(path, argv)
        except ScriptFailed as error:
            return Verdict("failed", str(error))
        if not started.network.objects:
            return Verdict("failed", EMPTY)
        notes = _notes(started)
        try:
            asked = steps or min(_steps(started), MOST_STEPS)
            comparison = compare(started.network, started.namespace, asked, lockstep=lockstep)
        except Refused as refused:
            lines = _lines_of_objects(started.network, Path(path).name)
            return _refused(refused, lines, notes)
        except Brian2Failed as error:
            return Verdict("failed", f"Brian2 does not run this network. {error}", notes=notes)
        return _judged(comparison, _steps(started), notes)


def _steps(started):
    """Steps of the script's own run on its shortest clock."""
    groups = [obj for obj in started.network.objects if isinstance(obj, NeuronGroup | Synapses)]
    if not groups:
        return 1  # and it will be refused
    dt = min(group.clock.dt_ for group in groups)
    return max(int(float(started.duration) / dt + 0.5), 1)


def _notes(started):
    return tuple(
        f"The script chooses the device {device!r}; Brian2's runtime device was used in its place."
        for device in started.devices
    )


def _judged(comparison, whole, notes):
    if comparison.steps < whole:
        notes = (*notes, f"The script's first run has {whole} steps; more can be compared with --steps.")
    if any("spike" in obj.events for obj in comparison.objects.values()) and not comparison.spikes:
        notes = (*notes, "No neuron spiked in these steps: the comparison says little about synapses.")
    compared = f"{comparison.steps} steps and {comparison.spikes} spikes"
    if comparison.agrees:
        how = "bit for bit" if comparison.bit_equal else "within 1e-9 of every variable's range"
        return Verdict(
            "agree", f"brianbridge agrees with Brian2 over {compared}, {how}.", comparison, notes=notes
        )
    differing = [name for name, obj in comparison.objects.items() if not obj.agrees]
    message = f"brianbridge differs from Brian2 within {compared}: see {', '.join(differing)}."
    if not comparison.lockstep:
        notes = (*notes, "In a chaotic network one bit is enough; --lockstep compares every step by itself.")
    return Verdict("differ", message, comparison, notes=notes)


def _refused(refused, lines, notes):
    count = len(refused.refusals)
    message = f"brianbridge cannot bridge this network, for {count} reason{'s' * (count > 1)}."
    return Verdict("refused", message, refusals=refused.refusals, lines=lines, notes=notes)


def _lines_of_objects(network, script):
    """Line of the script in which each object was made, as Brian2 noted it."""
    lines = {}
    for obj in network.sorted_objects:
        match = re.search(r"File '(.*)', line (\d+), in", obj._creation_stack)
        if match and Path(match.group(1)).name == script:
            lines[obj.name] = int(match.group(2))
    return lines
