"""Losses: how far an output is from its target.

A loss takes output, target and mask, tensors of the shape (time, batch, outputs), and returns one number. Any
function that does so is one.
"""

from dataclasses import dataclass

import torch

__all__ = ["MaxOverTime", "binary_cross_entropy", "cross_entropy", "mean_square", "root_sum_square"]


def root_sum_square(output, target, mask):
    """Root of the summed squared error, averaged over trials (Li, Kim & Sejnowski 2020; they call it RMSE).

    Parameters
    ----------
    output, target, mask : Tensor, shape (time, batch, outputs)

    Returns
    -------
    Tensor, scalar
    """
    squares = (mask * (output - target) ** 2).sum(dim=(0, 2))
    # the root has no derivative at zero, which a trial that is solved exactly would meet
    return torch.where(squares > 0, torch.sqrt(torch.where(squares > 0, squares, 1.0)), 0.0).mean()


def mean_square(output, target, mask):
    """Squared error averaged over all unmasked values (Song, Yang & Wang 2016, eq. 17).

    Parameters
    ----------
    output, target, mask : Tensor, shape (time, batch, outputs)

    Returns
    -------
    Tensor, scalar
    """
    return (mask * (output - target) ** 2).sum() / mask.sum()


def cross_entropy(output, target, mask):
    """Cross-entropy of the softmax over outputs, averaged over all unmasked steps.

    Parameters
    ----------
    output : Tensor, shape (time, batch, outputs)
        Before the softmax.
    target : Tensor
        Probabilities; one-hot as a rule.
    mask : Tensor
        A step counts where it is 1 for any output.

    Returns
    -------
    Tensor, scalar
    """
    counts = mask.amax(dim=2)
    return -(counts * (target * torch.log_softmax(output, dim=2)).sum(dim=2)).sum() / counts.sum()


def binary_cross_entropy(output, target, mask):
    """Cross-entropy of the sigmoid of each output, averaged over all unmasked values.

    Parameters
    ----------
    output : Tensor, shape (time, batch, outputs)
        Before the sigmoid.
    target : Tensor
        From 0 to 1.
    mask : Tensor

    Returns
    -------
    Tensor, scalar
    """
    each = torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none")
    return (mask * each).sum() / mask.sum()


@dataclass(frozen=True)
class MaxOverTime:
    """A loss of the largest value that each output takes, whenever it does.

    The target is the largest unmasked one. Lin & Huang (2024) take the maximum of the units, before the
    readout: there the network holds it as a variable (see the task `Digits`).

    Parameters
    ----------
    loss : callable
    """

    loss: object = cross_entropy

    def __call__(self, output, target, mask):
        """Loss of the maxima."""
        wanted = torch.where(mask > 0, target, -torch.inf).amax(dim=0, keepdim=True)
        counts = mask.amax(dim=0, keepdim=True)
        wanted = torch.where(counts > 0, wanted, 0.0)
        return self.loss(output.amax(dim=0, keepdim=True), wanted, counts)
