"""Spike gradients: what replaces the derivative of the Heaviside step in the backward pass.

Each has a `derivative` and its `primitive`. The primitive takes the place of the step in the smooth forward
pass, in which gradients can be compared with finite differences.
"""

import ast
from abc import ABC, abstractmethod

import torch
from brian2.units.fundamentalunits import get_dimensions

from brianbridge.model.quantities import read_quantity

__all__ = ["Box", "CustomGradient", "FastSigmoid", "SpikeGradient", "Triangle", "read_spike_gradient"]


class SpikeGradient(ABC):
    """Derivative of a spike with respect to the distance of the membrane from its threshold.

    Parameters
    ----------
    width : Quantity or float
        The scale on which the derivative falls off, in the unit of the threshold's left side.
    height : Quantity or float, optional
        The derivative at threshold, in the inverse unit; the default makes the integral 1, so that the
        primitive rises from 0 to 1.

    Raises
    ------
    ValueError
        If the width is not positive, or the height has another unit than 1/width.
    """

    def __init__(self, width, height=None):
        self.dimensions = get_dimensions(width)
        self.width = float(width)
        if not self.width > 0:
            raise ValueError(f"{type(self).__name__}(width={width}): the width must be positive.")
        if height is not None and get_dimensions(height) != get_dimensions(1 / width):
            raise ValueError(
                f"{type(self).__name__}(width={width}, height={height}): the height must have the unit of "
                "1/width."
            )
        self.height = self.unit_height / self.width if height is None else float(height)
        self.given_as = f"{type(self).__name__}(width={width!r}" + (
            ")" if height is None else f", height={height!r})"
        )

    #: Height of the derivative for width 1 and integral 1.
    unit_height = 1.0

    @abstractmethod
    def derivative(self, x):
        """Derivative at the distance `x` from threshold (SI), a tensor of the shape of `x`."""

    @abstractmethod
    def primitive(self, x):
        """Integral of the derivative, 0 far below and (for the default height) 1 far above threshold."""

    def __repr__(self):
        return self.given_as


class Box(SpikeGradient):
    """Constant within `width` around the threshold, zero outside (Li, Kim & Sejnowski 2020).

    `width` is the total width. The paper's formulas with epsilon = 5 mV can be read in two ways:
    ``Box(width=5*mV)`` and ``Box(width=25*mV)`` (height 0.04/mV, the one that is stable through the reset).
    """

    def derivative(self, x):
        return (x.abs() <= self.width / 2).to(x.dtype) * self.height

    def primitive(self, x):
        return (x + self.width / 2).clamp(0, self.width) * self.height


class Triangle(SpikeGradient):
    """Falls linearly to zero at distance `width` on either side (Bellec et al. 2018)."""

    def derivative(self, x):
        return (1 - x.abs() / self.width).clamp(min=0) * self.height

    def primitive(self, x):
        u = (x / self.width).clamp(-1, 1)
        return (0.5 + u - 0.5 * u * u.abs()) * self.height * self.width


class FastSigmoid(SpikeGradient):
    """``1/(1 + |x|/width)**2`` (Zenke & Ganguli 2018); `width` is the distance at which a quarter is left."""

    unit_height = 0.5

    def derivative(self, x):
        return self.height / (1 + x.abs() / self.width) ** 2

    def primitive(self, x):
        return self.height * (self.width + x / (1 + x.abs() / self.width))


class CustomGradient(SpikeGradient):
    """A user's own function.

    Parameters
    ----------
    derivative : callable
        Takes the distance from threshold divided by `width` (a tensor) and returns the derivative times
        `width` (dimensionless).
    width : Quantity or float
    primitive : callable, optional
        Its integral; needed only for the smooth forward pass.
    """

    def __init__(self, derivative, width, primitive=None):
        super().__init__(width)
        self._derivative = derivative
        self._primitive = primitive

    def derivative(self, x):
        return self._derivative(x / self.width) / self.width

    def primitive(self, x):
        if self._primitive is None:
            raise ValueError(
                "CustomGradient: the smooth forward pass needs primitive=, the integral of derivative."
            )
        return self._primitive(x / self.width)


def read_spike_gradient(text):
    """The spike gradient whose ``repr`` is this text, as in the manifest of a trained network.

    Parameters
    ----------
    text : str

    Returns
    -------
    SpikeGradient or None

    Raises
    ------
    ValueError
        Where the text is that of no `Box`, `Triangle` or `FastSigmoid`.
    """
    kinds = {kind.__name__: kind for kind in (Box, Triangle, FastSigmoid)}
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Constant) and call.value is None:
            return None
        arguments = {keyword.arg: read_quantity(ast.unparse(keyword.value)) for keyword in call.keywords}
        return kinds[call.func.id](**arguments)
    except (SyntaxError, AttributeError, KeyError, TypeError):
        raise ValueError(f"{text!r} is no spike gradient that can be read from text.") from None


class Spike(torch.autograd.Function):
    """Forward: the comparison that Brian2 makes. Backward: the spike gradient at the same distance."""

    @staticmethod
    def forward(ctx, distance, hard, gradient):
        ctx.save_for_backward(distance)
        ctx.gradient = gradient
        return hard.to(distance.dtype)

    @staticmethod
    def backward(ctx, upstream):
        (distance,) = ctx.saved_tensors
        return upstream * ctx.gradient.derivative(distance), None, None
