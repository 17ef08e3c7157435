"""The table of published tasks, made from the tasks themselves."""

import numpy as np
from brian2.units import Quantity, ms, second

from brianbridge.tasks import TASKS
from brianbridge.tasks.conditions import size

HEADING = "| Task | Version | Epochs (ms) | Inputs | Outputs | Conditions | Answer |\n" + "|---" * 7 + "|\n"


def table():
    """One table for each source, as Markdown."""
    sources = {}
    for name, task in TASKS.items():
        for preset, published in task.presets.items():
            sources.setdefault(published.source, []).append(_row(name, preset, task, published))
    return (
        "\n\n".join(f"### {source}\n\n{HEADING}" + "\n".join(rows) for source, rows in sources.items()) + "\n"
    )


def _row(name, preset, kind, published):
    task = kind.preset(preset)
    try:
        inputs, outputs = (
            _channels(task.channels, task.channels.keys() - {"target"}),
            len(task.channels["target"]),
        )
        conditions = size(task.conditions)
    except ValueError:  # Digits: its files decide
        inputs, outputs, conditions = "one for each pixel", 10, "one for each image"
    cells = (
        f"`{name}`",
        f"`{preset}`: {published.variant}, {published.dt}",
        _epochs(task),
        inputs or "none",
        outputs,
        conditions,
        task.answer,
    )
    return f"| {' | '.join(map(str, cells))} |"


def _channels(channels, names):
    return "; ".join(_short(channels[name]) for name in sorted(names))


def _short(labels):
    """Labels in a row; the first and last of numbered ones."""
    kinds = {}
    for label in labels:
        stem, _, number = label.rpartition(" ")
        kinds.setdefault(stem if number.isdigit() else label, []).append(label)
    return ", ".join(
        f"{found[0]} … {found[-1].split()[-1]}" if len(found) > 2 else ", ".join(found)
        for found in kinds.values()
    )


def _epochs(task):
    return ", ".join(
        f"{name}: {_duration(duration)}"
        for name, duration in task.durations(_columns(task)).items()
        if name != "catch"
        and not (isinstance(duration, Quantity) and duration.size and np.all(duration == 0 * second))
    )


def _columns(task):
    try:
        return task.conditions
    except ValueError:
        return {}


def _duration(duration):
    if not isinstance(duration, Quantity):
        bounds = [f"{float(bound / ms):g}" for bound in (duration.low, duration.high)]
        return f"{' to '.join(bounds)} ({duration.name.replace('_', ' ')})"
    if duration.shape:
        return " or ".join(f"{value:g}" for value in sorted(set(np.round(duration / ms, 9))))
    return f"{float(duration / ms):g}"
