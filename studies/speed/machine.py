"""What the machine could do at best."""

import time

import numpy as np

SIDE = 1500


def gflops():
    """Speed of a large matrix product in single precision, in 1e9 operations per second: the best of five."""
    a, b = (np.random.default_rng(seed).standard_normal((SIDE, SIDE), dtype=np.float32) for seed in (0, 1))
    a @ b  # the first one starts the threads
    return max(_one(a, b) for _ in range(5))


def _one(a, b):
    start = time.perf_counter()
    a @ b
    return 2 * SIDE**3 / (time.perf_counter() - start) / 1e9


def roofline_ms(n, t, batch, gflops):
    """Time of an update with dense products alone: forward, adjoint, and gradient of the weights."""
    return 3 * 2 * n**2 * batch * t / gflops / 1e6
