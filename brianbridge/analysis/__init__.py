"""
Analyses of choices, spikes and parameters, for plain numpy arrays from any simulator or recording.

Each module answers one question and returns its numbers by name; none needs PyTorch or Brian2.
"""

from .psychometric import CueCombination, PsychometricFit, compare_cues, fit_psychometric
from .statistics import wilson_interval

__all__ = ["CueCombination", "PsychometricFit", "compare_cues", "fit_psychometric", "wilson_interval"]
