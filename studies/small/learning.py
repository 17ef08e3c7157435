"""Trains the network of a point."""

import torch
from study import model_of, task_of

import brianbridge as bb
from brianbridge.model.quantities import read_quantity
from brianbridge.training.stopping import rule_of

SPIKE_GRADIENTS = {"box": bb.Box, "triangle": bb.Triangle, "fast_sigmoid": bb.FastSigmoid}
INPUTS, OUTPUT = {"stimulus": "stimulus"}, "out.o"


def train(point, checkpoint, start=None):
    """Train until the rule of the point is met, or its number of updates is reached.

    Parameters
    ----------
    point : Point
    checkpoint : Path
        From which an interrupted training goes on. The history is written beside it.
    start : Model, optional
        The network to begin with, if it is not the untrained one.

    Returns
    -------
    Trained
    """
    plan = point.training
    validation = dict(plan.validation)
    validated = task_of(point, validation.pop("task", {}))
    return bb.fit(
        surrogate_of(point, start),
        task_of(point, plan.task),
        inputs=INPUTS,
        output=OUTPUT,
        updates=plan.updates,
        seed=point.seed,
        batch=plan.batch,
        learning_rate=plan.learning_rate,
        learning_rates=plan.learning_rates,
        optimiser=getattr(torch.optim, plan.optimiser),
        loss=getattr(bb.training, plan.loss),
        regularisers=regularisers_of(plan),
        clip=plan.clip,
        truncate=read_quantity(plan.truncate) if plan.truncate else None,
        stop=plan.stop | validation,
        validation=validated,
        keep=plan.keep,
        checkpoint=checkpoint,
        log=checkpoint.with_suffix(".csv"),
    )


def surrogate_of(point, start=None):
    """The surrogate of the untrained network, or of the one to begin with."""
    plan = point.training
    return bb.Surrogate(
        start or model_of(point),
        spike_gradient_of(plan.spike_gradient),
        dtype=getattr(torch, plan.precision),
        reset_gradient=plan.reset_gradient,
    )


def check(plan):
    """Refuse what cannot be trained with, before anything is.

    Raises
    ------
    ValueError, TypeError
        Quoting the text.
    """
    known = {"optimiser": torch.optim, "loss": bb.training, "precision": torch}
    for name, module in known.items():
        if not hasattr(module, getattr(plan, name)):
            raise ValueError(f"{name} = {getattr(plan, name)!r} is not in {module.__name__}.")
    spike_gradient_of(plan.spike_gradient)
    regularisers_of(plan)
    rule_of(plan.stop)


def spike_gradient_of(table):
    """What ``{ kind = "box", width = "25*mV" }`` says, or None."""
    if not table:
        return None
    if table.get("kind") not in SPIKE_GRADIENTS:
        raise ValueError(f"spike_gradient = {table} needs a kind, one of {', '.join(SPIKE_GRADIENTS)}.")
    return SPIKE_GRADIENTS[table["kind"]](
        **{key: read_quantity(text) for key, text in table.items() if key != "kind"}
    )


def regularisers_of(plan):
    """Omega of Song et al., where the plan asks for it."""
    return [bb.training.VanishingGradient(**plan.vanishing_gradient)] if plan.vanishing_gradient else []
