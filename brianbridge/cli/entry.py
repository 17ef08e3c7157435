"""Entry point: parse, carry out, print; every outcome has its exit status."""

import argparse
import json
import os
import sys

import brianbridge
from brianbridge.cli import check, compare, models, perturb, reproduce, show, task, timescales
from brianbridge.cli.answers import BUG, FINE, USAGE, Problem, show_traceback
from brianbridge.cli.visible_text import visible, visible_json
from brianbridge.termination import cleaned_up

__all__ = ["main"]

COMMANDS = (check, compare, models, perturb, reproduce, show, task, timescales)
STATUSES = """\
exit status:
  0   fine
  1   the answer is negative: brianbridge and Brian2 differ, a check fails, a number is not reproduced
  2   the network cannot be bridged
  3   the script fails, or runs no network
  64  wrong usage
  65  a file that cannot be used
  70  an error of brianbridge itself
  130 interrupted by Ctrl-C
  143 ended by SIGTERM

brianbridge COMMAND --help shows an example of each command."""


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong, where argparse would exit with status 2."""

    def error(self, message):
        raise Problem(f"{message}\n{self.format_usage().strip()}", USAGE)


def main(arguments=None):
    """Carry out one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the command line.

    Returns
    -------
    int
        The exit status.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    given, rest = _split(given)
    as_json = "--json" in given
    try:
        chosen = _parser().parse_args(given)
        chosen.rest = rest
        if rest and not chosen.takes_rest:
            raise Problem(f"{chosen.command} takes no arguments after --", USAGE)
        with cleaned_up():
            answer = chosen.carry_out(chosen)
        print(_json(answer.document) if chosen.json else visible(answer.text))
        sys.stdout.flush()
        return answer.status
    except SystemExit as end:  # argparse, after --help and --version
        if isinstance(end.code, int) and end.code > 128:  # a signal
            return _complain("terminated", end.code, as_json)
        return end.code or FINE
    except Problem as problem:
        return _complain(str(problem), problem.status, as_json)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return _complain("interrupted", 130, as_json)
    except Exception as error:
        return _complain(_bug(error), BUG, as_json)


def _split(arguments):
    """Our own arguments, and those after ``--``."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:place], arguments[place + 1 :]


def _parser():
    parser = _Parser(
        prog="brianbridge",
        description=brianbridge.__doc__,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brianbridge {brianbridge.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=f"example:\n{module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.set_defaults(carry_out=module.carry_out, takes_rest=module is compare)
    return parser


def _json(document):
    from brianbridge.report.plain_json import plain

    text = json.dumps(plain(document, "the answer"), allow_nan=False, ensure_ascii=False, indent=1)
    return visible_json(text)


def _complain(message, status, as_json):
    print(f"brianbridge: {visible(message)}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message}))
    return status


def _bug(error):
    show_traceback(error)
    return (
        f"an error of brianbridge itself ({type(error).__name__}: {' '.join(str(error).split())}). "
        "Please report it, with what BRIANBRIDGE_DEBUG=1 in the environment adds to this line."
    )
