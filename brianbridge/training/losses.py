"""Objectives: how far an output is from its target."""

import torch

__all__ = ["mean_square", "root_sum_square"]


def root_sum_square(output, target, mask):
    """Root of the summed squared error, averaged over trials (Li, Kim & Sejnowski 2020; they call it RMSE).

    Parameters
    ----------
    output, target, mask : Tensor, shape (time, batch, outputs)

    Returns
    -------
    Tensor, scalar
    """
    return torch.sqrt((mask * (output - target) ** 2).sum(dim=(0, 2))).mean()


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
