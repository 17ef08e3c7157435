"""Which parameters learn how fast, and by which optimiser."""

from collections.abc import Mapping

import torch

__all__ = ["LEARNING_RATE", "learning_rates_of", "make_optimiser"]

LEARNING_RATE = 0.01


def learning_rates_of(surrogate, learning_rate, exceptions):
    """Learning rate of every parameter by name.

    Parameters
    ----------
    surrogate : Surrogate
    learning_rate : float or dict
        Of all parameters, or by name.
    exceptions : dict or None
        Other learning rates of some parameters.

    Returns
    -------
    dict of str to float

    Raises
    ------
    UnknownName
        If a name is not that of a trained parameter.
    ValueError
        If a learning rate is negative or not finite, or that of a frozen parameter.
    """
    given = dict(exceptions or {})
    if isinstance(learning_rate, Mapping):
        given, learning_rate = {**learning_rate, **given}, LEARNING_RATE
    return {group["name"]: group["lr"] for group in surrogate.parameter_groups(learning_rate, given)}


def make_optimiser(optimiser, surrogate, rates):
    """The optimiser, with a parameter group for each parameter.

    Parameters
    ----------
    optimiser : callable
        A class of `torch.optim`, or a function: takes parameter groups (dicts of 'name', 'params' and 'lr').
    surrogate : Surrogate
    rates : dict of str to float

    Returns
    -------
    torch.optim.Optimizer

    Raises
    ------
    TypeError
        If what comes back is no optimiser of torch.
    ValueError
        If it wants to evaluate the loss itself, as LBFGS does.
    """
    made = optimiser(surrogate.parameter_groups(LEARNING_RATE, rates))
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"optimiser= must return an optimiser of torch, not {type(made).__name__}. Give a class such as "
            "torch.optim.Adam, or functools.partial(torch.optim.SGD, momentum=0.9)."
        )
    if isinstance(made, torch.optim.LBFGS):
        raise ValueError("LBFGS evaluates the loss many times on the same trials; fit draws new ones.")
    return made


def optimiser_parts(optimiser):
    """State of an optimiser in parts that files can hold.

    Returns
    -------
    arrays : dict of str to ndarray
        ``'INDEX KEY'``, by the number of the parameter.
    numbers : dict of str to number
        The same for what is no tensor.
    groups : list of dict
        Options of each parameter group.
    """
    document = optimiser.state_dict()
    arrays, numbers = {}, {}
    for index, entries in document["state"].items():
        for key, value in entries.items():
            if torch.is_tensor(value):
                arrays[f"{index} {key}"] = value.detach().cpu().numpy()
            else:
                numbers[f"{index} {key}"] = value
    groups = [
        {key: value for key, value in group.items() if key not in ("params", "name")}
        for group in document["param_groups"]
    ]
    return arrays, numbers, groups


def restore_optimiser(optimiser, arrays, numbers, groups):
    """Undo `optimiser_parts`.

    Raises
    ------
    ValueError
        If these are not the parts of such an optimiser.
    """
    document = optimiser.state_dict()
    if len(groups) != len(document["param_groups"]):
        raise ValueError("the number of parameter groups differs")
    for group, saved in zip(document["param_groups"], groups):
        if not isinstance(saved, dict) or set(saved) != set(group) - {"params", "name"}:
            raise ValueError("the options of the optimiser differ")
        group |= {key: tuple(value) if isinstance(value, list) else value for key, value in saved.items()}
    state = {}
    for name, value in {**arrays, **numbers}.items():
        index, _, key = name.partition(" ")
        if not index.isdecimal() or int(index) >= len(groups):
            raise ValueError(f"{name!r} belongs to no parameter")
        value = torch.tensor(value) if name in arrays else value
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": document["param_groups"]})
