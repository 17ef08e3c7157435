"""``brianbridge reproduce``: carry out a report's checks again and compare its numbers."""

from pathlib import Path

from brianbridge.cli.answers import BAD_INPUT, BUG, FINE, NEGATIVE, Answer, Problem
from brianbridge.cli.tables import table

HELP = "run the checks of a report again and compare every number"
DESCRIPTION = """\
Reads the manifest in a report's JSON, carries the same checks out again, and compares all numbers (to 1e-9
of each). The trained network is looked for where the manifest says, and beside the report."""
EXAMPLE = """\
  brianbridge reproduce check-trained/report.json
  brianbridge reproduce report.json --trained network.safetensors --json"""
MOST = 12


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("report", metavar="REPORT.json", help="the JSON beside a report's page")
    parser.add_argument("--trained", metavar="FILE", type=Path, help="the trained network, if it has moved")


def carry_out(arguments):
    """Check again, and list what is not the same."""
    from brian2 import BrianLogger

    from brianbridge.checks import CheckedTaskError, CheckOptionError, reproduce
    from brianbridge.checks.reproduction import ReportFileError
    from brianbridge.trained.network import TrainedFileError

    BrianLogger.log_level_error()
    try:
        seen = reproduce(arguments.report, arguments.trained)
    except (ReportFileError, TrainedFileError, CheckOptionError, CheckedTaskError) as error:
        raise Problem(str(error), BAD_INPUT) from None
    keys = "place", "in the report", "now"
    document = {
        "agrees": seen.agrees,
        "numbers": seen.numbers,
        "differences": [dict(zip(keys, row)) for row in seen.differences],
        "changed": [dict(zip(keys, row)) for row in seen.changed],
    }
    errors = seen.report.data.get("errors", {})
    document |= {"errors": errors} if errors else {}
    status = BUG if errors else FINE if seen.agrees else NEGATIVE
    return Answer(document, _text(seen), status)


def _text(seen):
    errors = seen.report.data.get("errors", {})
    parts = [
        *(f"an error of brianbridge itself, in {key}: {said}" for key, said in errors.items()),
        _listed("not the same", seen.differences),
        _listed("other than when the report was made", seen.changed),
        f"All {seen.numbers} numbers are the same."
        if seen.agrees
        else f"{len(seen.differences)} of {seen.numbers} numbers are not the same.",
    ]
    return "\n\n".join(part for part in parts if part)


def _listed(heading, rows):
    if not rows:
        return ""
    shown = [(place, _short(told), _short(now)) for place, told, now in rows[:MOST]]
    more = f"\n... and {len(rows) - MOST} more" if len(rows) > MOST else ""
    return table((heading, "in the report", "now"), shown) + more


def _short(value):
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
