"""``brianbridge task``: the trials of a built-in task."""

from pathlib import Path

from brianbridge.cli.answers import BAD_INPUT, USAGE, Answer, Problem
from brianbridge.cli.tables import table

HELP = "show the trials of a task"
DESCRIPTION = "Draws a few trials of a built-in task with its default arguments and says what they hold."
EXAMPLE = "  brianbridge task context_integration --plot trials.png"
TRIALS = 8


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="such as context_integration")
    parser.add_argument("--plot", metavar="FILE", help="draw four trials into this file (png, pdf or svg)")


def carry_out(arguments):
    """Draw trials at 1 ms and describe them."""
    from brian2.units import ms

    from brianbridge import tasks

    try:
        task = tasks.make(arguments.name)
    except tasks.UnknownTaskError as error:
        raise Problem(str(error), USAGE) from None
    trials = task.trials(rng=1, batch=TRIALS, dt=1 * ms)
    if arguments.plot:
        _plot(trials, arguments.plot)
    document = {
        "name": task.name,
        "arguments": task.arguments,
        "description": (type(task).__doc__ or "").strip().split("\n")[0],
        "dt": trials.dt,
        "steps": trials.steps,
        "inputs": {name: {"channels": values.shape[2]} for name, values in trials.inputs.items()},
        "outputs": trials.targets.shape[2],
        "epochs": {name: epoch[0] for name, epoch in trials.epochs.items()},
        "conditions": {name: values[:TRIALS] for name, values in trials.conditions.items()},
        "plot": arguments.plot,
    }
    return Answer(document, _text(document))


def _plot(trials, file):
    import matplotlib
    from matplotlib.backend_bases import FigureCanvasBase

    from brianbridge.tasks import plot_trials

    path, formats = Path(file), FigureCanvasBase.get_supported_filetypes()
    if not path.parent.is_dir():
        raise Problem(f"there is no folder {path.parent}", BAD_INPUT)
    if path.suffix.lstrip(".").lower() not in formats:
        raise Problem(f"{path} cannot be drawn; the format is one of {', '.join(sorted(formats))}", BAD_INPUT)
    matplotlib.use("Agg")  # no screen is needed to write a file
    try:
        plot_trials(trials).savefig(path)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror or error}", BAD_INPUT) from None


def _text(document):
    dt = document["dt"] * 1e3
    arguments = ", ".join(f"{name} = {value}" for name, value in document["arguments"].items())
    inputs = ", ".join(f"{name} ({entry['channels']} channels)" for name, entry in document["inputs"].items())
    epochs = [
        (name, start * dt, stop * dt) for name, (start, stop) in document["epochs"].items() if stop > start
    ]
    conditions = [
        (name, " ".join(f"{value!s:>3}" for value in values))
        for name, values in document["conditions"].items()
    ]
    parts = [
        f"{document['name']}: {document['description']}\n{arguments}",
        f"inputs: {inputs}; outputs: {document['outputs']}; {document['steps']} steps of {dt:g} ms",
        table(("epoch", "from ms", "to ms"), epochs),
        table(("condition", f"in {TRIALS} trials"), conditions),
    ]
    if document["plot"]:
        parts.append(f"drawn: {document['plot']}")
    return "\n\n".join(parts)
