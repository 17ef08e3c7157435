"""The ladder: numbers, names, criteria, default margins, and what the quick one leaves out."""

from collections.abc import Callable
from dataclasses import dataclass

from brianbridge.checks import (
    back_ends,
    constraints,
    controls,
    convergence,
    performance,
    perturbation,
    precision,
    second_integrator,
    spike_times,
    time_steps,
    timescales,
    transcription,
)

__all__ = ["LADDER", "Rung", "wanted_rungs"]


@dataclass(frozen=True)
class Rung:
    """One check of the ladder.

    Attributes
    ----------
    number : int
    key : str
        How margins and files name it.
    name : str
    measure : callable
        Takes a `Context`, returns a `Finding`; raises `NotApplicable` or `NotRun`.
    criterion : str
        The rule that decides; ``{margin}`` stands for what it allows, ``{points}`` for 100 times that.
    margin : float or None
        By default; None where the rule has none.
    detects : str
        The smallest effect that it shows, where that does not depend on the measurement.
    mutants : tuple of str
        Shipped mutants (see `mutants`) that must fail it.
    plot : callable or None
        Takes the finding, returns captioned figures.
    left_out : str
        What the quick ladder leaves out of it.
    quick : bool
        Whether the quick ladder has it at all.
    simulates_on : tuple of str
        Devices of `simulate`.
    and_on : tuple of str
        Devices that the full ladder adds.
    """

    number: int
    key: str
    name: str
    measure: Callable
    criterion: str
    margin: float | None = None
    detects: str = ""
    mutants: tuple = ()
    plot: Callable | None = None
    left_out: str = ""
    quick: bool = True
    simulates_on: tuple = ("runtime",)
    and_on: tuple = ()

    def criterion_with(self, margin):
        """The criterion in words, with its margin and, if it was changed, the default."""
        if self.margin is None:
            return self.criterion
        text = self.criterion.format(margin=f"{margin:g}".replace("e-0", "e-"), points=f"{100 * margin:g}")
        return text if margin == self.margin else f"{text} (changed; the default is {self.margin:g})"

    def devices(self, full):
        """Where it simulates in the quick, or the full ladder."""
        return self.simulates_on + (self.and_on if full else ())


LADDER = (
    Rung(
        1,
        "transcription",
        "Transcription: surrogate and Brian2",
        transcription.measure,
        "with the same dt and noise no spike differs, and no state by more than {margin} of its range",
        margin=1e-9,
        detects="one spike in another step",
        mutants=("delay", "noise", "dale", "weights", "charge"),
        left_out="3 trials instead of 10",
        simulates_on=("runtime", "surrogate"),
    ),
    Rung(
        2,
        "precision",
        "Precision: float32 and float64",
        precision.measure,
        "performance changes by less than {points} points (paired equivalence test, 5 %)",
        margin=0.05,
        mutants=("offset",),
        simulates_on=("surrogate",),
    ),
    Rung(
        3,
        "convergence",
        "Convergence order below threshold",
        convergence.measure,
        "the slope of the error over the time step is the integrator's nominal order, within {margin}",
        margin=0.2,
        detects="an order that is off by twice the margin",
        mutants=("integrator",),
        plot=convergence.plot,
    ),
    Rung(
        4,
        "spike_times",
        "Spike times of driven neurons",
        spike_times.measure,
        "in time steps, the median errors of first spikes and of first intervals are at most {margin} times "
        "those at the training's step (of which less than one step counts as one, more than ten as ten)",
        margin=2.0,
        mutants=("integrator", "noise"),
        plot=spike_times.plot,
        quick=False,
    ),
    Rung(
        5,
        "back_ends",
        "Back ends of Brian2",
        back_ends.measure,
        "the same spikes in the same steps; where a network is chaotic, spikes differ no earlier than after "
        "a nudge of 1e-9 mV, steps from one state have the same spikes, and no state differs by more than "
        "{margin} of its range",
        margin=1e-9,
        detects="one spike in another step",
        mutants=("shuffled",),
        left_out="C++ standalone and CUDA",
        and_on=("cpp_standalone", "cuda_standalone"),
    ),
    Rung(
        5,
        "integrator",
        "A second integrator",
        second_integrator.measure,
        "with another method of Brian2, at the same dt, performance changes by less than {points} points "
        "(paired equivalence test, 5 %)",
        margin=0.1,
        mutants=("readout", "shuffled"),
        left_out="100 trials instead of 400",
    ),
    Rung(
        6,
        "time_steps",
        "The network at finer time steps",
        time_steps.measure,
        "on the same Brownian path, spikes are no farther from those at the training's dt than {margin} "
        "times the distance between two draws of the noise (Victor and Purpura), where there is noise, and "
        "the mean rate changes by at most a half",
        margin=1.0,
        mutants=("noise", "charge_per_step"),
        plot=time_steps.plot,
        quick=False,
    ),
    Rung(
        7,
        "performance",
        "Task performance at each time step",
        performance.measure,
        "at every dt as at the training's, within {points} points (paired equivalence tests, 5 %, Holm)",
        margin=0.1,
        mutants=("charge_per_step",),
        plot=performance.plot,
        left_out="100 trials instead of 400, two time steps instead of up to five",
    ),
    Rung(
        7,
        "controls",
        "Controls of task performance",
        controls.measure,
        "more trials are correct than under shuffled labels, by a constant answer where epochs differ, with "
        "shuffled values and, where given, untrained (5 %, Holm)",
        mutants=("shuffled",),
        left_out="a readout fitted anew",
    ),
    Rung(
        8,
        "constraints",
        "Values, Dale's law, bounds, connections",
        constraints.measure,
        "every trained value in Brian2 has the bits of the file and keeps its constraint",
        detects="one bit of one value",
        mutants=("dale", "weights", "bounds", "rewired"),
    ),
    Rung(
        9,
        "perturbation",
        "Perturbation: a tenth of the recurrent weights pruned",
        perturbation.measure,
        "without the weakest tenth of each recurrent projection's weights, performance changes by less than "
        "{points} points (paired equivalence test, 5 %)",
        margin=0.1,
        mutants=("disguised",),
        left_out="100 trials instead of 400",
    ),
    Rung(
        10,
        "timescales",
        "Timescales of neurons at the finest time step",
        timescales.measure,
        "the median log ratio of corrected timescales at the finest dt to those at the training's is within "
        "{margin} of 0 (paired over neurons, equivalence by sign tests, 5 %)",
        margin=0.25,
        mutants=("decay_per_step",),
        plot=timescales.plot,
        quick=False,
    ),
)


def wanted_rungs(full, only=None, ladder=LADDER):
    """The rungs that are climbed.

    Parameters
    ----------
    full : bool
        Of the full ladder, or of the quick one.
    only : list of str, optional
        Keys of those that are asked for.
    ladder : sequence of Rung

    Returns
    -------
    list of Rung
    """
    return [rung for rung in ladder if (rung.quick or full) and (only is None or rung.key in only)]
