"""When a training may stop.

A rule looks at the history after every update. Rules combine: ``Loss(15) & Accuracy(0.95) | Patience(100)``.
Any function that takes a `History` and returns a bool is a rule, too.
"""

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["RMSE", "Accuracy", "All", "Any", "Loss", "Patience", "Rule", "WorstCondition", "rule_of"]


class Rule:
    """When to stop. A rule says itself in words: ``str(rule)``."""

    #: Whether it looks at validations: then it can only be reached where one was made.
    validates = False

    def reached(self, history):
        """Whether training may stop after the last update."""
        raise NotImplementedError

    def worth_validating(self, history):
        """Whether a validation now could make the difference."""
        return self.validates

    def __and__(self, other):
        return All((self, rule_of(other)))

    def __or__(self, other):
        return Any((self, rule_of(other)))


@dataclass(frozen=True)
class Loss(Rule):
    """The running mean of the training loss, over ten updates, is below `loss`."""

    loss: float

    def reached(self, history):
        running = history.running("loss")
        return running is not None and running < self.loss

    def __str__(self):
        return f"running loss below {self.loss:g}"


@dataclass(frozen=True)
class _Validated(Rule):
    """Compares a column of the last validations, averaged over `average` of them."""

    value: float
    average: int = 1

    validates = True
    column, text = "", ""

    def reached(self, history):
        if history.last(self.column) is None or len(history.measured(self.column)) < self.average:
            return False
        return self._enough(float(np.mean(history.measured(self.column)[-self.average :])))

    def _enough(self, mean):
        return mean >= self.value

    def __str__(self):
        over = f", mean of {self.average} validations" if self.average > 1 else ""
        return f"{self.text.format(self.value)}{over}"


class Accuracy(_Validated):
    """At least the fraction `value` of the validation trials is correct."""

    column, text = "validated", "at least {:.0%} of validation trials correct"


class WorstCondition(_Validated):
    """At least the fraction `value` is correct in the worst condition, see ``Validation(conditions=...)``."""

    column, text = "worst_condition", "at least {:.0%} correct in the worst condition"


class RMSE(_Validated):
    """The root of the mean squared error of the validation trials is at most `value`."""

    column, text = "rmse", "validation RMSE of at most {:g}"

    def _enough(self, mean):
        return mean <= self.value


@dataclass(frozen=True)
class Patience(Rule):
    """So many validations have brought no lower validation loss than the lowest before."""

    validations: int

    validates = True

    def reached(self, history):
        losses = history.measured("validation_loss")
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.validations

    def __str__(self):
        return f"no lower validation loss in {self.validations} validations"


@dataclass(frozen=True)
class All(Rule):
    """All of these."""

    rules: tuple

    @property
    def validates(self):
        return any(rule.validates for rule in self.rules)

    def reached(self, history):
        return all(rule.reached(history) for rule in self.rules)

    def worth_validating(self, history):
        cheap = [rule for rule in self.rules if not rule.validates]
        return self.validates and all(rule.reached(history) for rule in cheap)

    def __str__(self):
        return " and ".join(map(str, self.rules))


@dataclass(frozen=True)
class Any(Rule):
    """Any one of these."""

    rules: tuple

    @property
    def validates(self):
        return any(rule.validates for rule in self.rules)

    def reached(self, history):
        return any(rule.reached(history) for rule in self.rules)

    def worth_validating(self, history):
        return any(rule.worth_validating(history) for rule in self.rules)

    def __str__(self):
        return ", or ".join(map(str, self.rules))


@dataclass(frozen=True)
class _Function(Rule):
    """A user's own rule."""

    function: object

    def reached(self, history):
        return bool(self.function(history))

    def __str__(self):
        return getattr(self.function, "__name__", type(self.function).__name__)


@dataclass(frozen=True)
class _Named:
    """The rules that ``stop={...}`` may name; those in one dict must all be met, except patience."""

    accuracy: float | None = None
    loss: float | None = None
    worst_condition: float | None = None
    rmse: float | None = None
    patience: int | None = None
    average: int = 1

    def rule(self):
        kinds = {"accuracy": Accuracy, "worst_condition": WorstCondition, "rmse": RMSE}
        rules = [] if self.loss is None else [Loss(self.loss)]
        for name, kind in kinds.items():
            if getattr(self, name) is not None:
                rules.append(kind(getattr(self, name), self.average))
        alternatives = [All(tuple(rules))] if rules else []
        if self.patience is not None:
            alternatives.append(Patience(self.patience))
        return Any(tuple(alternatives))


def rule_of(given, others=()):
    """A rule from what ``fit(stop=...)`` was given.

    Parameters
    ----------
    given : Rule, callable, dict or None
    others : sequence of str
        Names in the dict that are not for rules.

    Returns
    -------
    Rule

    Raises
    ------
    ValueError
        If a dict names something unknown.
    """
    if isinstance(given, Rule):
        return given
    if callable(given):
        return _Function(given)
    given = dict(given or {})
    known = [field.name for field in fields(_Named)]
    unknown = set(given) - {*known, *others}
    if unknown:
        listed = ", ".join([*known, *others])
        raise ValueError(f"stop= knows {listed}, not {', '.join(map(repr, sorted(unknown)))}.")
    return _Named(**{name: given[name] for name in known if name in given}).rule()
