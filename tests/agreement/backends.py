"""Compare the two back ends: kernels in C with PyTorch, operation by operation."""

import torch

from brianbridge.surrogate.module import Surrogate

STATES = 1e-7  # of a variable's range, over whole runs: rounding differs, and networks amplify it
GRADIENTS = 1e-9  # of the largest of a parameter


def assert_compiled_agrees(model, expected, record, duration):
    """Simulate with the compiled back end: the same events, and states that differ by rounding only.

    Parameters
    ----------
    model : Model
    expected : Records
        Of the eager back end, in float64.
    record : list of str
    duration : Quantity

    Returns
    -------
    str
        Which back end took the steps: ``'eager'`` where a network cannot be compiled.
    """
    compiled = Surrogate(model, dtype=torch.float64)
    with torch.no_grad():
        found = compiled(duration=duration, record=record, seed=expected.final.seed)
    for name in record:
        assert_close(found[name], expected[name], name)
    return compiled.backend


def assert_close(found, expected, name):
    assert found.shape == expected.shape and found.dtype == expected.dtype, name
    if torch.equal(found, expected):
        return
    found, expected = found.double(), expected.double()
    assert torch.equal(found.isfinite(), expected.isfinite()), name
    finite = expected.isfinite()
    found, expected = found[finite], expected[finite]
    extent = (expected.max() - expected.min()) or expected.abs().max() or 1.0
    far = ((found - expected).abs().max() / extent).item()
    assert far <= STATES, f"{name} differs by {far:.3g} of its range"


def assert_gradients_agree(model, gradient, record, steps, **options):
    """The same gradients of all trained parameters from both back ends."""
    found = {}
    for backend in (None, "eager"):
        surrogate = Surrogate(model, gradient, dtype=torch.float64, backend=backend)
        records = surrogate(duration=steps * surrogate.dt, record=record, **{"seed": 3, **options})
        scaled = (records[name] / (records[name].detach().abs().max() or 1) for name in record)
        sum((values * _weights(values)).sum() for values in scaled).backward()
        found[backend] = {name: _gradient(raw) for name, raw in surrogate.named_values().items()}
    for name, expected in found["eager"].items():
        ours = found[None][name]
        assert torch.equal(ours.isnan(), expected.isnan()), (
            f"the gradient of {name} is {ours}, not {expected}"
        )
        far = (ours - expected).nan_to_num(0).abs().max().item()
        scale = expected.nan_to_num(0).abs().max().item()
        assert far <= GRADIENTS * scale, f"the gradient of {name} differs by {far:.3g} of {scale:.3g}"


def _gradient(raw):
    """Zero where nothing depends on a parameter."""
    return torch.zeros_like(raw) if raw.grad is None else raw.grad


def _weights(like):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64)
