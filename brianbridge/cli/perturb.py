"""``brianbridge perturb``: what trained networks answer while something is done to them."""

from textwrap import indent

from brianbridge.cli.answers import BAD_INPUT, USAGE, Answer, Problem
from brianbridge.cli.perturbation_text import ACTIONS, SELECTIONS, read_action, read_selection
from brianbridge.cli.pictures import check_picture, save_picture
from brianbridge.cli.tables import table

HELP = "perturb trained networks during an epoch of their task"
DESCRIPTION = f"""\
Simulates trained networks (.safetensors) without and with a perturbation, the same trials with the same
noise, and counts correct, incorrect and missing responses: per network and pooled, with 95 % intervals
and tests.

actions:
{indent(ACTIONS, "  ")}

selections:
{indent(SELECTIONS, "  ")}"""
EXAMPLE = """\
  brianbridge perturb trained.safetensors --epoch sample --action 'lesion cells' --select inhibitory
  brianbridge perturb networks/*.safetensors --epoch sample delay --action 'clamp cells.v=-100*mV' \\
      --select 'tau_m < median' --trials 200 --device cpp_standalone --plot clamp.pdf --json"""


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("trained", metavar="TRAINED", nargs="+", help="files of trained networks")
    parser.add_argument("--action", metavar="A", required=True, help="what is done")
    parser.add_argument("--select", metavar="S", help="to which neurons or synapses (default: all)")
    parser.add_argument(
        "--epoch",
        metavar="E",
        nargs="+",
        help="during which epochs, one at a time (default: the whole trial)",
    )
    parser.add_argument("--trials", type=int, default=100, help="of each network (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of trials and noise (default: 0)")
    parser.add_argument(
        "--device", default="runtime", help="runtime, cpp_standalone, cuda_standalone, surrogate"
    )
    parser.add_argument(
        "--together", type=int, default=1, help="trials side by side, on the runtime (default: 1)"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the outcomes: png, pdf or svg")


def carry_out(arguments):
    """Simulate and count."""
    from brian2 import BrianLogger

    from brianbridge.trained.network import Trained, TrainedFileError

    BrianLogger.log_level_error()
    try:
        where = read_selection(arguments.select) if arguments.select else None
        action = read_action(arguments.action, where)
    except ValueError as error:
        raise Problem(str(error), USAGE) from None
    try:
        networks = {file: Trained.load(file) for file in arguments.trained}
    except (TrainedFileError, OSError) as error:
        raise Problem(str(error), BAD_INPUT) from None
    if arguments.plot:
        check_picture(arguments.plot)
    found = _simulated(networks, action, arguments)
    document = {"perturbation": action.label, "networks": found.rows, "pooled": found.pooled}
    document |= {"plot": arguments.plot} if arguments.plot else {}
    answer = Answer(document, _text(found))
    try:
        if arguments.plot:
            save_picture(found.figure(), arguments.plot)
    except Problem as problem:
        return answer.despite(problem)
    return answer


def _simulated(networks, action, arguments):
    from brian2.units.fundamentalunits import DimensionMismatchError

    from brianbridge.perturb import outcomes
    from brianbridge.simulation.standalone import DeviceMissing

    try:
        return outcomes(
            networks,
            None,
            action,
            arguments.trials,
            epochs=arguments.epoch,
            seed=arguments.seed,
            device=arguments.device,
            together=arguments.together,
            progress=False,
        )
    except (ValueError, DimensionMismatchError, DeviceMissing) as error:
        raise Problem(str(error), USAGE) from None
    except OSError as error:
        raise Problem(error.strerror or str(error), BAD_INPUT) from None


def _text(found):
    heading = ("perturbation", "epoch", "correct", "95 % interval", "incorrect", "no response")
    pooled = [(*_start(row), row["p_signed_rank"], row["p_rank_sum"]) for row in found.pooled]
    networks = [
        (row["network"], *_start(row), row["p_trials"], _or_blank(row["p_trials_holm"])) for row in found.rows
    ]
    parts = [table(("network", *heading, "P (same trials)", "P (Holm)"), networks)]
    if len(found.networks) > 1:
        parts.append("pooled:\n" + table((*heading, "P (signed rank)", "P (rank sum)"), pooled))
    lost = sum(row["diverged"] for row in found.rows)
    if lost:
        parts.append(f"the network diverged in {lost} trials, which count as incorrect")
    return "\n\n".join(parts)


def _or_blank(value):
    return value if value == value else ""


def _start(row):
    low, high = row["interval"]
    return (
        row["perturbation"],
        row["epoch"],
        row["correct"],
        f"{low:.2f} to {high:.2f}",
        row["incorrect"],
        row["no response"],
    )
