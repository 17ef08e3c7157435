"""Rung 6: the network at finer time steps, on the same Brownian path, and the causes of what changes."""

import numpy as np

from brianbridge.analysis import interval_variability
from brianbridge.checks.attribution import CAUSES, with_causes
from brianbridge.checks.distances import distances
from brianbridge.checks.finding import Finding, NotApplicable, Table, verdict
from brianbridge.checks.fine_tuning import fine_tuning, table_of
from brianbridge.checks.noise import coarsened, drawn_noise, noise_places
from brianbridge.checks.nudge import nudge_of, nudged
from brianbridge.checks.refinement import CLOSE
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.report import CaptionedFigure
from brianbridge.report.figures import attribution_of_rates
from brianbridge.simulation.initial_states import drawn_states

__all__ = ["measure", "plot"]

RATE_CHANGE = 0.5  # of the mean rate, at most
ROUNDING = 1e-12  # of a mean: a spread below is none


def measure(context):
    """Spike trains at finer steps against those of the training's step: the same trials, the same path.

    Their distance is set against that of two draws of the noise, and of a nudge of the membrane potentials. A
    network that falls silent is nearer than another draw: mean rates count, too, and alone without noise.
    """
    dependent = step_dependence(context.trained.model)
    if dependent:
        raise NotApplicable(f"{dependent}: another time step is another model")
    places = noise_places(context.model)
    if any(function != "randn" for function, _ in places.values()):
        raise NotApplicable("random numbers other than Gaussian noise (xi) have no path for several steps")
    factors, left_out = _factors(context)
    few = _FewTrials(context, factors[-1])
    runs = {factor: few.run(context.model, factor) for factor in factors}
    reference, finest = runs[1], runs[factors[-1]]
    if not any(spikes.sizes["spike"] for spikes in reference.spikes.values()):
        raise NotApplicable("no neuron spikes at the training's time step")
    nudge, said = nudge_of(context.model, reference)
    tuned, tuning = fine_tuning(context, finest.dt)
    causes = _causes(context, few, reference, finest)
    causes.append(_tuned_row(few, tuned, reference))
    data = {
        "trials": len(context.few),
        "steps": [_row(run, reference) for run in runs.values()],
        "other noise": _distances(reference, few.with_other_noise()) if places else None,
        "nudge": {"by": said}
        | (_distances(reference, few.run(context.model, 1, nudge)) if nudge else _distances()),
        "attribution": causes,
        "fine-tuning": tuning,
        "steps left out": left_out,
    }
    return _finding(data, context.margins["time_steps"])


def _finding(data, margin):
    rows, other, nudge = data["steps"], data["other noise"], data["nudge"]
    worst = max(row["Victor-Purpura"] for row in rows[1:])
    rates = [row["rate (Hz)"] for row in rows]
    change = max(abs(rate / rates[0] - 1) for rate in rates)
    value = f"Victor-Purpura distance {worst:.3g} to the training's step"
    detects = nudge["by"]
    if nudge["Victor-Purpura"] is not None:
        detects = f"a nudge of {nudge['by']} has {nudge['Victor-Purpura']:.2g}"
    reasons = []
    if other is None:
        reasons.append("without noise of its own (xi) no distance is to be expected: mean rates alone decide")
    else:
        null = other["Victor-Purpura"]
        value += f", {null:.3g} between two draws of the noise"
        detects = f"a distance of {margin * null:.3g}; {detects}"
    far = other is not None and worst > margin * null
    if far:
        reasons.append("a finer step takes spikes farther than another noise does")
    if change > RATE_CHANGE:
        reasons.append(f"at a finer step the mean rate changes by {change:.0%}")
    if data["steps left out"]:
        reasons.append(f"left out: {', '.join(data['steps left out'])}, which no common finer step divides")
    return Finding(
        verdict(not far and change <= RATE_CHANGE),
        value=f"{value}; mean rates {', '.join(f'{rate:.3g} Hz' for rate in rates)}",
        reason="; ".join(reasons),
        detects=detects,
        data=data,
        tables=_tables(data),
    )


def _tables(data):
    why = data["fine-tuning"].get("reason")
    noise = ", noise on the same Brownian path" if data["other noise"] else ""
    return [
        Table.of_rows(
            "The network at finer time steps",
            data["steps"],
            f"n = {data['trials']} trials from the same states, inputs held{noise}. Distances: "
            "means over all neurons and trials to the spike trains at the training's step (cost 1/(10 ms), "
            "time constant 10 ms); effect sizes: Cohen's d of paired neurons, without a value where all "
            "neurons change by exactly as much.",
        ),
        Table.of_rows(
            "What changes with the time step",
            data["attribution"],
            "At the finest step, one cause after the other made as at the training's step; last, the network "
            "without these changes, fine-tuned there" + (f" (not run: {why})." if why else "."),
        ),
        *table_of(data["fine-tuning"]),
    ]


def _factors(context):
    """Whole numbers of fine steps in one of the training's that divide the finest; other time steps."""
    quotients = {dt: context.training_dt / dt for dt in context.finer}
    whole = {dt: round(q) for dt, q in quotients.items() if abs(q - round(q)) < CLOSE * q}
    factors = sorted({factor for factor in whole.values() if max(whole.values()) % factor == 0})
    if not factors:
        raise NotApplicable("no finer time step was asked for that divides the training's")
    left_out = [f"{dt * 1e3:g} ms" for dt in context.finer if whole.get(dt) not in factors]
    return [1, *factors], left_out


class _FewTrials:
    """The same few trials at several time steps: from the same states, on the same Brownian path."""

    def __init__(self, context, finest):
        self.context, self.finest = context, finest
        self.path = drawn_noise(context.model, context.few, context.seed, finest)

    def run(self, model, factor, nudge=()):
        """At the training's step divided by a factor; each variable of the nudge starts higher by so much."""
        noise = coarsened(self.path, self.finest // factor)
        return self._run(model, self.context.training_dt / factor, noise, dict(nudge))

    def with_other_noise(self):
        """At the training's step, on a path of its own."""
        noise = drawn_noise(self.context.model, self.context.few, self.context.seed + 1)
        return self._run(self.context.model, None, noise, {})

    def _run(self, model, dt, noise, nudge):
        trials = self.context.few
        initial = drawn_states(model, len(trials), self.context.seed)
        initial = nudged(model, initial, nudge, len(trials))
        return self.context.run(model, trials, dt, noise=noise, initial=initial)


def _distances(reference=None, run=None):
    """By their names; None without a run."""
    found = (None, None) if run is None else distances(reference, run)
    return dict(zip(("Victor-Purpura", "van Rossum"), found))


def _row(run, reference):
    seen, before = _statistics(run), _statistics(reference)
    row = {
        "dt (ms)": run.dt * 1e3,
        "rate (Hz)": float(_mean(seen["rate"])),
        "CV": float(_mean(seen["CV"])),
        "correlation": float(_mean(seen["correlation"])),
    } | _distances(reference, run)
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
            matrix = np.atleast_2d(np.corrcoef(counts.T))  # of one neuron it is a number
        np.fill_diagonal(matrix, np.nan)
        correlations.append(_mean(matrix))
    return {
        "rate": np.concatenate(rates),
        "CV": np.concatenate(variability),
        "correlation": np.concatenate(correlations),
    }


def _variability(run, group):
    """CV of the intervals of every neuron in every trial: (trial, neuron)."""
    trains = [train[np.isfinite(train)] for train in run.spike_trains(group)]
    return interval_variability(trains).cv.reshape(len(run.trials), -1)


def _mean(values):
    """Mean over the first axis of what is known."""
    count = np.isfinite(values).sum(axis=0)
    return np.divide(np.nansum(values, axis=0), count, out=np.full(np.shape(count), np.nan), where=count > 0)


def _cohens_d(seen, before):
    """Mean of the paired differences over their standard deviation."""
    difference = (seen - before)[np.isfinite(seen - before)]
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    mean = difference.mean() if len(difference) else 0.0
    if spread > ROUNDING * abs(mean):
        return float(mean / spread)
    return float(np.copysign(np.inf, mean)) if mean else 0.0  # all neurons change by exactly as much


def _causes(context, few, reference, finest):
    """Rate and distance at the finest step, with more and more causes undone."""
    rows = [_cause_row("training's step", reference, reference), _cause_row("as is", finest, reference)]
    model = context.model
    for name in CAUSES:
        changed = with_causes(model, [name], context.training_dt, finest.dt)
        if changed is model:
            rows.append(_empty_row(f"{name}: nothing to change"))
        else:
            rows.append(_cause_row(name, few.run(changed, few.finest), reference))
        model = changed
    return rows


def _tuned_row(few, tuned, reference):
    """The network as it is, after fine-tuning."""
    if tuned is None:
        return _empty_row("fine-tuned: not run")
    return _cause_row("fine-tuned", few.run(tuned, few.finest), reference)


def _empty_row(name):
    return {"cause": name, "rate (Hz)": None} | _distances()


def _cause_row(name, run, reference):
    rates = np.concatenate([run.rates(group).values for group in run.spikes])
    return {"cause": name, "rate (Hz)": float(rates.mean())} | _distances(reference, run)


def plot(finding):
    """Rates and distances, cause after cause."""
    rows = finding.data.get("attribution")
    if not rows:
        return []
    other = finding.data["other noise"]
    null = (other or finding.data["nudge"])["Victor-Purpura"]
    of_null = "two draws of the noise" if other else "the trials and those with the nudge"
    figure = attribution_of_rates(
        [row["cause"] for row in rows],
        np.array([row["rate (Hz)"] for row in rows], dtype=float),
        np.array([row["Victor-Purpura"] for row in rows], dtype=float),
        np.nan if null is None else null,
    )
    return [
        CaptionedFigure(
            figure,
            "Mean rate, and mean Victor-Purpura distance to the spikes at the training's step, of n = "
            f"{finding.data['trials']} trials on the same path: at the training's step, at the finest one "
            "as it is, there with one cause after the other undone, and there as it is after fine-tuning. "
            f"Dashed: first rate; distance between {of_null}.",
            "Rates and distances of spike trains, with one cause of the change after the other undone",
            "What changes with the time step",
        )
    ]
