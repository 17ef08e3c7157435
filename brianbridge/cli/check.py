"""``brianbridge check``: the ladder of checks on a trained network."""

import argparse
from pathlib import Path

from brianbridge.cli.answers import BAD_INPUT, BUG, FINE, NEGATIVE, USAGE, Answer, Problem
from brianbridge.cli.tables import table

HELP = "check a trained network: is it in Brian2 what it is said to be, and do its claims survive?"
DESCRIPTION = """\
Runs the ladder of checks on a trained network and writes report.html and report.json. Quick takes a few
minutes for a hundred neurons and says what it leaves out. What is finished is kept in the folder: an
interrupted check goes on where it was."""
EXAMPLE = """\
  brianbridge check trained.safetensors
  brianbridge check trained.safetensors --ladder full --out check/ --margin performance=0.05
  brianbridge check trained.safetensors --dt 1,0.5,0.1 --json"""


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument(
        "trained", metavar="TRAINED", help="a .safetensors file that fit(...).save() has written"
    )
    parser.add_argument(
        "--ladder",
        choices=("quick", "full"),
        default="quick",
        help="all checks, or those that take minutes (default: quick)",
    )
    parser.add_argument(
        "--only", metavar="CHECK,...", help="only these checks, such as transcription,performance"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: check-NAME, in the present folder")
    parser.add_argument(
        "--dt", metavar="MS,...", type=_steps, help="time steps in ms for the task's performance"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of trials and noise (default: 1)")
    parser.add_argument(
        "--margin",
        metavar="CHECK=M",
        type=_margin,
        action="append",
        default=[],
        help="another margin than the default one; the report says so",
    )
    parser.add_argument(
        "--untrained",
        metavar="FILE",
        help="the network before its training, as one more control: another .safetensors file",
    )
    parser.add_argument(
        "--fine-tune",
        metavar="UPDATES",
        type=int,
        default=0,
        help="train the network on at the finest time step, and show what that does (default: 0)",
    )


def carry_out(arguments):
    """Check, write the report, and tell the verdicts."""
    from brian2 import BrianLogger, ms

    from brianbridge.checks import CheckedTaskError, CheckOptionError, check
    from brianbridge.file_locks import InUse
    from brianbridge.trained.network import Trained, TrainedFileError

    BrianLogger.log_level_error()
    source = Path(arguments.trained)
    out = arguments.out or Path(f"check-{source.stem}")
    try:
        report = check(
            source,
            ladder=arguments.ladder,
            only=None if arguments.only is None else arguments.only.split(","),
            dt=None if arguments.dt is None else arguments.dt * ms,
            margins=dict(arguments.margin),
            untrained=None if arguments.untrained is None else Trained.load(arguments.untrained).model,
            out=out,
            seed=arguments.seed,
            fine_tune=arguments.fine_tune,
        )
    except TrainedFileError as error:
        raise Problem(str(error), BAD_INPUT) from None
    except CheckOptionError as error:
        raise Problem(str(error), USAGE) from None
    except (CheckedTaskError, InUse) as error:
        raise Problem(str(error), BAD_INPUT) from None
    except OSError as error:
        raise Problem(error.strerror or str(error), BAD_INPUT) from None
    document = report.as_dict() | {"html": str(out / "report.html"), "out": str(out)}
    return Answer(document, _text(report, out), status_of(report))


def status_of(report):
    """Exit status: an error of ours counts more than a check that fails."""
    if report.data.get("errors"):
        return BUG
    return NEGATIVE if report.failures else FINE


def _text(report, out):
    rows = [(check.number, check.name, check.verdict, check.value or check.reason) for check in report.checks]
    return "\n".join(
        [table(("", "check", "verdict", "found"), rows), "", report.summary, f"{out / 'report.html'}"]
    )


def _steps(text):
    try:
        steps = [float(part) for part in text.split(",")]
    except ValueError:
        steps = []
    if not steps or min(steps) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of time steps in ms, such as 1,0.5,0.1")
    return steps


def _margin(text):
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no margin, such as performance=0.05") from None
