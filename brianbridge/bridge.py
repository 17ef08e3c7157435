"""`wrap` and `load`: from a live network or a file to a `Model` that is known to be bridgeable."""

import warnings
from dataclasses import replace

import numpy as np
from brian2 import Network, TimedArray, collect, second
from brian2.core.base import BrianObjectException
from brian2.core.namespace import get_local_namespace
from brian2.core.variables import VariableView

from brianbridge.codegen_target import codegen_target
from brianbridge.garbage_collection import spared_from_collection
from brianbridge.generation.audit import audit
from brianbridge.generation.rounding import RoundedTimes, refusals_of_step, rounded_times
from brianbridge.generation.schedule import program_of, refusals_of_code
from brianbridge.generation.ties import OrderTie, find_ties
from brianbridge.model.capture import capture
from brianbridge.model.constraints import Constraint, Free, Trainable
from brianbridge.model.equation_text import add_parameter
from brianbridge.model.files import ModelFileError, load_model
from brianbridge.model.low_rank import LowRank, with_modes
from brianbridge.model.naming import UnknownName, caller_names, input_name, variable_name
from brianbridge.model.quantities import seconds_of
from brianbridge.model.rebuild import rebuild, set_aside
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.trainable_checks import check_trainable

__all__ = ["load", "wrap"]


def wrap(network=None, train=None, *, namespace=None, dt=None, level=0):
    """Freeze a live Brian2 network to a `Model`.

    Parameters
    ----------
    network : brian2.Network, optional
        Without it, what `brian2.run` would run: all objects visible to the caller.
    train : dict, optional
        What to train and how: a variable (``cells.tau_m``, ``'cells.tau_m'``), a `TimedArray` (or its name),
        or the name of a constant of the equations (``'tau_syn'``), to a constraint (`Bounds`, `Positive`,
        `Dale`, `LowRank`) or None. What is trained is the value at t = 0.
    namespace : dict, optional
        Names that the equations refer to; default are the caller's variables, as for ``network.run()``.
    dt : Quantity, optional
        Another time step, for example a coarser one to train with: that of the group with the shortest; the
        others keep their ratio to it. Default is the network's own.
    level : int
        How many calls further up the caller is.

    Returns
    -------
    Model

    Raises
    ------
    Refused
        Listing all constructs that cannot be bridged and all parameters that no gradient can reach.
    UnknownName
        If `train` names something that the network does not have; with the closest names.
    ValueError
        If a constraint does not fit: its unit, the number of elements, the values to start from; if `dt` is
        not a positive time.

    Warns
    -----
    OrderTie
        Listing the pairs of objects whose order, and with it the result, follows from their names alone.
    RoundedTimes
        Listing the delays, refractory periods and other times that are another number of milliseconds with
        `dt` than with the network's own time step.
    """
    step = None if dt is None else seconds_of(dt)
    if namespace is None:
        namespace = get_local_namespace(level + 1)
    if network is None:
        network = Network(collect(level=level + 1))
    own, refusals = _with_trainables(captured(network, namespace), train or {})
    model = own if step in (None, own.dt) else _with_step(own, step, refusals)
    live, program = _checked(model, refusals)
    ties = find_ties(program)
    changes = [] if model is own else rounded_times(own, model, live, program)
    if ties:
        warnings.warn(OrderTie.of(ties), stacklevel=level + 2)
    if changes:
        warnings.warn(RoundedTimes.of(changes, own.dt, model.dt), stacklevel=level + 2)
    return model


def captured(network, namespace):
    """Freeze a network; the error lists what cannot be described and what cannot be generated together.

    Parameters
    ----------
    network : brian2.Network
    namespace : Mapping

    Returns
    -------
    Model

    Raises
    ------
    Refused
    """
    try:
        return capture(network, namespace)
    except Refused as refused:
        rest = [] if refused.rest is None else refusals_of_code(refused.rest)
        raise Refused([*refused.refusals, *rest]) from None


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

    Warns
    -----
    OrderTie
        As in `wrap`.
    """
    model = load_model(name, seed, **sizes)
    for trainable in model.trainable:
        try:
            check_trainable(model, trainable)
        except ValueError as error:
            raise ModelFileError(f"{name}: {error}") from None
    _, program = _checked(model, [])
    ties = find_ties(program)
    if ties:
        warnings.warn(OrderTie.of(ties), stacklevel=2)
    return model


def _with_step(own, dt, refusals):
    """The model with another time step, or everything that stands in the way of it."""
    model = own.with_dt(dt)
    impossible = refusals_of_step(own, model)
    if impossible:
        raise Refused([*refusals, *impossible, *refusals_of_code(own)])
    return model


def _checked(model, refusals):
    """The rebuilt network and its program, once every trained parameter was found to have a gradient."""
    live = rebuild(model)
    complaints = _complaints_of_brian2(live)
    if complaints:
        raise Refused([*refusals, *complaints])
    program = program_of(model, live)
    refusals = [*refusals, *audit(model, program)]
    if refusals:
        raise Refused(refusals)
    return live, program


def _complaints_of_brian2(live):
    """What Brian2 itself would object to at the first run: units, unknown names, statements."""
    try:
        with codegen_target("numpy"), spared_from_collection():  # nothing to compile
            live.network.run(0 * second, namespace={})
    except BrianObjectException as error:
        name = getattr(error, "_brian_objname", None) or "network"
        cause = error.__cause__ or error
        message, remedy = str(cause), "mend it; network.run() says the same"
        if isinstance(cause, KeyError):
            message, remedy = cause.args[0], "define the name, in a model file under [constants]"
        elif isinstance(cause, SyntaxError):
            message = f"{cause.msg} in {(cause.text or '').strip()!r}"
        return [Refusal(name, f"Brian2 itself refuses it: {message}", remedy)]
    finally:
        set_aside(live.groups.values())  # whatever happened before they were part of the run
    return []


# -- what is trained ----------------------------------------------------------------------------------


def _with_trainables(model, train):
    trainables, refusals = [], []
    for key, constraint in train.items():
        constraint = Free() if constraint is None else constraint
        if not isinstance(constraint, Constraint):
            raise TypeError(
                f"train: {_shown(key)} is given {constraint!r}; expected Bounds, Positive, Dale, LowRank or "
                "None."
            )
        refusal = _delay_refusal(key, model)
        if refusal:
            refusals.append(refusal)
            continue
        model, trainable = _trainable(model, key, constraint)
        if any(set(trainable.targets) & set(other.targets) for other in trainables):
            raise ValueError(f"train: {trainable.name} is named twice.")
        if isinstance(constraint, LowRank):
            model, trainable = with_modes(model, trainable)
        check_trainable(model, trainable)
        trainables.append(trainable)
    return replace(model, trainable=tuple(trainables)), refusals


def _trainable(model, key, constraint):
    """The `Trainable` that a key stands for, and the model in which it is a variable or an input."""
    if isinstance(key, str):
        users = [group.name for group in model.groups if key in group.constants]
        if users:
            return _promoted(model, key, constraint, users)
    if isinstance(key, TimedArray) or (isinstance(key, str) and _names_input(key, model)):
        name = input_name(key, model)
        return model, Trainable((("", name),), constraint, model.input(name).dimensions)
    group, variable = _variable(key, model)
    return model, Trainable(((group, variable),), constraint, model.dimensions((group, variable)))


def _names_input(key, model):
    known = any(timed.name == key for timed in model.inputs)
    return known or isinstance(caller_names().get(key), TimedArray)


def _variable(key, model):
    """A variable whose value at t = 0 may be assigned; the errors say what to name instead."""
    try:
        group, variable = variable_name(key, model)
    except UnknownName as error:
        constants = sorted({name for g in model.groups for name in g.constants})
        if isinstance(key, str) and key.rpartition(".")[2] in constants:
            name = key.rpartition(".")[2]
            raise UnknownName(
                f"{name} is a constant of the equations, one value for all groups: train={{'{name}': ...}}."
            ) from None
        hint = f" Constants of the equations: {', '.join(constants)}." if constants else ""
        raise UnknownName(f"{error}{hint}") from None
    if variable not in model[group].values:
        what = "an event" if variable in getattr(model[group], "events", ()) else "computed by the network"
        raise UnknownName(f"{group}.{variable} is {what}; train the variables that it depends on.")
    return group, variable


def _promoted(model, name, constraint, users):
    """Turn an external constant into a shared parameter of every group that uses it."""
    constant = model[users[0]].constants[name]
    if isinstance(constant.value, bool):
        raise ValueError(f"'{name}' is {constant.value}: a constant that is true or false has no gradient.")
    for user in users:
        group = model[user]
        if group.constants[name] != constant:
            raise ValueError(
                f"'{name}' means {constant.value} in {users[0]}, but {group.constants[name].value} in "
                f"{user}; give the two constants different names to train them."
            )
        constants = {key: value for key, value in group.constants.items() if key != name}
        model = model.with_group(
            replace(
                group,
                equations=add_parameter(group.equations, name, constant.dimensions),
                constants=constants,
                values={**group.values, name: np.array(float(constant.value))},
            )
        )
    return model, Trainable(tuple((user, name) for user in users), constraint, constant.dimensions)


def _delay_refusal(key, model):
    """Why a delay cannot be trained; None for everything else."""
    if isinstance(key, VariableView):
        owner, name = key.variable.owner.name, key.name
    elif isinstance(key, str):
        owner, _, name = key.rpartition(".")
        owner = owner.partition(".")[0]
        if any(owner == group.name and "delay" in group.values for group in model.groups):
            return None  # a variable of the user's own of this name
    else:
        return None
    if name != "delay" or not owner:
        return None
    return Refusal(
        owner,
        "'delay' cannot be trained: Brian2 rounds delays to whole time steps, so their gradient is zero",
        "leave it out of train=; a synaptic time constant can take its place",
    )


def _shown(key):
    return f"{key.group_name}.{key.name}" if isinstance(key, VariableView) else repr(key)
