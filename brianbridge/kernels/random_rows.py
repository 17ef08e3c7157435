"""Rows of random numbers in C, compiled apart from the kernels, so that all of them draw the same bits."""

import ctypes
from functools import cache
from importlib import resources

import torch

from brianbridge.kernels.compiler import library

__all__ = ["random_library", "row_function"]

FUNCTIONS = {"rand": "uniform", "randn": "normal", "poisson": "uniform"}


@cache
def random_library(dtype):
    """The library of random.c for one floating point type, as `ctypes.CDLL`."""
    text = resources.files("brianbridge.kernels").joinpath("runtime", "random.c").read_text()
    return library("#define SINGLE\n" * (dtype == torch.float32) + text, single=False)


def row_function(function, dtype):
    """Address of the C function that draws a row.

    Parameters
    ----------
    function : str
        ``'rand'``, ``'randn'`` or ``'poisson'``.
    dtype : torch.dtype

    Returns
    -------
    int
    """
    return ctypes.cast(random_library(dtype)[FUNCTIONS[function]], ctypes.c_void_p).value
