"""What is measured in simulated trials: which trials are run, what is counted in them, what is written."""

from brianbridge.measurement.timescales import NeuronTimescales, timescales, timescales_of

__all__ = ["NeuronTimescales", "timescales", "timescales_of"]
