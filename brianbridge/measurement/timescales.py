"""`timescales`: how long the spikes of each neuron of a trained network remember."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from brian2 import ms, second

from brianbridge.analysis import count_spike_times, firing_rates, fit_known_timescales, fit_timescales
from brianbridge.analysis.timescales import EVIDENCE, Timescales
from brianbridge.measurement.stationary import conditions_of, stationary_trials
from brianbridge.simulation.copies import side_by_side
from brianbridge.simulation.trials import simulate

__all__ = ["NeuronTimescales", "timescales", "timescales_of"]

TRIALS_SHOWN = (25, 50, 100, 200, 400, 800)
KNOWN = (0, 50, 100, 150, 250)  # ms
LAGS = 13  # published
FEWEST = 3  # trials across which counts are correlated


@dataclass(frozen=True, eq=False, repr=False)
class NeuronTimescales:
    """Timescales of the spiking neurons of a network.

    Attributes
    ----------
    group : str array (neurons,)
    neuron : int array (neurons,)
        Number in its group.
    counts : int array (trials, bins, neurons)
        Spikes in adjacent bins.
    condition : int array (trials,)
        Trials of one number were shown the same; the mean of each is taken out.
    bin_ms : float
    epoch : str
        In which spikes were counted.
    dt : float
        Time step of the simulation in seconds.
    """

    group: np.ndarray
    neuron: np.ndarray
    counts: np.ndarray
    condition: np.ndarray
    bin_ms: float
    epoch: str
    dt: float

    @cached_property
    def fitted(self) -> Timescales:
        """Both estimates, of all trials, see `brianbridge.analysis.Timescales`."""
        return self._fit(len(self.counts))

    def _fit(self, trials):
        lags = min(LAGS, self.counts.shape[1] - 1)
        return fit_timescales(self.counts[:trials], self.bin_ms, lags=lags, condition=self.condition[:trials])

    @property
    def rows(self):
        """One row for each neuron: a list of dicts. Estimates are in ms; NaN where there is none."""
        rates = firing_rates(self.counts, self.bin_ms)
        found = self.fitted
        return [
            {
                "group": str(self.group[k]),
                "neuron": int(self.neuron[k]),
                "rate_hz": float(rates[k]),
                "included": bool(found.accepted[k]),
                "reason": str(found.exclusion[k]),
                "published_ms": float(found.published[k]),
                "corrected_ms": float(found.corrected[k]),
                "corrected_from_ms": float(found.interval[k, 0]),
                "corrected_to_ms": float(found.interval[k, 1]),
                "why_not_corrected": _why_not(found.corrected[k], found.log_likelihood_ratio[k]),
            }
            for k in range(len(self.neuron))
        ]

    @property
    def summary(self):
        """Medians over neurons, and of how many they are: a dict."""
        return {
            "epoch": self.epoch,
            "dt_ms": self.dt * 1e3,
            "bins": self.counts.shape[1],
            "bin_ms": self.bin_ms,
            "conditions": len(np.unique(self.condition)),
        } | _medians(self.fitted, len(self.counts))

    @cached_property
    def by_trials(self):
        """The same medians from the first trials only, a row for each number: a list of dicts."""
        numbers = [n for n in TRIALS_SHOWN if n < len(self.counts) and self._each_varies(n)]
        return [_medians(self._fit(n), n) for n in numbers] + [_medians(self.fitted, len(self.counts))]

    def _each_varies(self, trials):
        return np.bincount(self.condition[:trials], minlength=self.condition.max() + 1).min() > 1

    @cached_property
    def bias(self):
        """What simulated Poisson neurons of known timescales read: a list of dicts.

        They have as many bins as the network, and the median rate of its included neurons, around which their
        rate varies by 60 %; with a timescale of 0 it does not vary at all. Trials are the published 50, and
        as many as here.
        """
        rates = firing_rates(self.counts, self.bin_ms)
        chosen = rates[self.fitted.accepted] if self.fitted.accepted.any() else rates
        rate = max(float(np.median(chosen)), 1.0)
        settings = {
            "bins": self.counts.shape[1],
            "bin_ms": self.bin_ms,
            "rate_hz": rate,
            "units": 100,
            "lags": min(LAGS, self.counts.shape[1] - 1),
        }
        trials = sorted({min(50, len(self.counts)), len(self.counts)})
        return [
            {"true_ms": tau, "rate_hz": rate}
            | _medians(fit_known_timescales(tau or 1, n, spread_hz=0.6 * rate * (tau > 0), **settings), n)
            for n in trials
            for tau in KNOWN
        ]

    def __repr__(self):
        found = self.summary
        return (
            f"<Timescales: {found['included']} of {found['neurons']} neurons included, median "
            f"{found['published_ms']:.3g} ms; corrected {found['corrected_ms']:.3g} ms of "
            f"{found['with_corrected']}; {found['trials']} trials>"
        )


def _why_not(corrected, ratio):
    if np.isfinite(corrected):
        return ""
    return "outlasts the window" if ratio > EVIDENCE else "no sign of a memory"


def _medians(found, trials):
    with_corrected = np.isfinite(found.corrected)
    return {
        "trials": trials,
        "neurons": len(found.published),
        "included": int(found.accepted.sum()),
        "published_ms": _median(found.published[found.accepted]),
        "with_corrected": int(with_corrected.sum()),
        "corrected_ms": _median(found.corrected[with_corrected]),
        "corrected_of_included_ms": _median(found.corrected[with_corrected & found.accepted]),
    }


def _median(values):
    return float(np.median(values)) if len(values) else float("nan")


def timescales(
    trained,
    task=None,
    trials=200,
    *,
    epoch=None,
    length=1 * second,
    settle=200 * ms,
    bin=50 * ms,
    seed=0,
    **settings,
):
    """Measure the timescale of each spiking neuron of a trained network, as published and corrected.

    Parameters
    ----------
    trained : Trained
    task : Task, str or Trials, optional
        As in `simulate`: default is the task for which the network was trained.
    trials : int or Trials
        Published are 50, with which the published estimate reads far too short; see
        `NeuronTimescales.by_trials` and `NeuronTimescales.bias`.
    epoch : str, optional
        In which spikes are counted; default is the first one of the task, its fixation.
    length : Quantity
        How long spikes are counted. The epoch of a built-in task is made so long.
    settle : Quantity
        Spikes of this time before are not counted: trials begin in a state that is always the same.
    bin : Quantity
        Width of the bins.
    seed : int
        Of trials and noise.
    **settings
        For `simulate`: ``device``, ``dt`` and so on.

    Returns
    -------
    NeuronTimescales

    Raises
    ------
    ValueError
        If the network does not spike, there are fewer than three trials, or the epoch is too short for five
        bins.

    Notes
    -----
    Estimates are those of `brianbridge.analysis.fit_timescales`. Kim & Sejnowski (2019) count spikes of 50
    trials in 20 bins of 50 ms of the fixation.
    """
    _check_times(length=length, settle=settle, bin=bin)
    task, shown = stationary_trials(trained, task, trials, epoch, float(length / ms + settle / ms), seed)
    if len(shown) < FEWEST:
        raise ValueError(f"A timescale across trials needs three trials or more, not {len(shown)}.")
    if settings.get("device", "runtime") == "runtime" and "live" not in settings:
        settings.setdefault("together", side_by_side(trained.model, len(shown)))
    found = simulate(trained, task, shown, seed=seed, **settings)
    return timescales_of(found, settle=settle, length=length, bin=bin)


def _check_times(*, settle, **positive):
    """Only the time before the counting may be none."""
    for name, time in {"settle": settle, **positive}.items():
        seconds = float(time / second)
        if not 0 <= seconds < np.inf or (seconds == 0 and name in positive):
            wanted = "above 0 s" if name in positive else "of 0 s or more"
            raise ValueError(f"{name}={time}: expected a time {wanted}.")


def timescales_of(found, epoch=None, *, length=1 * second, settle=0 * ms, bin=50 * ms):
    """The same from trials that have been simulated.

    Parameters
    ----------
    found : SimulatedTrials
    epoch : str, optional
        Default: the first one.
    length, settle, bin : Quantity
        See `timescales`. Where the epoch is shorter, it is used up to its end.

    Returns
    -------
    NeuronTimescales
    """
    _check_times(length=length, settle=settle, bin=bin)
    epoch = next(iter(found.trials.epochs), "") if epoch is None else epoch
    if not found.spikes:
        raise ValueError("No group of this network spikes: there are no spike counts.")
    start, stop = np.rint(found.trials.times(epoch) / second / found.dt).astype(int).T
    start = start + round(float(settle / second) / found.dt)
    per_bin = max(round(float(bin / second) / found.dt), 1)
    bins = min(int((stop - start).min()) // per_bin, round(float(length / bin)))
    if bins < 5:
        raise ValueError(
            f"The epoch {epoch!r} has room for {max(bins, 0)} bins of {bin / ms:g} ms after "
            f"{settle / ms:g} ms; an autocorrelation needs five or more. Published are 20 bins of 50 ms."
        )
    edges = np.arange(bins + 1) * per_bin
    counted = [_counts(spikes, start, edges, found.sizes[name]) for name, spikes in found.spikes.items()]
    sizes = [counts.shape[2] for counts in counted]
    return NeuronTimescales(
        group=np.repeat(list(found.spikes), sizes),
        neuron=np.concatenate([np.arange(size) for size in sizes]),
        counts=np.concatenate(counted, axis=2),
        condition=conditions_of(found.trials),
        bin_ms=per_bin * found.dt * 1e3,
        epoch=epoch,
        dt=found.dt,
    )


def _counts(spikes, start, edges, neurons):
    """Spikes in bins that begin at another step in each trial."""
    trial = spikes.trial.values
    return count_spike_times(
        spikes.step.values - start[trial], trial, spikes.neuron.values, edges, len(start), neurons
    )
