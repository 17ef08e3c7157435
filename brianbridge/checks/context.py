"""What all rungs share: the network, its trials, and simulations that are carried out only once."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from brian2 import second

from brianbridge.checks.checked_task import drawn_trials
from brianbridge.checks.finding import NotRun
from brianbridge.checks.refinement import refinements
from brianbridge.simulation.copies import side_by_side
from brianbridge.simulation.divergence import diverged, held_finite
from brianbridge.simulation.trials import simulate

__all__ = ["Context", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """How much a ladder measures.

    Attributes
    ----------
    trials : int
        Fresh trials for performance.
    few : int
        Trials that are compared spike by spike.
    full : bool
        Whether rungs carry out what the quick ladder leaves out.
    refinements : tuple of int, optional
        By which the training's time step is divided; default: see `refinements`.
    """

    trials: int
    few: int
    full: bool
    refinements: tuple = ()


QUICK = Sizes(trials=100, few=3, full=False)
FULL = Sizes(trials=400, few=10, full=True)


class Context:
    """A trained network under examination.

    Parameters
    ----------
    trained : Trained
        What is said to be in Brian2.
    task : Task
    model : Model, optional
        What runs in Brian2. Default: that of the trained network; the mutants take its place.
    untrained : Model, optional
        The network before its training, for controls.
    dts : sequence of float, optional
        Time steps in seconds; default: those of the ladder.
    sizes : Sizes
    margins : dict of str to float
        Of every rung.
    seed : int
    fine_tune : int
        Updates of fine-tuning at the finest time step.
    """

    def __init__(
        self,
        trained,
        task,
        *,
        model=None,
        untrained=None,
        dts=None,
        sizes=QUICK,
        margins=None,
        seed=1,
        fine_tune=0,
    ):
        self.trained, self.task, self.untrained = trained, task, untrained
        self.model = trained.model if model is None else model
        self.sizes, self.margins, self.seed = sizes, margins or {}, seed
        self.fine_tune = fine_tune
        self.training_dt = trained.model.dt
        self.dts = tuple(dts) if dts is not None else self._steps_of_the_ladder()
        self._simulated = {}

    def _steps_of_the_ladder(self):
        """From the training's step down."""
        spiking = bool(self.trained.model.spiking)
        divisors = self.sizes.refinements or refinements(self.training_dt, spiking, self.sizes.full)
        return tuple(self.training_dt / divisor for divisor in divisors)

    @property
    def others(self):
        """Time steps other than the training's, coarse to fine."""
        return tuple(
            sorted((dt for dt in self.dts if not np.isclose(dt, self.training_dt, rtol=1e-9)), reverse=True)
        )

    @property
    def finer(self):
        """Time steps below the training's, coarse to fine."""
        return tuple(dt for dt in self.others if dt < self.training_dt)

    # -- trials ---------------------------------------------------------------------------------------

    @cached_property
    def trials(self):
        """Fresh trials, on the time step of the network's inputs."""
        steps = [self.trained.model.input(name).dt for name in self.trained.inputs]
        return drawn_trials(
            self.task, self.seed + 2000, self.sizes.trials, min(steps, default=self.training_dt) * second
        )

    @property
    def few(self):
        """The first of them."""
        return self.trials[: self.sizes.few]

    # -- simulations: the one place that runs trials in Brian2 ------------------------------------------

    def simulated(self, dt=None, model=None, trials=None, noise_seed=0):
        """Trials in Brian2 with fresh noise; kept, so that other rungs have them too.

        Parameters
        ----------
        dt : float, optional
            In seconds; default: that of the training.
        model : Model, optional
            Default: the network under examination.
        trials : Trials, optional
            Default: all fresh trials.
        noise_seed : int
            Another number, another noise.

        Returns
        -------
        SimulatedTrials
        """
        model = self.model if model is None else model
        trials = self.trials if trials is None else trials
        key = dt or self.training_dt, id(model), len(trials), noise_seed
        if key not in self._simulated:
            # the model is kept beside its result: its id must not be given to another one
            self._simulated[key] = (
                model,
                self.run(model, trials, dt, seed=self.seed + 1000 * noise_seed),
            )
        return self._simulated[key][1]

    def run(self, model, trials, dt=None, *, more_inputs=(), **options):
        """Trials of any model in Brian2, as many side by side as the model allows; see `simulate`.

        ``more_inputs`` are timed inputs that only this model has; the trials have them by the same names.
        """
        inputs = self.trained.inputs | {name: name for name in more_inputs}
        if options.get("device", "runtime") == "runtime":
            options["together"] = side_by_side(model, len(trials))
        return simulate(
            replace(self.trained, model=model, inputs=inputs),
            self.task,
            trials,
            dt=None if dt is None else dt * second,
            progress=False,
            **options,
        )

    def correct(self, output, trials=None):
        """Which of the fresh trials an output (time, trial, output) answers correctly: bool (trials,).

        A trial in which the output is not finite is not correct. Other trials may judge the output instead.
        """
        score = self.task.score(held_finite(output), self.trials if trials is None else trials)
        return np.asarray(score, dtype=bool) & ~diverged(output)

    def surrogate_side(self):
        """What compares with the surrogate.

        Raises
        ------
        NotRun
            Without torch.
        """
        try:
            from brianbridge.checks import surrogate_side
        except ModuleNotFoundError as missing:
            if missing.name != "torch":
                raise
            raise NotRun("torch missing") from None
        return surrogate_side
