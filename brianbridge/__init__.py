"""Train Brian2 networks by gradient, and prove in Brian2 that they are still the same networks."""

import importlib

__version__ = "0.1.0"

#: Public name to the module that defines it; modules are loaded when a name is first used (PEP 562), so that
#: what needs no torch does not import it.
_HOME = {
    "wrap": "brianbridge.bridge",
    "load": "brianbridge.bridge",
    "Model": "brianbridge.model.description",
    "Refused": "brianbridge.model.refusals",
    "OrderTie": "brianbridge.generation.ties",
    "RoundedTimes": "brianbridge.generation.rounding",
    "Bounds": "brianbridge.model.constraints",
    "Positive": "brianbridge.model.constraints",
    "Dale": "brianbridge.model.constraints",
    "Free": "brianbridge.model.constraints",
    "LowRank": "brianbridge.model.low_rank",
    "transfer": "brianbridge.model.transfer",
    "rescale_time": "brianbridge.model.time_scale",
    "as_modes": "brianbridge.model.mode_neurons",
    "Surrogate": "brianbridge.surrogate.module",
    "Box": "brianbridge.surrogate.spike_gradients",
    "FastSigmoid": "brianbridge.surrogate.spike_gradients",
    "Triangle": "brianbridge.surrogate.spike_gradients",
    "CustomGradient": "brianbridge.surrogate.spike_gradients",
    "fit": "brianbridge.training.fitting",
    "Trained": "brianbridge.trained.network",
    "simulate": "brianbridge.simulation.trials",
    "keep_builds": "brianbridge.simulation.standalone",
    "perturb": "brianbridge.perturb",
    "timescales": "brianbridge.measurement.timescales",
    "check": "brianbridge.checks",
    "Report": "brianbridge.report",
    "analysis": "brianbridge.analysis",
    "initial": "brianbridge.initial",
    "tasks": "brianbridge.tasks",
    "training": "brianbridge.training",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'brianbridge' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = module if _HOME[name] == f"brianbridge.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return [*__all__, "__version__"]
