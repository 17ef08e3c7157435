"""What the demonstration found, as a report."""

import numpy as np

from brianbridge.analysis import wilson_interval
from brianbridge.report import CaptionedFigure, Check, Report, Table
from brianbridge.report import figures as draw

UNITS = {"cells.tau_m": (1e-3, "ms"), "cells.R": (1e6, "MΩ"), "cells.theta": (1e-3, "mV"),
         "cells.v_rest": (1e-3, "mV"), "rec.tau": (1e-3, "ms"), "rec.w": (1e-12, "pA")}  # fmt: skip


def report_of(trained, task, live, same_trials, fresh_trials, wanted):
    """Checks, tables and figures.

    Parameters
    ----------
    trained : Trained
    task : Task
    live : Live
        The network into which the parameters were written.
    same_trials : tuple
        Trials, and the same in the surrogate and in Brian2.
    fresh_trials : tuple
        Trials, and their simulation in Brian2 at the training step and at a tenth of it.
    wanted : float
        Accuracy that training had to reach.

    Returns
    -------
    Report
    """
    few, same = same_trials
    fresh, coarse, fine = fresh_trials
    agreement = _agreement(same)
    by_dt = _by_dt(task, fresh, coarse, fine)
    reached = [value for value in trained.history["validated"] if value is not None]
    checks = [
        _criterion(reached, wanted),
        _identical_spikes(agreement),
        _read_back(trained, live),
        _constraints(trained),
        _time_step(by_dt),
    ]
    return Report(
        title="A spiking network trained on context-dependent integration",
        summary=_summary(trained, reached, agreement, by_dt),
        checks=checks,
        tables=[_agreement_table(agreement), _dt_table(by_dt)],
        figures=_figures(trained, few, same, coarse, fine),
        manifest={
            "model sha256": trained.hash,
            "task": {trained.task: trained.arguments},
            **trained.manifest,
        },
        data={"agreement": agreement, "time steps": by_dt, "history": trained.history},
    )


# -- numbers ------------------------------------------------------------------------------------------


def _agreement(same):
    """Spikes and output of each trial in the surrogate and in Brian2."""
    differing, differences = same.differing_bins, same.output_differences
    return [
        {
            "trial": trial + 1,
            "spikes in Brian2": int(same.brian2.raster("cells", trial).sum()),
            "spikes in the surrogate": int(same.spikes["cells"][:, trial].sum()),
            "differing bins": int(differing[trial]),
            "largest difference of the output": float(differences[trial]),
        }
        for trial in range(len(differing))
    ]


def _by_dt(task, fresh, coarse, fine):
    """Accuracy with its 95 % interval and firing rates at each time step."""
    rows = []
    for simulated in (coarse, fine):
        correct = task.score(simulated.outputs.values, fresh)
        low, high = wilson_interval(correct.sum(), len(correct))
        rates = simulated.rates("cells")
        rows.append(
            {
                "dt (ms)": simulated.dt * 1e3,
                "trials": len(correct),
                "accuracy": float(correct.mean()),
                "95 % interval": [float(low), float(high)],
                "mean rate (Hz)": float(rates.mean()),
                "median rate (Hz)": float(np.median(rates)),
            }
        )
    return rows


# -- checks -------------------------------------------------------------------------------------------


def _criterion(reached, wanted):
    value = reached[-1] if reached else None
    return Check(
        "Training criterion",
        "pass" if value is not None and value >= wanted else "fail",
        value=value,
        criterion=f"at least {wanted:.0%} of 100 fresh trials cross the right bound of ±0.8",
    )


def _identical_spikes(agreement):
    differing = sum(row["differing bins"] for row in agreement)
    total = sum(row["spikes in Brian2"] for row in agreement)
    return Check(
        "Same spikes in Brian2",
        "pass" if differing == 0 else "fail",
        value=f"{differing} differing bins, {total} spikes in {len(agreement)} trials",
        criterion="no differing spike bin at the training time step (float64, frozen noise and inputs)",
    )


def _read_back(trained, live):
    def written(name):
        group, variable = name.split(".")
        return np.asarray(live[group].variables[variable].get_value())

    same = all(np.array_equal(np.asarray(value), written(name)) for name, value in trained.values.items())
    return Check(
        "Parameters read back",
        "pass" if same else "fail",
        value=f"{sum(np.size(value) for value in trained.values.values())} values",
        criterion="every value in the Brian2 network has the bits of the trained one",
    )


def _constraints(trained):
    """Dale's law and bounds."""
    broken = []
    for trainable in trained.model.trainable:
        values = trained.model.initial_value(trainable.targets[0])
        if trainable.constraint.violation(values):
            broken.append(trainable.name)
    w, source = trained.model["rec"].values["w"], trained.model["rec"].i
    mixed = [i for i in np.unique(source) if (w[source == i] > 0).any() and (w[source == i] < 0).any()]
    return Check(
        "Dale's law and bounds",
        "fail" if broken or mixed else "pass",
        value=f"{len(mixed)} neurons of mixed sign, {len(broken)} parameters out of bounds",
        criterion="no neuron has outgoing weights of both signs; every bounded parameter is inside",
    )


def _time_step(by_dt):
    gap = by_dt[1]["accuracy"] - by_dt[0]["accuracy"]
    return Check(
        "Ten times finer time step",
        "pass" if abs(gap) <= 0.1 else "fail",
        value=f"{gap * 100:+.1f} points of accuracy",
        criterion="accuracy changes by at most 10 points (charge of a spike held fixed)",
        reason=f"rates {by_dt[0]['mean rate (Hz)']:.1f} Hz and {by_dt[1]['mean rate (Hz)']:.1f} Hz: the "
        "threshold is watched more often and the synaptic delay of one step is shorter",
    )


# -- words, tables and figures ------------------------------------------------------------------------


def _summary(trained, reached, agreement, by_dt):
    cells = trained.model["cells"].n
    differing = sum(row["differing bins"] for row in agreement)
    coarse, fine = by_dt
    return (
        f"{cells} leaky integrate-and-fire neurons with their own membrane parameters and a decay constant "
        "for each connection (Li, Kim & Sejnowski 2020) were trained by backpropagation through time in "
        f"{len(trained.history['loss'])} updates to {reached[-1] if reached else 0:.0%} correct. Brian2 "
        f"gives the same spikes step by step ({differing} differing bins in {len(agreement)} trials), "
        f"solves {coarse['accuracy']:.0%} of {coarse['trials']} fresh trials at 1 ms and "
        f"{fine['accuracy']:.0%} at 0.1 ms, at {coarse['mean rate (Hz)']:.1f} Hz and "
        f"{fine['mean rate (Hz)']:.1f} Hz."
    )


def _agreement_table(agreement):
    return Table(
        "Surrogate and Brian2, the same trials",
        list(agreement[0]),
        [list(row.values()) for row in agreement],
        caption="float64, dt = 1 ms, frozen noise and inputs, Brian2's numpy target.",
    )


def _dt_table(by_dt):
    rows = [
        [" to ".join(f"{x:.0%}" for x in v) if isinstance(v, list) else v for v in row.values()]
        for row in by_dt
    ]
    return Table(
        "The trained network at two time steps",
        list(by_dt[0]),
        rows,
        caption="The same fresh trials at both steps; membrane noise is drawn anew. Nothing was retrained.",
    )


def _figures(trained, few, same, coarse, fine):
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
        CaptionedFigure(
            draw.rates_by_dt(
                coarse.rates("cells"), fine.rates("cells"), coarse.dt * 1e3, fine.dt * 1e3, excitatory
            ),
            "Mean firing rate of every neuron at the two time steps, over the same trials.",
            "Scatter of firing rates at two time steps",
            "Rates",
        ),
    ]


def _excitatory(model):
    """Sign of every neuron, from its outgoing weights."""
    rec = model["rec"]
    negative = np.zeros(model["cells"].n, bool)
    np.logical_or.at(negative, rec.i, rec.values["w"] < 0)
    return ~negative
