"""``brianbridge show``: what a model file or a trained network holds."""

from pathlib import Path

import numpy as np

from brianbridge.cli.answers import BAD_INPUT, Answer, Problem
from brianbridge.cli.tables import number, table

HELP = "show what a model or a trained network holds"
DESCRIPTION = """\
Prints the groups of a model file (by name or path) or of a trained network (.safetensors): equations, sizes,
ranges of values with units, what is trained and within which bounds; of a trained network also the task and
how training went."""
EXAMPLE = """\
  brianbridge show li2020
  brianbridge show trained.safetensors --json"""


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("what", metavar="FILE|NAME", help="a .toml or .safetensors file, or a model's name")


def carry_out(arguments):
    """Read the file and describe it."""
    from brian2 import BrianLogger

    from brianbridge.model.files import ModelFileError, load_model
    from brianbridge.model.refusals import Refused
    from brianbridge.model.storage import model_hash
    from brianbridge.trained.network import Trained, TrainedFileError

    BrianLogger.log_level_error()
    try:
        if Path(arguments.what).suffix == ".safetensors":
            trained = Trained.load(arguments.what)
            document = {"kind": "trained network", **_model(trained.model), **_training(trained)}
            document["hash"] = trained.hash
        else:
            model = load_model(arguments.what)
            document = {"kind": "model", **_model(model), "hash": model_hash(model)}
    except (ModelFileError, TrainedFileError, Refused, OSError) as error:
        raise Problem(str(error), BAD_INPUT) from None
    document = {"name": arguments.what, **document}
    return Answer(document, _text(document))


# -- the document -------------------------------------------------------------------------------------


def _model(model):
    from brianbridge.model.groups import Neurons, Projection, SpikeTimes

    return {
        "source": model.source,
        "dt": {"value": model.dt, "unit": "s"},
        "groups": [_neurons(group) for group in model.groups if isinstance(group, Neurons)],
        "generators": [_generator(group) for group in model.groups if isinstance(group, SpikeTimes)],
        "synapses": [_projection(group) for group in model.groups if isinstance(group, Projection)],
        "inputs": [
            {
                "name": timed.name,
                "channels": timed.values.shape[1] if timed.values.ndim == 2 else None,
                "steps": len(timed.values),
                "dt": {"value": timed.dt, "unit": "s"},
                "unit": _unit(timed.dimensions),
            }
            for timed in model.inputs
        ],
        "trained": [_trainable(trainable, model) for trainable in model.trainable],
    }


def _neurons(group):
    refractory = group.refractory
    return {
        "name": group.name,
        "n": group.n,
        "equations": group.equations,
        "threshold": group.events.get("spike"),
        "reset": group.codes.get("spike"),
        "events": {name: text for name, text in group.events.items() if name != "spike"},
        "refractory": {"value": refractory, "unit": "s"} if type(refractory) is float else refractory,
        **_common(group),
    }


def _generator(group):
    return {
        "name": group.name,
        "n": group.n,
        "spikes": len(group.times),
        "times": _range(group.times, _seconds()),
        "period": {"value": group.period, "unit": "s"} if group.period else None,
    }


def _projection(group):
    return {
        "name": group.name,
        "n": group.n,
        "from": _end(group.source),
        "to": _end(group.target),
        "equations": group.equations,
        "pathways": [
            {
                "name": pathway.name,
                "on": f"{pathway.prepost} {pathway.event}",
                "code": pathway.code,
                "delay": _range(pathway.delay, _seconds()),
            }
            for pathway in group.pathways
        ],
        **_common(group),
    }


def _end(end):
    name, start, stop = end
    return name if start is None else f"{name}[{start}:{stop}]"


def _common(group):
    from brianbridge.model.equation_text import variable_dimensions

    dimensions = variable_dimensions(group.equations)
    return {
        "method": group.method,
        "links": {name: f"{link.group}.{link.variable}" for name, link in group.links.items()},
        "operations": [_operation(operation, group) for operation in group.operations],
        "constants": {
            name: {"value": constant.value, "unit": _unit(constant.dimensions)}
            for name, constant in group.constants.items()
        },
        "values": {
            name: _range(values, dimensions[name])
            for name, values in group.values.items()
            if name in dimensions
        },
    }


def _operation(operation, group):
    """One line of text for what `run_regularly` or `PoissonInput` does."""
    part = "" if operation.part is None else f" to neurons {operation.part[0]} to {operation.part[1] - 1}"
    if hasattr(operation, "code"):
        every = group.dt if operation.dt is None else operation.dt
        return f"every {every * 1e3:g} ms{part}: {_one_line(operation.code)}"
    adds = f"{operation.variable} += {operation.weight}"
    return f"{operation.n} Poisson inputs of {operation.rate:g} Hz{part}: {adds}"


def _trainable(trainable, model):
    constraint = trainable.constraint
    described = {
        "name": trainable.name,
        "n": int(np.size(model.initial_value(trainable.targets[0]))),
        "constraint": type(constraint).__name__,
        **_range(model.initial_value(trainable.targets[0]), trainable.dimensions),
    }
    if hasattr(constraint, "high"):
        described["bounds"] = _range([constraint.low, constraint.high], trainable.dimensions)
    if hasattr(constraint, "by"):
        described["by"] = constraint.by
    if hasattr(constraint, "modes"):
        described["modes"] = constraint.modes
    tie = constraint.tie
    described["tie"] = tie if tie is None or isinstance(tie, str) else "by label"
    return described


def _training(trained):
    history = trained.history if isinstance(trained.history, dict) else {}
    return {
        "task": {"name": trained.task, "arguments": trained.arguments},
        "wiring": {"inputs": trained.inputs, "output": trained.output},
        "history": {name: _course(values) for name, values in history.items() if isinstance(values, list)},
        "manifest": trained.manifest,
    }


def _course(values):
    """Start, end and extremes of a series over updates; some have values for some updates only."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if not numbers:
        return {"updates": len(values)}
    ends = {"first": numbers[0], "last": numbers[-1], "lowest": min(numbers), "highest": max(numbers)}
    return {"updates": len(values), **ends}


def _range(values, dimensions):
    """Lowest and highest SI value, in the unit in which they are easiest to read."""
    from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity

    values = np.asarray(values, dtype=float)
    if not values.size:
        return {"low": None, "high": None, "unit": _unit(dimensions)}
    if dimensions is DIMENSIONLESS:
        return {"low": float(values.min()), "high": float(values.max()), "unit": ""}
    unit = Quantity(values, dim=dimensions).get_best_unit()
    return {"low": values.min() / float(unit), "high": values.max() / float(unit), "unit": str(unit)}


def _unit(dimensions):
    from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

    return "" if dimensions is DIMENSIONLESS else str(get_unit(dimensions))


def _seconds():
    from brian2.units import second

    return second.dim


# -- the text -----------------------------------------------------------------------------------------


def _text(document):
    dt = document["dt"]["value"] * 1e3
    heading = [f"{document['name']}: {document['kind']}, dt = {dt:g} ms"]
    heading += [f"source: {document['source']}"] if document["source"] else []
    parts = ["\n".join([*heading, f"hash: {document['hash']}"])]
    parts += [_group_text(group) for group in document["groups"]]
    parts += [_generator_text(generator) for generator in document["generators"]]
    parts += [_synapses_text(synapses) for synapses in document["synapses"]]
    if document["inputs"]:
        rows = [
            (i["name"], "one" if i["channels"] is None else i["channels"], i["dt"]["value"] * 1e3, i["unit"])
            for i in document["inputs"]
        ]
        parts.append(table(("input", "channels", "dt in ms", "unit"), rows))
    parts.append(_trained_text(document["trained"]))
    if "task" in document:
        parts.append(_training_text(document))
    return "\n\n".join(parts)


def _group_text(group):
    lines = [f"{group['name']}: {group['n']} neuron{'s' * (group['n'] != 1)}", _indented(group["equations"])]
    for key in ("threshold", "reset", "refractory", "method"):
        value = group[key]
        if isinstance(value, dict):
            value = f"{value['value'] * 1e3:g} ms"
        if value:
            lines.append(f"  {key}: {_one_line(value)}")
    lines += [f"  {event}: {_one_line(text)}" for event, text in group["events"].items()]
    return "\n".join([*lines, *_operations_text(group), *_values_text(group)])


def _generator_text(generator):
    period = generator["period"]
    again = f", again every {period['value'] * 1e3:g} ms" if period else ""
    return f"{generator['name']}: {generator['spikes']} given spikes of {generator['n']} neurons{again}"


def _operations_text(group):
    lines = [f"  {name}: linked to {target}" for name, target in group["links"].items()]
    return lines + [f"  {text}" for text in group["operations"]]


def _synapses_text(synapses):
    lines = [
        f"{synapses['name']}: {synapses['n']} synapses from {synapses['from']} to {synapses['to']}",
        _indented(synapses["equations"]),
    ]
    for pathway in synapses["pathways"]:
        lines.append(f"  {pathway['name']}, on {pathway['on']}: {_one_line(pathway['code'])}")
        if pathway["delay"]["high"]:
            lines.append(f"    delay: {_between(pathway['delay'])}")
    return "\n".join([*lines, *_operations_text(synapses), *_values_text(synapses)])


def _values_text(group):
    rows = [(f"  {name}", _between(values)) for name, values in group["values"].items()]
    rows += [
        (f"  {name}", f"{number(entry['value'])} {entry['unit']}")
        for name, entry in group["constants"].items()
    ]
    return [table(("  value", "range"), rows)] if rows else []


def _trained_text(trained):
    if not trained:
        return "nothing is trained"
    rows = []
    for entry in trained:
        constraint = entry["constraint"]
        constraint += f", {_between(entry['bounds'])}" if "bounds" in entry else ""
        constraint += f", by {entry['by']}" if "by" in entry else ""
        constraint += f", {entry['modes']} modes" if "modes" in entry else ""
        constraint += f", tied {entry['tie']}" if entry["tie"] else ""
        rows.append((entry["name"], entry["n"], constraint, _between(entry)))
    return table(("trained", "values", "constraint", "range"), rows)


def _training_text(document):
    arguments = ", ".join(f"{k} = {v}" for k, v in document["task"]["arguments"].items())
    task = f"task: {document['task']['name'] or 'none'}" + (f" ({arguments})" if arguments else "")
    rows = [
        (name, course["updates"], course["first"], course["last"], course["lowest"], course["highest"])
        for name, course in document["history"].items()
        if "first" in course
    ]
    heading = ("history", "updates", "first", "last", "lowest", "highest")
    return f"{task}\n\n{table(heading, rows)}" if rows else task


def _between(entry):
    if entry["low"] is None:
        return "none"
    low, high = number(float(entry["low"])), number(float(entry["high"]))
    return f"{low if low == high else f'{low} to {high}'} {entry['unit']}".strip()


def _indented(text):
    return "\n".join(f"    {line.strip()}" for line in text.strip().split("\n"))


def _one_line(value):
    if not isinstance(value, str):
        value = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return "; ".join(line.strip() for line in value.strip().split("\n"))
