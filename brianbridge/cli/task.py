"""``brianbridge task``: the trials of a built-in task."""

import json

from brianbridge.cli.answers import BAD_INPUT, USAGE, Answer, Problem
from brianbridge.cli.pictures import check_picture, save_picture
from brianbridge.cli.tables import table

HELP = "show the trials of a task"
DESCRIPTION = "Draws a few trials of a built-in task, says what they hold, and draws a figure of them."
EXAMPLE = """\
  brianbridge task --list
  brianbridge task delayed_match --preset kim2019 --plot
  brianbridge task context_integration --set delay='300 ms' --dt 0.5 --out trials.pdf"""
TRIALS = 8
USUAL_STEP = "1 ms"


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="such as context_integration")
    parser.add_argument("--list", action="store_true", help="list the tasks and their published versions")
    parser.add_argument("--preset", metavar="PRESET", help="a published version, such as li2020_delayed")
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="another argument of the task"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the trials (default: 1)")
    parser.add_argument("--dt", type=float, metavar="MS", help="time step (default: the published one)")
    parser.add_argument(
        "--plot", metavar="FILE", nargs="?", const="", help="draw trials into this file (default: NAME.png)"
    )
    parser.add_argument("--out", metavar="FILE", help="the same: png, pdf or svg")


def carry_out(arguments):
    """List tasks, or describe one."""
    if arguments.list:
        return _list()
    if not arguments.name:
        raise Problem("which task? --list shows them", USAGE)
    return _describe(arguments)


def _list():
    from brianbridge.tasks import TASKS

    rows = []
    for name, task in TASKS.items():
        rows += [(name, preset, known.source, known.variant) for preset, known in task.presets.items()]
        if not task.presets:
            rows.append((name, "", "", _description(task)))
    keys = ("name", "preset", "source", "variant")
    document = {"tasks": [dict(zip(keys, row)) for row in rows]}
    return Answer(document, table(("task", "preset", "source", "what it is there"), rows))


def _describe(arguments):
    """Draw trials and describe them."""
    from brianbridge import tasks
    from brianbridge.tasks.arguments import read_duration

    try:
        task = tasks.make(arguments.name, arguments.preset, **_settings(arguments.set))
        step = f"{arguments.dt!r} ms" if arguments.dt is not None else _usual_step(task, arguments.preset)
        trials = task.trials(arguments.seed, TRIALS, read_duration("dt", step, zero=False))
    except (tasks.UnknownTaskError, ValueError, TypeError) as error:
        raise Problem(str(error), USAGE) from None
    except ModuleNotFoundError as error:
        raise Problem(str(error), BAD_INPUT) from None
    picture = _picture(arguments)
    if picture:
        _plot(trials, picture)
    document = {
        "name": task.name,
        "preset": arguments.preset,
        "arguments": task.arguments,
        "description": _description(type(task)),
        "answer": task.answer,
        "dt": trials.dt,
        "steps": trials.steps,
        "inputs": {
            name: {"channels": values.shape[2]}
            | ({"names": trials.channels[name]} if name in trials.channels else {})
            for name, values in trials.inputs.items()
        },
        "outputs": trials.targets.shape[2],
        "epochs": {name: epoch[_first(epoch)] for name, epoch in trials.epochs.items()},
        "conditions": trials.conditions,
        "plot": picture,
    }
    return Answer(document, _text(document))


def _description(task):
    return (task.__doc__ or "").strip().split("\n")[0]


def _settings(given):
    """Arguments of the task: numbers and lists as in JSON, everything else as text."""
    settings = {}
    for item in given:
        name, sign, value = item.partition("=")
        if not sign:
            raise Problem(f"--set {item}: write NAME=VALUE, such as --set delay='300 ms'", USAGE)
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _usual_step(task, preset):
    published = task.presets.get(preset) or next(iter(task.presets.values()), None)
    return published.dt if published else USUAL_STEP


def _first(epoch):
    """The first trial that has this epoch."""
    return int((epoch[:, 1] > epoch[:, 0]).argmax())


def _picture(arguments):
    """Where to draw, or None."""
    if arguments.plot is None and arguments.out is None:
        return None
    return arguments.out or arguments.plot or f"{arguments.name}.png"


def _plot(trials, file):
    import matplotlib

    from brianbridge.tasks.figure import one_of_each, plot_trials

    check_picture(file)
    matplotlib.use("Agg")  # no screen is needed to write a file
    save_picture(plot_trials(trials[one_of_each(trials)]), file)


def _text(document):
    dt = document["dt"] * 1e3
    arguments = ", ".join(f"{name} = {value}" for name, value in document["arguments"].items())
    inputs = ", ".join(map(_input, document["inputs"].items())) or "none"
    epochs = [
        (name, start * dt, stop * dt) for name, (start, stop) in document["epochs"].items() if stop > start
    ]
    conditions = [
        (name, " ".join(f"{value!s:>3}" for value in values))
        for name, values in document["conditions"].items()
    ]
    parts = [
        f"{document['name']}: {document['description']}\n{arguments}",
        f"inputs: {inputs}; outputs: {document['outputs']}; {document['steps']} steps of {dt:g} ms\n"
        f"answer: {document['answer']}",
        table(("epoch", "from ms", "to ms"), epochs),
        table(("condition", f"in {TRIALS} trials"), conditions) if conditions else "no conditions",
    ]
    if document["plot"]:
        parts.append(f"drawn: {document['plot']}")
    return "\n\n".join(parts)


def _input(entry):
    name, shown = entry
    names = f": {', '.join(shown['names'])}" if "names" in shown else ""
    return f"{name} ({shown['channels']} channels{names})"
