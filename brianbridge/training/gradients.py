"""Gradients that are missing, silent, not finite or too steep: found, and explained."""

import warnings
from pathlib import Path

import torch

import brianbridge
from brianbridge.model.constraints import Bounds, Positive

__all__ = ["GradientWatch", "check_reach", "not_finite"]

PATIENCE = 5  # updates without any gradient before a warning
MILLIONTH = 1e-6
PACKAGE = str(Path(brianbridge.__file__).parent)  # warnings point at the line of the user's own that led here


def check_reach(surrogate):
    """Refuse parameters on which the loss does not depend.

    Raises
    ------
    ValueError
    """
    for name, raw in surrogate.named_values().items():
        if raw.grad is None:
            raise ValueError(f"No gradient reaches {name} from the output; leave it out of train=.")


def not_finite(surrogate, loss, update):
    """Say what is not finite, and what usually helps; None if all is.

    Parameters
    ----------
    surrogate : Surrogate
        After the backward pass.
    loss : Tensor
    update : int

    Returns
    -------
    str or None
    """
    if not torch.isfinite(loss):
        return f"The loss became {loss.item()} in update {update}."
    for name, raw in surrogate.named_values().items():
        # squares of finite numbers may overflow in the joint norm
        if not torch.isfinite(raw.grad.square().sum()):
            return f"The gradient of {name} is not finite in update {update}. {_cause(surrogate)}"
    return None


class GradientWatch:
    """Warns once of parameters that learn nothing, and once of gradients that are too steep to follow.

    Parameters
    ----------
    surrogate : Surrogate
    """

    def __init__(self, surrogate):
        self.surrogate, self.seen, self.steep = surrogate, 0, False
        self.silent = set(surrogate.named_values())

    def __call__(self, update, loss, norm):
        """Look at the gradients of an update, before clipping.

        Parameters
        ----------
        update : int
        loss : float
        norm : float
            Joint norm of the gradients.
        """
        self.seen += 1
        if self.seen <= PATIENCE:
            self._look_for_silence()
        if not self.steep:
            self._look_for_steepness(update, loss, norm)

    def _look_for_silence(self):
        values = self.surrogate.named_values()
        self.silent = {name for name in self.silent if not values[name].grad.any()}
        if self.silent and self.seen == PATIENCE:
            _warn(
                f"The gradient of {', '.join(sorted(self.silent))} was exactly zero in the first {PATIENCE} "
                "updates: nothing is learned there. Is the output connected (readout weights not all zero)? "
                "Do the neurons spike, or come within the width of the spike gradient of their threshold?"
            )

    def _look_for_steepness(self, update, loss, norm):
        """Whether changing all parameters by a millionth could change the loss by more than itself."""
        changes = {
            name: MILLIONTH * float((_relative(parameter, raw) * raw.grad).abs().sum())
            for parameter in self.surrogate.parameter
            for name, raw in parameter.tensors().items()
            if raw.requires_grad
        }
        if sum(changes.values()) <= abs(loss):
            return
        self.steep = True
        most = max(changes, key=changes.get)
        _warn(
            f"The gradient is too steep to be followed: in update {update}, changing the parameters by a "
            f"millionth of their values would change the loss of {loss:.3g} by {sum(changes.values()):.1e}, "
            f"mostly through {most} (joint norm of the gradients before clipping: {norm:.1e}). "
            f"{_cause(self.surrogate)}"
        )


def _relative(parameter, raw):
    """Change of the unconstrained values that changes a parameter by about its own size."""
    logarithmic = isinstance(parameter.trainable.constraint, Bounds | Positive)
    return torch.ones_like(raw) if logarithmic else raw.detach()


def _cause(surrogate):
    """What makes gradients grow in such a network, and what helps."""
    spiking = any(gradient is not None for gradient in surrogate.spike_gradients.values())
    if spiking and surrogate.ops.reset_gradient:
        return (
            "The spike gradient through the reset is steep: compared with the distance from reset to "
            "threshold it is narrow, and the gradient grows through every reset. Use a wider one "
            "(bb.Box(width=25*mV)), or Surrogate(..., reset_gradient=False)."
        )
    if spiking:
        return (
            "The gradient grows from spike to spike. Use a wider spike gradient (bb.Box(width=25*mV)), start "
            "from weaker recurrent weights, or cut the gradient with fit(..., truncate=200*ms)."
        )
    return (
        "The gradient grows from step to step. Start from weaker recurrent weights, or cut the gradient with "
        "fit(..., truncate=200*ms)."
    )


def _warn(text):
    warnings.warn(text, UserWarning, skip_file_prefixes=(PACKAGE,))
