"""``brianbridge timescales``: how long the spikes of a trained network's neurons remember."""

from contextlib import contextmanager
from pathlib import Path

from brianbridge.atomic_files import try_folder
from brianbridge.cli.answers import BAD_INPUT, USAGE, Answer, Problem
from brianbridge.cli.tables import table

HELP = "measure the timescale of each neuron of a trained network"
DESCRIPTION = """\
Simulates the fixation (or another epoch) of a trained network (.safetensors), counts spikes, and fits the
timescale of each neuron: as published, with the rules that include or leave it out, and corrected for few
trials. Tells what fewer trials and simulated neurons of known timescales read."""
EXAMPLE = """\
  brianbridge timescales trained.safetensors
  brianbridge timescales trained.safetensors --trials 400 --dt 0.1 --out timescales/ --json"""


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("trained", metavar="TRAINED", help="file of a trained network")
    parser.add_argument("--task", metavar="NAME", help="a built-in task (default: the network's own)")
    parser.add_argument("--preset", metavar="PRESET", help="a published version of --task")
    parser.add_argument("--trials", type=int, default=200, help="default: 200; published: 50")
    parser.add_argument("--epoch", metavar="E", help="in which spikes are counted (default: the first one)")
    parser.add_argument(
        "--length", type=float, metavar="MS", default=1000, help="of counting (default: 1000)"
    )
    parser.add_argument("--settle", type=float, metavar="MS", default=200, help="before it (default: 200)")
    parser.add_argument("--bin", type=float, metavar="MS", default=50, help="width of a bin (default: 50)")
    parser.add_argument("--dt", type=float, metavar="MS", help="time step (default: that of the training)")
    parser.add_argument("--seed", type=int, default=0, help="of trials and noise (default: 0)")
    parser.add_argument(
        "--device", default="runtime", help="runtime, cpp_standalone, cuda_standalone, surrogate"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write report, table and figure here")


def carry_out(arguments):
    """Simulate, fit and tell."""
    from brian2 import BrianLogger

    from brianbridge.measurement.timescale_report import save, summary_text
    from brianbridge.trained.network import Trained, TrainedFileError

    BrianLogger.log_level_error()
    try:
        trained = Trained.load(arguments.trained)
    except (TrainedFileError, OSError) as error:
        raise Problem(str(error), BAD_INPUT) from None
    if arguments.out is not None:
        with _writing(arguments.out):
            try_folder(arguments.out)
    found = _measured(trained, arguments)
    document = {
        "summary": found.summary,
        "by_trials": found.by_trials,
        "known": found.bias,
        "rows": found.rows,
    }
    answer = Answer(document, f"{_text(found)}\n\n{summary_text(found)}")
    if arguments.out is None:
        return answer
    try:
        with _writing(arguments.out):
            files = save(found, arguments.out, f"Timescales of {Path(arguments.trained).stem}")
    except Problem as problem:
        return answer.despite(problem)
    names = [str(file) for file in files]
    return Answer(document | {"files": names}, "\n".join([answer.text, *names]))


@contextmanager
def _writing(folder):
    try:
        yield
    except OSError as error:
        raise Problem(f"{folder} cannot be written: {error.strerror or error}", BAD_INPUT) from None


def _measured(trained, arguments):
    from brian2 import ms

    from brianbridge import tasks
    from brianbridge.measurement import timescales
    from brianbridge.simulation.standalone import DeviceMissing

    try:
        return timescales(
            trained,
            tasks.make(arguments.task, arguments.preset) if arguments.task else None,
            arguments.trials,
            epoch=arguments.epoch,
            length=arguments.length * ms,
            settle=arguments.settle * ms,
            bin=arguments.bin * ms,
            seed=arguments.seed,
            dt=None if arguments.dt is None else arguments.dt * ms,
            device=arguments.device,
            progress=False,
        )
    except (tasks.UnknownTaskError, ValueError, DeviceMissing) as error:
        raise Problem(str(error), USAGE) from None
    except OSError as error:
        raise Problem(error.strerror or str(error), BAD_INPUT) from None


def _text(found):
    neurons = [
        (
            f"{row['group']} {row['neuron']}",
            row["rate_hz"],
            _or_blank(row["published_ms"]),
            row["reason"] or "included",
            _or_blank(row["corrected_ms"]),
            row["why_not_corrected"] or f"{row['corrected_from_ms']:.3g} to {row['corrected_to_ms']:.3g}",
        )
        for row in found.rows
    ]
    fewer = [(row["trials"], *_medians(row)) for row in found.by_trials]
    known = [(row["trials"], row["true_ms"], *_medians(row)) for row in found.bias]
    medians = ("included", "published (ms)", "with memory", "corrected (ms)")
    simulated = f"known timescales, {found.bias[0]['neurons']} simulated neurons each (medians):\n"
    parts = [
        table(("neuron", "Hz", "published (ms)", "rule", "corrected (ms)", "95 % interval"), neurons),
        "with fewer trials (medians):\n" + table(("trials", *medians), fewer),
        simulated + table(("trials", "true (ms)", *medians), known),
    ]
    return "\n\n".join(parts)


def _medians(row):
    published, corrected = row["published_ms"], row["corrected_ms"]
    return row["included"], _or_blank(published), row["with_corrected"], _or_blank(corrected)


def _or_blank(value):
    return value if value == value else ""
