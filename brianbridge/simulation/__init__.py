"""Simulation of trained networks in Brian2 itself. No torch."""
