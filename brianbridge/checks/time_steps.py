"""Rung 6: the network at finer time steps, on the same Brownian path, and the causes of what changes."""

from dataclasses import replace

import numpy as np

from brianbridge.analysis import interval_variability
from brianbridge.checks.attribution import CAUSES, with_causes
from brianbridge.checks.distances import distances, spike_trains
from brianbridge.checks.finding import Finding, NotApplicable, Table, verdict
from brianbridge.checks.fine_tuning import fine_tuning, table_of
from brianbridge.checks.noise import coarsened, drawn_noise, noise_places
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.report import CaptionedFigure
from brianbridge.report.figures import attribution_of_rates

__all__ = ["draw", "measure"]

NUDGE = 1e-12  # volts: 1e-9 mV


def measure(context):
    """Spike trains at finer steps against those of the training's step: the same trials, the same path.

    Their distance is set against that of two draws of the noise, and of a nudge of 1e-9 mV.
    """
    dependent = step_dependence(context.trained.model)
    if dependent:
        raise NotApplicable(f"{dependent}: another time step is another model")
    places = noise_places(context.model)
    if not places or any(function != "randn" for function, _ in places.values()):
        raise NotApplicable("needs Gaussian noise (xi), and nothing else that is random")
    factors = _factors(context)
    path = drawn_noise(context.model, context.few, context.seed, factors[-1])
    runs = {factor: _run(context, context.model, path, factor, factors[-1]) for factor in factors}
    reference, finest = runs[1], runs[factors[-1]]
    if not any(spikes.sizes["spike"] for spikes in reference.spikes.values()):
        raise NotApplicable("no neuron spikes at the training's time step")
    null = distances(reference, _with_other_noise(context))
    nudged = distances(reference, _run(context, _nudged(context.model), path, 1, factors[-1]))
    tuned, tuning = fine_tuning(context, finest.dt)
    causes = _causes(context, path, factors[-1], reference, finest)
    causes.append(_tuned_row(context, tuned, path, factors[-1], reference))
    data = {
        "trials": len(context.few),
        "steps": [_row(run, reference) for run in runs.values()],
        "other noise": {"Victor-Purpura": null[0], "van Rossum": null[1]},
        "nudged by 1e-9 mV": {"Victor-Purpura": nudged[0], "van Rossum": nudged[1]},
        "attribution": causes,
        "fine-tuning": tuning,
    }
    return _finding(data, context.margins["time_steps"])


def _finding(data, margin):
    rows, null = data["steps"], data["other noise"]["Victor-Purpura"]
    worst = max(row["Victor-Purpura"] for row in rows[1:])
    passed = worst <= margin * null
    return Finding(
        verdict(passed),
        value=f"Victor-Purpura distance {worst:.3g} to the training's step, {null:.3g} between two draws "
        "of the noise; mean rates " + ", ".join(f"{row['rate (Hz)']:.3g} Hz" for row in rows),
        reason="" if passed else "a finer step takes spikes farther than another noise does",
        detects=f"a distance of {margin * null:.3g}; a nudge of 1e-9 mV has "
        f"{data['nudged by 1e-9 mV']['Victor-Purpura']:.2g}",
        data=data,
        tables=_tables(data),
    )


def _tables(data):
    why = data["fine-tuning"].get("reason")
    return [
        _table(
            "The network at finer time steps",
            data["steps"],
            f"n = {data['trials']} trials, inputs held, noise on the same Brownian path. Distances: "
            "means of single spike trains to those at the training's step (cost 1/(10 ms), time constant "
            "10 ms); effect sizes: Cohen's d of paired neurons.",
        ),
        _table(
            "What changes with the time step",
            data["attribution"],
            "At the finest step, one cause after the other made as at the training's step; last, the network "
            "without these changes, fine-tuned there" + (f" (not run: {why})." if why else "."),
        ),
        *table_of(data["fine-tuning"]),
    ]


def _factors(context):
    """Whole numbers of fine steps in one of the training's that divide the finest one."""
    factors = sorted({round(context.training_dt / dt) for dt in context.finer})
    factors = [factor for factor in factors if factor > 1 and factors[-1] % factor == 0]
    if not factors:
        raise NotApplicable("no finer time step was asked for that divides the training's")
    return [1, *factors]


def _run(context, model, path, factor, finest):
    noise = coarsened(path, finest // factor)
    return context.run(model, context.few, context.training_dt / factor, noise=noise)


def _with_other_noise(context):
    noise = drawn_noise(context.model, context.few, context.seed + 1)
    return context.run(context.model, context.few, noise=noise)


def _row(run, reference):
    victor_purpura, van_rossum = distances(reference, run)
    seen, before = _statistics(run), _statistics(reference)
    row = {
        "dt (ms)": run.dt * 1e3,
        "rate (Hz)": float(_mean(seen["rate"])),
        "CV": float(_mean(seen["CV"])),
        "correlation": float(_mean(seen["correlation"])),
        "Victor-Purpura": victor_purpura,
        "van Rossum": van_rossum,
    }
    return row | {f"d of {name}": _cohens_d(seen[name], before[name]) for name in seen}


def _statistics(run):
    """Rate and CV of every neuron, and its mean correlation with the others (counts in 20 ms)."""
    rates, variability, correlations = [], [], []
    for group in run.spikes:
        rates.append(run.rates(group).values)
        variability.append(_mean(_variability(run, group)))
        raster = run.raster(group).values
        width = max(round(0.02 / run.dt), 1)
        bins = raster[: len(raster) // width * width].reshape(-1, width, *raster.shape[1:]).sum(axis=1)
        counts = bins.reshape(-1, bins.shape[2])
        with np.errstate(all="ignore"):
            matrix = np.corrcoef(counts.T)
        np.fill_diagonal(matrix, np.nan)
        correlations.append(_mean(matrix))
    return {
        "rate": np.concatenate(rates),
        "CV": np.concatenate(variability),
        "correlation": np.concatenate(correlations),
    }


def _variability(run, group):
    """CV of the intervals of every neuron in every trial: (trial, neuron)."""
    trains = [train[np.isfinite(train)] for train in spike_trains(run, group)]
    return interval_variability(trains).cv.reshape(len(run.trials), -1)


def _mean(values):
    """Mean over the first axis of what is known."""
    count = np.isfinite(values).sum(axis=0)
    return np.divide(np.nansum(values, axis=0), count, out=np.full(np.shape(count), np.nan), where=count > 0)


def _cohens_d(seen, before):
    """Mean of the paired differences over their standard deviation."""
    difference = (seen - before)[np.isfinite(seen - before)]
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return float(difference.mean() / spread) if spread > 0 else 0.0


def _nudged(model):
    """Membrane potentials start 1e-9 mV higher."""
    groups = []
    for group in model.groups:
        values, initial = dict(group.values), dict(group.initial)
        if "spike" in getattr(group, "events", {}) and "v" in values:
            values["v"] = values["v"] + NUDGE
            if "v" in initial:
                initial["v"] = f"({initial['v']}) + {NUDGE!r}*volt"
        groups.append(replace(group, values=values, initial=initial))
    return replace(model, groups=tuple(groups))


def _causes(context, path, factor, reference, finest):
    """Rate and distance at the finest step, with more and more causes undone."""
    rows = [_cause_row("training's step", reference, reference), _cause_row("as is", finest, reference)]
    for number, name in enumerate(CAUSES, start=1):
        model = with_causes(context.model, CAUSES[:number], context.training_dt, finest.dt)
        rows.append(_cause_row(name, _run(context, model, path, factor, factor), reference))
    return rows


def _tuned_row(context, tuned, path, factor, reference):
    """The network as it is, after fine-tuning."""
    if tuned is None:
        return {"cause": "fine-tuned: not run", "rate (Hz)": None, "Victor-Purpura": None, "van Rossum": None}
    return _cause_row("fine-tuned", _run(context, tuned, path, factor, factor), reference)


def _cause_row(name, run, reference):
    rates = np.concatenate([run.rates(group).values for group in run.spikes])
    victor_purpura, van_rossum = distances(reference, run)
    return {
        "cause": name,
        "rate (Hz)": float(rates.mean()),
        "Victor-Purpura": victor_purpura,
        "van Rossum": van_rossum,
    }


def _table(title, rows, caption):
    return Table(title, list(rows[0]), [list(row.values()) for row in rows], caption)


def draw(finding):
    """Rates and distances, cause after cause."""
    rows = finding.data.get("attribution")
    if not rows:
        return []
    figure = attribution_of_rates(
        [row["cause"] for row in rows],
        np.array([row["rate (Hz)"] for row in rows], dtype=float),
        np.array([row["Victor-Purpura"] for row in rows], dtype=float),
        finding.data["other noise"]["Victor-Purpura"],
    )
    return [
        CaptionedFigure(
            figure,
            "Mean rate, and mean Victor-Purpura distance to the spikes at the training's step, of n = "
            f"{finding.data['trials']} trials on the same path: at the training's step, at the finest one "
            "as it is, there with one cause after the other undone, and there as it is after fine-tuning. "
            "Dashed: first rate; distance between two draws of the noise.",
            "Rates and distances of spike trains, with one cause of the change after the other undone",
            "What changes with the time step",
        )
    ]
