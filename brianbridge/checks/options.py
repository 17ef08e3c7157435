"""What a check was asked for: each option in the form in which the ladder takes it."""

import numpy as np
from brian2 import second
from brian2.units.fundamentalunits import have_same_dimensions

from brianbridge.checks.context import FULL, QUICK
from brianbridge.checks.ladder import LADDER, wanted_rungs
from brianbridge.model.description import Model
from brianbridge.simulation.trials import fits
from brianbridge.spelling import hint

__all__ = [
    "MOST_SEEDS",
    "MOST_UPDATES",
    "CheckOptionError",
    "read_margins",
    "read_model",
    "read_only",
    "read_seed",
    "read_sizes",
    "read_steps",
    "read_updates",
]

LADDERS = {"quick": QUICK, "full": FULL}
MOST_SEEDS = 2**31
MOST_UPDATES = 10**6
LARGEST_MARGIN = 1e6
FINE_TUNED = "time_steps"  # the rung


class CheckOptionError(ValueError):
    """A check cannot be carried out as it was asked for."""


def read_seed(seed):
    """A whole number."""
    if not (isinstance(seed, int) and 0 <= seed < MOST_SEEDS):
        raise CheckOptionError(
            f"The seed is {seed!r:.60}; expected a whole number from 0 to {MOST_SEEDS - 1:,}."
        )
    return seed


def read_sizes(ladder):
    """How much the ladder of this name measures: `Sizes`."""
    if ladder not in LADDERS:
        raise CheckOptionError(f"There is no ladder {ladder!r}; choose 'quick' or 'full'.")
    return LADDERS[ladder]


def read_only(keys):
    """Keys of rungs, sorted; None for all of them."""
    if keys is None:
        return None
    known = [rung.key for rung in LADDER]
    for key in keys:
        if key not in known:
            raise CheckOptionError(_unknown("There is no check", key, known))
    return sorted(keys)


def read_margins(given):
    """Margins of all rungs that have one, by their keys."""
    default = {rung.key: rung.margin for rung in LADDER if rung.margin is not None}
    for key, margin in (given or {}).items():
        if key not in default:
            raise CheckOptionError(_unknown("No check has a margin", key, default))
        if not (isinstance(margin, int | float) and 0 < margin < LARGEST_MARGIN):
            raise CheckOptionError(f"The margin of {key} is {margin!r:.60}; expected a positive number.")
    return default | {key: float(margin) for key, margin in (given or {}).items()}


def read_model(name, model, trained):
    """A model that takes the place of the trained one in simulations; None if none was given.

    Parameters
    ----------
    name : str
        Of the option.
    model, trained : Model
    """
    if model is None:
        return None
    if not isinstance(model, Model):
        raise CheckOptionError(
            f"{name}={model!r:.60} is no model: {name}=bb.wrap(network) makes one of a network, and "
            f"bb.Trained.load(file).model reads one."
        )
    given, expected = _parts(model), _parts(trained)
    for part in expected | given:
        if given.get(part) != expected.get(part):
            raise CheckOptionError(
                f"What was given as {name}= is not this network with other values or equations: {part} is "
                f"{given.get(part, 'missing')} there, and {expected.get(part, 'missing')} in the trained "
                "one. The same names, neurons, projections and inputs are expected."
            )
    return model


def read_updates(number, sizes, only):
    """Updates of fine-tuning, which is a part of one rung."""
    if not (isinstance(number, int) and 0 <= number <= MOST_UPDATES):
        raise CheckOptionError(f"fine_tune={number!r:.60} is no number of updates.")
    if number and FINE_TUNED not in [rung.key for rung in wanted_rungs(sizes.full, only)]:
        raise CheckOptionError(
            f"Fine-tuning is a part of {FINE_TUNED!r}, which is not among these checks: it takes "
            "ladder='full' (--ladder full), and no choice of others."
        )
    return number


def read_steps(dt, trained):
    """Time steps in seconds, the training's first; None for those of the ladder."""
    training_dt = trained.model.dt
    trials_dt = min((trained.model.input(name).dt for name in trained.inputs), default=training_dt)
    if dt is None:
        return None
    if not have_same_dimensions(dt, second):
        raise CheckOptionError(f"dt={dt!r:.60} is not in seconds; write dt=[1, 0.1]*ms.")
    steps = np.atleast_1d(np.asarray(dt, dtype=float)).tolist()
    for step in steps:
        if not 0 < step < 1:
            raise CheckOptionError(f"A time step of {step:g} s is none; write dt=[1, 0.1]*ms.")
        if not fits(step, trials_dt):
            raise CheckOptionError(
                f"A time step of {step * 1e3:g} ms does not divide that of the trials, "
                f"{trials_dt * 1e3:g} ms, so that outputs could not be read where they are judged: choose a "
                "half of it, a third, and so on."
            )
    return (training_dt, *(step for step in steps if abs(step - training_dt) > 1e-9 * training_dt))


def _unknown(what, key, known):
    return f"{what} {key!r}; there are {', '.join(known)}.{hint(key, known)}"


def _parts(model):
    """Names and sizes of all parts; which neurons are connected may be another draw."""
    groups = {
        group.name: f"a projection from {group.source[0]} to {group.target[0]}"
        if hasattr(group, "i")
        else f"a group of {group.n}"
        for group in model.groups
    }
    return groups | {timed.name: "a timed input" for timed in model.inputs}
