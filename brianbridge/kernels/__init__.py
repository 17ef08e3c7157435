"""Compiled kernels: the generated step in C, with its exact adjoint."""
