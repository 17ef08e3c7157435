"""
Mutants: models with one deliberate fault, the positive controls of the ladder.

A check that no mutant can fail shows nothing. Each function takes a model and returns it with the fault;
``bb.check(trained, model=mutants.delay(trained.model))`` examines the mutant as if it were the network.
Which rung must fail which mutant is written in `ladder`; the tests see to it.
"""

import re
from dataclasses import replace

import numpy as np
from brian2 import ExplicitStateUpdater, StateUpdateMethod
from brian2.equations.equations import DIFFERENTIAL_EQUATION
from brian2.units.fundamentalunits import DIMENSIONLESS
from brian2.utils.stringtools import word_substitute

from brianbridge.checks.controls import with_shuffled_values
from brianbridge.checks.thresholds import crossing
from brianbridge.model.constraints import Bounds, Dale
from brianbridge.model.equation_text import XI, rewritten
from brianbridge.perturb.rewriting import reads_replaced, with_parameter

__all__ = [
    "MUTANTS",
    "bounds",
    "charge",
    "charge_per_step",
    "dale",
    "decay_per_step",
    "delay",
    "disguised",
    "integrator",
    "noise",
    "offset",
    "readout",
    "rewired",
    "shuffled",
    "weights",
]

INCREMENT = re.compile(r"(\w+\s*[+-]=\s*)([^;\n#]+)")


def delay(model):
    """Every recurrent spike arrives one time step late."""
    return _recurrent(
        model,
        lambda group: replace(group, pathways=_pathways(group, lambda p: {"delay": p.delay + group.dt})),
    )


def noise(model):
    """Noise without sqrt(dt): at any other time step it has another power."""
    return _with_right_hand_sides(
        model, lambda equation: XI.sub(r"\g<0>*sqrt(dt/second)", equation.expr.code)
    )


def dale(model):
    """The sign of one weight under Dale's law is flipped."""
    for trainable in model.trainable:
        target = trainable.targets[0]
        if isinstance(trainable.constraint, Dale):
            values = np.array(model.initial_value(target))
            sources = model[target[0]].i
            several = np.flatnonzero((np.bincount(sources)[sources] > 1) & (values != 0))
            strongest = several[np.argmax(np.abs(values[several]))]
            values[strongest] *= -1
            return model.with_values({target: values})
    raise ValueError("no parameter of this network is under Dale's law")


def weights(model, fraction=0.01, seed=0):
    """One per cent of the trained values of the most numerous synapses (two at least) have changed places."""
    targets = [trainable.targets[0] for trainable in model.trainable]
    synaptic = [(group, name) for group, name in targets if group and hasattr(model[group], "i")]
    if not synaptic:
        raise ValueError("nothing of the synapses of this network is trained")
    target = max(synaptic, key=lambda target: model.initial_value(target).size)
    values = np.array(model.initial_value(target))
    chosen = np.random.default_rng(seed).permutation(values.size)[: max(2, round(fraction * values.size))]
    chosen = chosen[np.argsort(values[chosen])]
    values[chosen] = values[np.roll(chosen, 1)]
    return model.with_values({target: values})


def charge(model, factor=1.02):
    """Every recurrent spike carries two per cent more charge."""
    return _recurrent(model, lambda group: _with_increments(group, f"{factor}*"))


def charge_per_step(model):
    """What a spike adds grows with the time step, as where a text forgets ``*(1*ms)``.

    At the training's time step nothing is different.
    """
    factor = f"(dt/({model.dt!r}*second))*"
    model = _recurrent(model, lambda group: _with_increments(group, factor))
    groups = tuple(
        replace(group, codes={event: _scaled(code, factor) for event, code in group.codes.items()})
        if hasattr(group, "codes")
        else group
        for group in model.groups
    )
    return replace(model, groups=groups)


def decay_per_step(model):
    """Every step changes a state by as much as one of the training's, as where a decay is a fixed factor.

    At the training's time step nothing is different; noise keeps its power at every step.
    """
    there = f"({model.dt!r}*second)"

    def changed(equation):
        if equation.type != DIFFERENTIAL_EQUATION:
            return None
        return f"({XI.sub(rf'(\g<0>*dt/{there})', equation.expr.code)})*{there}/dt"

    return _with_right_hand_sides(model, changed)


def disguised(model):
    """The strongest recurrent weights are the smallest numbers, with gains that make up for it.

    The network does what it did, but to prune the smallest weights takes the strongest connections out.
    """
    reads = {"w": "(w*mutant_gain)"}
    for group in model.groups:
        if hasattr(group, "i") and group.source[0] == group.target[0] and "w" in group.values:
            w = np.broadcast_to(group.values["w"], (group.n,))
            size = np.abs(w).max()
            turned = np.where(w < 0, -1, 1) * size**2 / (np.abs(w) + 1e-3 * size)
            changed = replace(
                group,
                equations=reads_replaced(group.equations, "w", reads["w"]),
                pathways=_pathways(group, lambda pathway: {"code": word_substitute(pathway.code, reads)}),
                values={**group.values, "w": turned},
            )
            model = model.with_group(changed)
            return with_parameter(model, group.name, "mutant_gain", DIMENSIONLESS, w / turned)
    raise ValueError("no recurrent synapses of this network have a weight called w")


def offset(model):
    """Thresholds are compared where they are 1e8 times as large: single precision loses what is compared."""

    def far(group):
        variable, threshold = crossing(group.events["spike"])
        added = f"1e8*({threshold})"
        return replace(
            group, events={**group.events, "spike": f"{variable} + {added} > {threshold} + {added}"}
        )

    groups = tuple(
        far(group) if crossing(getattr(group, "events", {}).get("spike", "")) else group
        for group in model.groups
    )
    if all(group is before for group, before in zip(groups, model.groups)):
        raise ValueError("no group of this network spikes by `variable > expression`")
    return replace(model, groups=groups)


def readout(model):
    """What is summed up in groups that do not spike, such as an output, has the other sign."""
    groups = tuple(
        replace(group, equations=rewritten(group.equations, _negative_sum))
        if hasattr(group, "i") and group.target[0] not in model.spiking
        else group
        for group in model.groups
    )
    return replace(model, groups=groups)


def rewired(model):
    """Two synapses of the most numerous ones have exchanged their targets."""
    projections = [group for group in model.groups if hasattr(group, "i") and len(np.unique(group.j)) > 1]
    if not projections:
        raise ValueError("no synapses of this network have different targets")
    largest = max(projections, key=lambda group: group.n)
    j = np.array(largest.j)
    other = np.flatnonzero(j != j[0])[0]
    j[[0, other]] = j[[other, 0]]
    return model.with_group(replace(largest, j=j))


def shuffled(model):
    """All trained values have changed places."""
    return with_shuffled_values(model, seed=7)


def bounds(model):
    """One value lies outside its bounds."""
    for trainable in model.trainable:
        if isinstance(trainable.constraint, Bounds):
            target = trainable.targets[0]
            values = np.array(model.initial_value(target))
            values.flat[0] = float(trainable.constraint.high) * 1.01 + 1e-12
            if trainable.constraint.violation(values):
                return model.with_values({target: values})
    raise ValueError("no parameter of this network is bounded")


def integrator(model):
    """Neurons are integrated with a step that is too short by a tenth."""
    if "mutant_euler" not in StateUpdateMethod.stateupdaters:
        StateUpdateMethod.register(
            "mutant_euler",
            ExplicitStateUpdater("x_new = x + 0.9*dt*f(x, t) + g(x, t)*dW", stochastic="additive"),
        )
    groups = tuple(
        replace(group, method="mutant_euler")
        if "/dt" in group.equations and not hasattr(group, "i")
        else group
        for group in model.groups
    )
    return replace(model, groups=groups)


MUTANTS = {
    mutant.__name__: mutant
    for mutant in (
        delay,
        noise,
        dale,
        weights,
        charge,
        charge_per_step,
        decay_per_step,
        disguised,
        offset,
        readout,
        rewired,
        shuffled,
        bounds,
        integrator,
    )
}


def _recurrent(model, change):
    """Change the synapses that act by spikes."""
    groups = tuple(
        change(group) if hasattr(group, "i") and any(p.code.strip() for p in group.pathways) else group
        for group in model.groups
    )
    return replace(model, groups=groups)


def _with_right_hand_sides(model, change):
    """Change the equations of all groups; `change` as of `rewritten`."""
    groups = tuple(replace(group, equations=rewritten(group.equations, change)) for group in model.groups)
    return replace(model, groups=groups)


def _negative_sum(equation):
    return f"-({equation.expr.code})" if "summed" in equation.flags else None


def _pathways(group, change):
    return tuple(replace(pathway, **change(pathway)) for pathway in group.pathways)


def _with_increments(group, factor):
    return replace(group, pathways=_pathways(group, lambda pathway: {"code": _scaled(pathway.code, factor)}))


def _scaled(code, factor):
    """Statements ``x += a`` as ``x += factor*(a)``."""
    return INCREMENT.sub(rf"\g<1>{factor}(\g<2>)", code)
