"""``brianbridge compare``: can this script be bridged, and does the surrogate agree with Brian2."""

import argparse
from pathlib import Path

from brianbridge.cli.answers import (
    BAD_INPUT,
    BUG,
    FINE,
    NEGATIVE,
    REFUSED,
    SCRIPT_FAILED,
    Answer,
    Problem,
    show_traceback,
)
from brianbridge.cli.tables import table

HELP = "can brianbridge train the networks of this script? compare them with Brian2, step by step"
DESCRIPTION = """\
Executes a Brian2 script, and takes the steps of its runs both in Brian2 and in brianbridge, with the same
random numbers. They agree when no spike falls into another step and no state variable differs by more than
1e-9 of its range. What the script does between its runs, it does with Brian2's results; after as many steps
as are to be compared, it is not continued."""
EXAMPLE = """\
  brianbridge compare my_network.py
  brianbridge compare my_network.py --steps 5000 --json
  brianbridge compare my_network.py -- --neurons 100      (what follows -- is for the script)"""
STATUS = {"agree": FINE, "differ": NEGATIVE, "refused": REFUSED, "failed": SCRIPT_FAILED, "error": BUG}


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("script", metavar="SCRIPT", help="a Python script that runs a Brian2 network")
    parser.add_argument(
        "--steps",
        metavar="N",
        type=_positive,
        help="time steps to compare, of all runs together (default: at most 1000, within a minute)",
    )
    parser.add_argument(
        "--lockstep",
        action="store_true",
        help="restart from Brian2's state at every step, for chaotic networks",
    )


def carry_out(arguments):
    """Compare, and say what was seen."""
    path = Path(arguments.script)
    _check_file(path)
    from brian2 import BrianLogger

    from brianbridge.comparison.verdict import compare_script

    BrianLogger.log_level_error()  # also for what is logged when the script's objects are deleted at exit
    try:
        verdict = compare_script(path, arguments.steps, lockstep=arguments.lockstep, argv=arguments.rest)
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror or error}", BAD_INPUT) from None
    if verdict.error is not None:
        show_traceback(verdict.error)
    return Answer(verdict.document(), _text(verdict), STATUS[verdict.verdict])


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one step is needed")
    return number


def _check_file(path):
    if not path.is_file():
        raise Problem(f"there is no file {path}", BAD_INPUT)
    if path.suffix == ".ipynb":
        remedy = f"make a script of it with: jupyter nbconvert --to script {path}"
        raise Problem(f"{path} is a notebook; {remedy}", BAD_INPUT)


def _text(verdict):
    comparison = verdict.comparison
    parts = [_runs(verdict), _spikes(comparison), _states(comparison)]
    parts.append("\n".join(_refusal(refusal, verdict.made) for refusal in verdict.refusals))
    parts += ["\n".join(verdict.notes), verdict.message]
    return "\n\n".join(part for part in parts if part)


def _runs(verdict):
    runs = verdict.comparison.runs
    rows = [
        (number, place or "", run.steps, f"{run.dt * 1e3:g} ms", run.spikes, "yes" if run.agrees else "no")
        for number, (run, place) in enumerate(zip(runs, verdict.places, strict=True), 1)
    ]
    return table(("run", "called in", "steps", "dt", "spikes", "agrees"), rows) if len(rows) > 1 else ""


def _spikes(comparison):
    rows = [
        (name, obj.n, "spikes" if event == "spike" else event, e.brian2, e.surrogate, e.differing)
        for name, obj in comparison.objects.items()
        for event, e in obj.events.items()
    ]
    heading = ("object", "neurons", "event", "in Brian2", "in brianbridge", "differing bins")
    return table(heading, rows) if rows else ""


def _states(comparison):
    rows = [
        (f"{name}.{variable}", state.difference, state.unit, state.relative)
        for name, obj in comparison.objects.items()
        for variable, state in obj.states.items()
    ]
    return table(("state variable", "largest difference", "", "of its range"), rows) if rows else ""


def _refusal(refusal, made):
    place = made.get(refusal.object)
    where = f"{refusal.object} ({place})" if place else refusal.object
    return f"- {where}: {refusal.construct}\n    -> {refusal.remedy}"
