"""Derivatives of a surrogate: by autograd, and by differences of its smooth forward pass."""

import inspect
from dataclasses import replace

import torch

from brianbridge.model.capture import capture
from brianbridge.model.constraints import Free, Trainable
from brianbridge.surrogate.module import Surrogate
from tests.agreement.backends import assert_gradients_agree


def trained(network, *targets, namespace=None):
    """Model of a network in which ``(group, variable)`` are trained."""
    if namespace is None:
        frame = inspect.currentframe().f_back
        namespace = {**frame.f_globals, **frame.f_locals}
    model = capture(network, namespace)
    groups = {obj.name: obj for obj in network.objects}
    trainables = []
    for group, variable in targets:
        dimensions = groups[group].variables[variable].dim
        trainables.append(Trainable(((group, variable),), Free(), dimensions))
    return replace(model, trainable=tuple(trainables))


def scales(surrogate, record, steps, **options):
    with torch.no_grad():
        records = surrogate(duration=steps * surrogate.dt, record=record, **options)
    return {name: float(records[name].abs().max()) or 1.0 for name in record}


def check_against_finite_differences(model, gradient, record, steps, tolerance=1e-6, **options):
    assert_gradients_agree(model, gradient, record, steps, **options)
    surrogate = Surrogate(model, gradient, dtype=torch.float64, smooth=True, segment=None)
    scale = scales(surrogate, record, steps, **options)

    def loss():
        records = surrogate(duration=steps * surrogate.dt, record=record, **options)
        generator = torch.Generator().manual_seed(7)
        return sum(
            (
                records[name]
                / scale[name]
                * torch.randn(records[name].shape, generator=generator, dtype=torch.float64)
            ).sum()
            for name in record
        )

    loss().backward()
    for parameter in surrogate.parameter:
        raw = parameter.raw
        assert torch.isfinite(raw.grad).all(), parameter.trainable.name
        numeric = torch.stack([central(loss, raw, k) for k in range(raw.numel())])
        ours = raw.grad.reshape(-1)
        large = numeric.abs() > 1e-4 * numeric.abs().max()
        assert large.any(), f"{parameter.trainable.name} has no effect"
        worst = ((ours - numeric).abs() / numeric.abs())[large].max()
        assert worst < tolerance, f"{parameter.trainable.name}: {ours} is not {numeric}"


def weights(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def central(loss, raw, k):
    """Derivative by two central differences, extrapolated (error of fourth order)."""
    flat = raw.view(-1)
    start = float(flat[k])

    def slope(step):
        flat[k] = start + step
        above = float(loss())
        flat[k] = start - step
        below = float(loss())
        flat[k] = start
        return (above - below) / (2 * step)

    step = 1e-3 * max(abs(start), 1e-2)
    return torch.tensor((4 * slope(step / 2) - slope(step)) / 3, dtype=torch.float64)


def gradients(model, gradient, record, steps, **options):
    surrogate = Surrogate(model, gradient, **{"dtype": torch.float64, **options})
    records = surrogate(duration=steps * surrogate.dt, record=record, seed=3)
    sum((records[name] / records[name].detach().abs().max()).sum() for name in record).backward()
    return {p.trainable.name: p.raw.grad.clone() for p in surrogate.parameter}
