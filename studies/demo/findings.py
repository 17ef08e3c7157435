"""What the demonstration adds to the report of the checks: the training, a trial, the trained parameters."""

import numpy as np

from brianbridge.report import CaptionedFigure, Check
from brianbridge.report import figures as draw

UNITS = {"cells.tau_m": (1e-3, "ms"), "cells.R": (1e6, "MΩ"), "cells.theta": (1e-3, "mV"),
         "cells.v_rest": (1e-3, "mV"), "rec.tau": (1e-3, "ms"), "rec.w": (1e-12, "pA")}  # fmt: skip


def add_findings(report, trained, few, same, wanted):
    """Put the training before the checks, and its figures before theirs.

    Parameters
    ----------
    report : Report
        Of the checks.
    trained : Trained
    few : Trials
    same : SameTrials
        These trials in the surrogate and in Brian2.
    wanted : float
        Accuracy that training had to reach.
    """
    reached = [value for value in trained.history["validated"] if value is not None]
    report.title = "A spiking network trained on context-dependent integration"
    examined = report.summary.rpartition(":")[0]  # without its count of verdicts, which one more has joined
    report.summary = f"{_summary(trained, reached)} {examined}."
    report.checks.insert(0, _criterion(reached, wanted))
    report.figures[:0] = _figures(trained, few, same)
    report.data["history"] = trained.history


def _criterion(reached, wanted):
    value = reached[-1] if reached else None
    return Check(
        "Training criterion",
        "pass" if value is not None and value >= wanted else "fail",
        value=value,
        criterion=f"at least {wanted:.0%} of 100 fresh trials cross the right bound of ±0.8",
    )


def _summary(trained, reached):
    return (
        f"{trained.model['cells'].n} leaky integrate-and-fire neurons with their own membrane parameters and "
        "a decay constant for each connection (Li, Kim & Sejnowski 2020) were trained by backpropagation "
        f"through time in {len(trained.history['loss'])} updates to {reached[-1] if reached else 0:.0%} "
        "correct."
    )


def _figures(trained, few, same):
    excitatory = _excitatory(trained.model)
    history = trained.history
    time = np.arange(few.steps) * few.dt * 1e3
    epochs = {name: tuple(edges[0] * few.dt * 1e3) for name, edges in few.epochs.items()}
    parameters, masks = {}, {}
    for name, (scale, unit) in UNITS.items():
        group, variable = name.split(".")
        parameters[name] = (np.asarray(trained.model[group].values[variable]) / scale, unit)
        masks[name] = excitatory if group == "cells" else excitatory[trained.model[group].i]
    return [
        CaptionedFigure(
            draw.loss_curve(np.arange(1, len(history["loss"]) + 1), history["loss"], history["accuracy"]),
            "Loss (root of the summed squared error) and accuracy of every training batch.",
            "Loss falls and accuracy rises over updates",
            "Training",
        ),
        CaptionedFigure(
            draw.example_trial(
                time,
                few.inputs["stimulus"][:, 0],
                few.targets[:, 0],
                same.output[:, 0],
                epochs,
                bound=0.8,
                channel_names=["stream 1", "stream 2", "context 1", "context 2"],
            ),
            "One trial: two noisy streams, the context that says which one counts, target and output.",
            "Inputs, target and output of one trial",
            "An example trial",
        ),
        CaptionedFigure(
            draw.raster(time, same.spikes["cells"][:, 0], excitatory),
            "Spikes of the same trial, identical in the surrogate and in Brian2.",
            "Raster of the same trial",
            "Spikes",
        ),
        CaptionedFigure(
            draw.parameter_distributions(parameters, masks),
            f"Trained parameters of {int(excitatory.sum())} excitatory and {int((~excitatory).sum())} "
            "inhibitory neurons; connections are grouped by the presynaptic neuron.",
            "Histograms of trained parameters for excitatory and inhibitory neurons",
            "Parameters",
        ),
    ]


def _excitatory(model):
    """Sign of every neuron, from its outgoing weights."""
    rec = model["rec"]
    negative = np.zeros(model["cells"].n, bool)
    np.logical_or.at(negative, rec.i, rec.values["w"] < 0)
    return ~negative
