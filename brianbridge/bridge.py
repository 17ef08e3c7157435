"""`wrap` and `load`: from a live network or a file to a `Model` that is known to be bridgeable."""

from dataclasses import replace

from brian2 import Network, TimedArray, collect
from brian2.core.namespace import get_local_namespace
from brian2.core.variables import VariableView
from brian2.units.fundamentalunits import get_unit

from brianbridge.generation.audit import audit
from brianbridge.generation.schedule import program_of
from brianbridge.model.capture import capture
from brianbridge.model.constraints import Constraint, Dale, Free, Trainable
from brianbridge.model.equation_text import add_parameter
from brianbridge.model.files import load_model
from brianbridge.model.naming import UnknownName, input_name, variable_name
from brianbridge.model.rebuild import rebuild
from brianbridge.model.refusals import Refusal, Refused

__all__ = ["load", "wrap"]


def wrap(network=None, train=None, *, namespace=None, level=0):
    """Freeze a live Brian2 network to a `Model`.

    Parameters
    ----------
    network : brian2.Network, optional
        Without it, what `brian2.run` would run: all objects visible to the caller.
    train : dict, optional
        What to train and how: a variable (``cells.tau_m``, ``'cells.tau_m'``), a `TimedArray`, or the name of a
        constant of the equations (``'tau_syn'``), to a constraint (`Bounds`, `Positive`, `Dale`) or None.
    namespace : dict, optional
        Names that the equations refer to; default are the caller's variables, as for ``network.run()``.
    level : int
        How many calls further up the caller is.

    Returns
    -------
    Model

    Raises
    ------
    Refused
        Listing all constructs that cannot be bridged and all parameters that no gradient can reach.
    """
    if namespace is None:
        namespace = get_local_namespace(level + 1)
    if network is None:
        network = Network(collect(level=level + 1))
    model = capture(network, namespace)
    model, refusals = _with_trainables(model, train or {}, namespace)
    return _checked(model, refusals)


def load(name, seed=0, **sizes):
    """Read a model file from ``equations/`` or a path.

    Parameters
    ----------
    name : str or Path
        ``'li2020'``, or the path of a ``.toml`` file.
    seed : int
        For connectivity and random values.
    **sizes : int
        Numbers of neurons, by group: ``bb.load('li2020', cells=100)``.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    Refused
        If its network cannot be bridged.
    """
    return _checked(load_model(name, seed, **sizes), [])


def _checked(model, refusals):
    """The model, once its code was generated and every trained parameter was found to have a gradient."""
    program = program_of(model, rebuild(model))
    refusals = [*refusals, *audit(model, program)]
    if refusals:
        raise Refused(refusals)
    return model


def _with_trainables(model, train, namespace):
    trainables, refusals = [], []
    for key, constraint in train.items():
        constraint = Free() if constraint is None else constraint
        if not isinstance(constraint, Constraint):
            raise TypeError(
                f"train: {key!r} is given {constraint!r}; expected Bounds, Positive, Dale or None."
            )
        if _is_delay(key):
            refusals.append(_delay_refusal(key))
            continue
        model, trainable = _trainable(model, key, constraint, namespace)
        trainables.append(trainable)
        _check_constraint(model, trainable)
    return replace(model, trainable=tuple(trainables)), refusals


def _trainable(model, key, constraint, namespace):
    if isinstance(key, TimedArray):
        name = input_name(key, model)
        return model, Trainable((("", name),), constraint, model.input(name).dimensions)
    users = [group.name for group in model.groups if isinstance(key, str) and key in group.constants]
    if users:
        return _promoted(model, key, constraint, users)
    try:
        group, variable = variable_name(key, model, namespace)
    except UnknownName as error:
        constants = sorted({name for group in model.groups for name in group.constants})
        hint = f" Constants of the equations: {', '.join(constants)}." if constants else ""
        raise UnknownName(f"{error}{hint}") from None
    if variable not in model[group].values:
        raise UnknownName(
            f"{group}.{variable} is computed by the network; train the variables it depends on."
        )
    dimensions = rebuild(model)[group].variables[variable].dim
    return model, Trainable(((group, variable),), constraint, dimensions)


def _promoted(model, name, constraint, users):
    """Turn an external constant into a shared parameter of every group that uses it."""
    constant = model[users[0]].constants[name]
    for user in users:
        group = model[user]
        if group.constants[name] != constant:
            raise ValueError(
                f"'{name}' means {constant.value} in {users[0]}, but {group.constants[name].value} in {user}; "
                "give the two constants different names to train them."
            )
        constants = {key: value for key, value in group.constants.items() if key != name}
        model = model.with_group(
            replace(
                group,
                equations=add_parameter(group.equations, name, constant.dimensions),
                constants=constants,
                values={**group.values, name: float(constant.value)},
            )
        )
    return model, Trainable(tuple((user, name) for user in users), constraint, constant.dimensions)


def _check_constraint(model, trainable):
    expected = trainable.constraint.dimensions()
    if expected is not None and expected != trainable.dimensions:
        raise ValueError(
            f"{trainable.name} is in {get_unit(trainable.dimensions)!r}, but its bounds are in "
            f"{get_unit(expected)!r}."
        )
    values = model.initial_value(trainable.targets[0])
    violation = trainable.constraint.violation(values)
    if violation:
        raise ValueError(f"{trainable.name} does not start inside its bounds: {violation}.")
    if isinstance(trainable.constraint, Dale):
        group = model[trainable.targets[0][0]]
        if not hasattr(group, "i"):
            raise ValueError(f"{trainable.name}: Dale() is for weights of Synapses.")
        Dale.signs(values, group.i)


def _is_delay(key):
    return (isinstance(key, VariableView) and key.name == "delay") or (
        isinstance(key, str) and key.endswith(".delay")
    )


def _delay_refusal(key):
    owner = key.group_name if isinstance(key, VariableView) else key.rpartition(".")[0]
    return Refusal(
        owner,
        "'delay' cannot be trained: Brian2 rounds delays to whole time steps, so their gradient is zero",
        "leave it out of train=; a synaptic time constant can take its place",
    )
