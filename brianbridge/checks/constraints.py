"""Rung 8: what the trained values must satisfy, and whether Brian2 holds them bit for bit."""

import warnings

import numpy as np

from brianbridge.checks.finding import Finding, Table, verdict
from brianbridge.model.constraints import Dale
from brianbridge.model.rebuild import unrun

__all__ = ["measure"]


def measure(context):
    """Values in a live Brian2 network against the trained file; then Dale's law, bounds and connections."""
    live = unrun(context.model)
    broken, rows = [], []
    for trainable in context.trained.model.trainable:
        for group, variable in trainable.targets:
            name = ".".join(filter(None, (group, variable)))
            wanted = np.asarray(context.trained.model.initial_value((group, variable)))
            found = _found(context.model, live, group, variable)
            complaints = [*_not_the_same(wanted, found), *_against(trainable, group, found, context.model)]
            broken += [f"{name}: {complaint}" for complaint in complaints]
            rows.append(
                [name, wanted.size, float(found.min()), float(found.max()), "; ".join(complaints) or "kept"]
            )
    broken += _connections(context.trained.model, live)
    return Finding(
        verdict(not broken),
        value=f"{len(broken)} broken, of {sum(row[1] for row in rows)} values in {len(rows)} arrays",
        reason="; ".join(broken[:4]) + (" ..." if len(broken) > 4 else ""),
        data={"broken": broken, "connected pairs": _sparsity(context.model)},
        tables=[
            Table(
                "Trained values as Brian2 holds them",
                ["parameter", "n", "smallest (SI)", "largest (SI)", "constraint"],
                rows,
                "Read back from a network built in Brian2; compared with the file bit by bit.",
            )
        ],
    )


def _found(model, live, group, variable):
    """A value in the live network, SI."""
    if not group:
        return np.asarray(live.inputs[variable].values)
    if variable in live[group].variables:
        return np.atleast_1d(live[group].variables[variable].get_value())
    return np.atleast_1d(np.asarray(model.initial_value((group, variable))))


def _not_the_same(wanted, found):
    if found.size != wanted.size:
        yield f"{found.size} values in Brian2, {wanted.size} in the file"
    elif differing := np.count_nonzero(_bits(found) != _bits(wanted)):
        yield f"{differing} values are not those of the file"
    if not np.all(np.isfinite(found)):
        yield "not finite"


def _bits(values):
    return np.asarray(values, dtype=np.float64).ravel().view(np.uint64)


def _against(trainable, group, found, model):
    """Constraints that the values in Brian2 break."""
    complaint = trainable.constraint.violation(found)
    if complaint:
        yield complaint
    if isinstance(trainable.constraint, Dale):
        projection = model[group]
        try:
            with warnings.catch_warnings(action="ignore"):
                trainable.signs(found, projection)
        except ValueError:
            mixed = np.intersect1d(projection.i[found > 0], projection.i[found < 0])
            yield f"{max(len(mixed), 1)} neurons against Dale's law"


def _connections(model, live):
    """Synapses in Brian2 that connect other neurons than those of the file."""
    for group in model.groups:
        if not hasattr(group, "i"):
            continue
        built = live[group.name]
        if not (np.array_equal(built.i[:], group.i) and np.array_equal(built.j[:], group.j)):
            yield f"{group.name} connects other neurons"


def _sparsity(model):
    """Connected pairs of each projection, as a part of all."""
    return {
        group.name: group.n / max(model[group.source[0]].n * model[group.target[0]].n, 1)
        for group in model.groups
        if hasattr(group, "i")
    }
