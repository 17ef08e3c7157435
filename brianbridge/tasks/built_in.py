"""What all built-in tasks have in common: arguments, conditions, epochs, drawing, judging."""

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import ClassVar, dataclass_transform

from brian2.units import Quantity

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.arguments import (
    read_batch,
    read_duration,
    read_generator,
    written_arguments,
)
from brianbridge.tasks.conditions import only, spread
from brianbridge.tasks.course import TrialCourse
from brianbridge.tasks.decisions import read_output
from brianbridge.tasks.durations import draw
from brianbridge.tasks.epochs import lay_out
from brianbridge.tasks.kinds import read
from brianbridge.tasks.trials import Trials


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
class BuiltInTask:
    """A task as a short description. A subclass declares its arguments as fields and says four things.

    Each field has one of the `kinds` of arguments, and a default. What remains to be said is

    - `order`, the names of the epochs; those fields are their durations (or a method `durations`),
    - `conditions`, a table with one row for each condition,
    - `lay`, which lays inputs, targets and mask along the course of a batch of trials,
    - `judge`, which tells from an output what the answers were.

    Attributes
    ----------
    name : str
        What files and the command line call the task.
    channels : dict
        Name of each input, and 'target', to what its channels are called.
    presets : dict
        Name to `Preset`: published versions.
    answer : str
        How an answer is read from the output, in a few words.
    """

    name: ClassVar[str]
    order: ClassVar[tuple] = ()
    channels: ClassVar[dict]
    presets: ClassVar[dict] = {}
    answer: ClassVar[str]

    def __init_subclass__(cls, **others):
        super().__init_subclass__(**others)
        dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)

    def __post_init__(self):
        with self._named():
            for field in fields(self):
                object.__setattr__(self, field.name, read(field, getattr(self, field.name)))
            self.check()

    def check(self):
        """Refuse arguments that do not fit each other."""

    @classmethod
    def preset(cls, name, **changes):
        """Make the task as it was published.

        Parameters
        ----------
        name : str
            One of `presets`.
        **changes
            Other arguments.
        """
        if name not in cls.presets:
            raise ValueError(f"{cls.name} has no preset {name!r}; {did_you_mean(name, cls.presets)}")
        return cls(**(cls.presets[name].arguments | changes))

    @property
    def arguments(self):
        """Arguments that rebuild the task, fit for JSON: numbers, and durations as text such as '300 ms'."""
        return written_arguments(self)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other):
        return type(self) is type(other) and self.arguments == other.arguments

    def __hash__(self):
        return hash(repr(self))

    @property
    def conditions(self):
        """Table of the conditions: name to array (conditions,)."""
        return {}

    def durations(self, conditions):
        """Name the epochs in their order, with their durations.

        Parameters
        ----------
        conditions : dict
            Name to array (batch,).

        Returns
        -------
        dict
            Name to a Quantity, scalar or (batch,), or to a distribution.
        """
        return {name: getattr(self, name) for name in self.order}

    def takes_place(self, epoch, conditions):
        """Tell which trials have an epoch: one truth value, or bool array (batch,)."""
        return True

    def draw_conditions(self, rng, batch, wanted):
        """Draw the conditions of a batch: all of them, or those that are wanted, in equal numbers."""
        return spread(rng, batch, only(self.conditions, **wanted))

    def lay(self, course):
        """Lay signals along a `TrialCourse`: a dict of inputs, the targets, the mask."""
        raise NotImplementedError

    def judge(self, output, trials):
        """Name the outcome of each trial from an output that has been checked."""
        raise NotImplementedError

    def trials(self, rng, batch, dt, **wanted):
        """Draw trials.

        Parameters
        ----------
        rng : numpy Generator or int
            An integer is a seed.
        batch : int
            Number of trials.
        dt : Quantity
            Time step; it must divide every epoch.
        **wanted
            Only trials of these conditions, such as ``target=1`` or ``context=[0, 1]``.

        Returns
        -------
        Trials
        """
        with self._named():
            rng, batch, dt = read_generator(rng), read_batch(batch), read_duration("dt", dt, zero=False)
            conditions = self.draw_conditions(rng, batch, wanted)
            durations = {}
            for name, duration in self.durations(conditions).items():
                drawn = duration if isinstance(duration, Quantity) else draw(duration, rng, batch, dt)
                durations[name] = drawn * self.takes_place(name, conditions)
            course = TrialCourse(rng, dt, lay_out(durations, batch, dt), conditions)
            inputs, targets, mask = self.lay(course)
            return Trials(inputs, targets, mask, course.epochs, conditions, float(dt), dict(self.channels))

    def outcomes(self, output, trials):
        """Name the outcome of each trial.

        Parameters
        ----------
        output : array (time, batch, outputs)
        trials : Trials

        Returns
        -------
        str array (batch,)
            'correct', 'incorrect', or 'none' where there is no answer.

        Raises
        ------
        ValueError
            If the output does not have the shape of ``trials.targets``, or is not finite.
        """
        with self._named():
            return self.judge(read_output(output, trials), trials)

    def score(self, output, trials):
        """Tell which trials are correct: bool array (batch,). See `outcomes`."""
        return self.outcomes(output, trials) == "correct"

    @contextmanager
    def _named(self):
        """Begin the messages of errors with the name of the task."""
        try:
            yield
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self.name}: {str(error).removeprefix(f'{self.name}: ')}") from None
