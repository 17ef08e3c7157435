"""The regulariser against vanishing gradients (Song, Yang & Wang 2016, after Pascanu et al. 2013)."""

from dataclasses import dataclass, field

import torch
from brian2.units.fundamentalunits import Quantity
from brian2.units.stdunits import ms

from brianbridge.model.naming import trainable_name, variable_name

__all__ = ["VanishingGradient"]

SMALLEST = 1e-20  # of |dL/dx|² that counts, as in the authors' code


@dataclass(eq=False)
class VanishingGradient:
    """Asks that the gradient with respect to a state neither grows nor shrinks from step to step.

    With g(t) = dL/dx(t), this is `strength` times ``(|g(t) dx(t)/dx(t-1)|² / |g(t)|² - 1)²``, summed over
    time and averaged over trials. Only its immediate derivative with respect to the recurrent weights is
    used: x and g count as constants.

    Parameters
    ----------
    state : VariableView or str
        The state x of the units. Its equation needs white noise (``xi``), from whose gradient g is read.
    weights : VariableView or str
        The recurrent weights, through which x acts on itself in one step.
    strength : float
    normalise : {'sum', 'mean'}
        'sum' over time, as in the paper; or the 'mean' over all times and trials whose gradient is not zero
        (``|g|²`` of 1e-20 or more), as in the authors' code.

    Notes
    -----
    Steps count from the second one on, as x is recorded at the end of each. The authors' code takes the slope
    of the nonlinearity at x(t), here it is that at x(t-1), as in the paper.

    Raises
    ------
    ValueError
        If x has no noise, or if its next value follows from more than x, inputs and noise.
    """

    state: object
    weights: object
    strength: float = 2.0
    normalise: str = "sum"
    _twin: object = field(default=None, init=False, repr=False)

    #: It looks at the gradient of the loss: it is asked after the backward pass.
    after_backward = True

    def __post_init__(self):
        if self.normalise not in ("sum", "mean"):
            raise ValueError(f"VanishingGradient: normalise={self.normalise!r} is neither 'sum' nor 'mean'.")

    @property
    def record(self):
        """What it wants recorded."""
        return (self.state,)

    def add_gradient(self, simulated):
        """Add its gradient to that of the weights.

        Parameters
        ----------
        simulated : Simulated
            After the backward pass of the loss, with gradients of the random numbers.

        Returns
        -------
        float
            The value of the term.
        """
        name = trainable_name(self.weights, simulated.surrogate.model)
        raw = simulated.surrogate.named_values()[name]
        step, before, noise = self._one_step(simulated)
        after = step(before)
        self._check(simulated, after)
        g = self._state_gradient(simulated, after, noise)
        (v,) = torch.autograd.grad(after, before, g)
        squared, length = g.square().sum(-1), v.norm(dim=-1)
        counts = squared >= SMALLEST
        squared = torch.where(counts, squared, 1.0)
        excess = torch.where(counts, length**2 / squared - 1, 0.0)
        number = counts.sum().clamp(min=1) if self.normalise == "mean" else len(simulated.trials)
        weight = 4 * self.strength / number * excess * length / squared
        (gradient,) = torch.autograd.grad(_along(step, before, v, g, weight), [raw], allow_unused=True)
        if gradient is None or not gradient.any():
            raise ValueError(f"VanishingGradient: {name} is not among the weights from the state to itself.")
        raw.grad = gradient if raw.grad is None else raw.grad + gradient
        return float(self.strength / number * excess.square().sum())

    def _one_step(self, simulated):
        """All steps of all trials at once, as a function of the states before them; these; the noise."""
        name = self._name(simulated)
        if self._twin is None or self._twin.parameter is not simulated.surrogate.parameter:
            self._twin = simulated.surrogate.twin(dtype=torch.float64)
        before = _as_trials(simulated.records[name][:-1])[0].requires_grad_()
        noise = {key: _as_trials(rows[1:]).requires_grad_() for key, rows in simulated.noise.items()}
        inputs = _held(simulated, len(simulated.records[name]))

        def step(states):
            records = self._twin(
                inputs=inputs,
                duration=Quantity(float(self._twin.dt), dim=ms.dim),
                record=[name],
                initial={name: states},
                noise=noise,
                batch=len(states),
            )
            return records[name][0]

        return step, before, noise

    def _check(self, simulated, after):
        name = self._name(simulated)
        expected = _as_trials(simulated.records[name][1:])[0]
        if not torch.allclose(after, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())):
            raise ValueError(
                f"VanishingGradient: the next value of {name} follows from more than {name}, the inputs and "
                "noise. It is made for rate networks whose only state is x."
            )

    def _state_gradient(self, simulated, after, noise):
        """Gradient dL/dx(t), read from that of the noise, which is added to x."""
        name = self._name(simulated)
        own = [key for key in noise if key.startswith(f"{name.split('.')[0]}_stateupdater")]
        scales = torch.autograd.grad(
            after.sum(), [noise[key] for key in own], retain_graph=True, allow_unused=True
        )
        for key, scale in zip(own, scales):
            gradient = simulated.noise[key].grad
            if scale is not None and (scale != 0).all() and gradient is not None:
                return (_as_trials(gradient[1:]) / scale)[0]
        raise ValueError(
            f"VanishingGradient reads dL/dx from the noise of x, but {name} has none. Add a little to its "
            "equation: dx/dt = ... + 1e-6*sqrt(2/tau)*xi."
        )

    def _name(self, simulated):
        return ".".join(variable_name(self.state, simulated.surrogate.model))


def _along(step, before, v, g, weight):
    """Sum of weight * g dx(t)/dx(t-1) u with u along v, whose derivative is wanted.

    By central differences in double precision. Second derivatives of a step would need the eager back end,
    which takes eight times as long for the published network.
    """
    size = 1e-6 * before.detach().abs().max().clamp(min=1e-30)
    u = size * torch.nn.functional.normalize(v, dim=-1, eps=1e-300)
    change = step(before.detach() + u) - step(before.detach() - u)
    return (weight[:, None] * g * change).sum() / (2 * size)


def _held(simulated, steps):
    """Values of every timed input in each step of the network but the first, as trials of one step."""
    surrogate, held = simulated.surrogate, {}
    for timed in surrogate.model.inputs:
        values = simulated.inputs.get(timed.name)
        if values is None:
            values = torch.tensor(timed.values).reshape(len(timed.values), 1, -1)
            values = values.expand(-1, len(simulated.trials), -1)
        every = timed.dt / float(surrogate.dt)
        rows = [min(int((step + 1e-6) / every), len(values) - 1) for step in range(1, steps)]
        flat = _as_trials(values[rows])
        held[timed.name] = flat if timed.values.ndim == 2 else flat[..., 0]
    return held


def _as_trials(rows):
    """Steps of a batch, (time, batch, n), as trials of one step, (1, time * batch, n), without gradient."""
    return rows.detach().reshape(1, -1, rows.shape[-1]).double()
