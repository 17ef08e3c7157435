"""Rung 7, second part: networks that must do worse, by which performance is to be judged."""

from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from brianbridge.analysis import holm, wilson_interval
from brianbridge.checks.finding import Finding, Table, verdict
from brianbridge.checks.readout import refitted_output
from brianbridge.checks.recurrence import recurrent_projections
from brianbridge.model.constraints import Dale

__all__ = ["measure", "with_shuffled_values", "without_recurrence"]

PERMUTATIONS = 50
LEVEL = 0.05


def measure(context):
    """Accuracy under shuffled labels, with shuffled values, untrained, without recurrence, readout only.

    The first ones must be beaten (one-sided exact tests, Holm); a network without recurrence, or with a new
    readout alone, is a fact about the task and has no verdict.
    """
    output = context.simulated().outputs.values
    correct = context.correct(output)
    chance = _shuffled_labels(context, output)
    controls = [
        {
            "control": "shuffled labels",
            "accuracy": chance,
            "must be beaten": "yes",
            "P": float(binomtest(int(correct.sum()), len(correct), chance, "greater").pvalue),
        }
    ]
    for name, model, compulsory in _networks(context):
        answered = context.correct(context.simulated(model=model).outputs)
        controls.append(_control(name, correct, answered, compulsory))
    if context.sizes.full:
        refitted = refitted_output(context, context.untrained or _shuffled(context))
        if refitted is not None:
            controls.append(_control("readout only", correct, context.correct(refitted), False))
    tested = [row for row in controls if row["must be beaten"] == "yes"]
    corrected = holm([row["P"] for row in tested])
    for row in controls:
        row["P (Holm)"] = None
    for row, p_value in zip(tested, corrected):
        row["P (Holm)"] = float(p_value)
    low, high = wilson_interval(correct.sum(), len(correct))
    return Finding(
        verdict(corrected.max() < LEVEL),
        value=f"{correct.mean():.0%} correct; "
        + ", ".join(f"{r['control']} {r['accuracy']:.0%}" for r in controls),
        reason="" if corrected.max() < LEVEL else "the trained network does not do better than a control",
        detects=f"{_smallest_advantage(len(correct), chance):.2g} points above shuffled labels",
        data={"trials": len(correct), "accuracy": float(correct.mean()), "controls": controls},
        tables=[
            Table.of_rows(
                "Controls",
                controls,
                f"The same n = {len(correct)} fresh trials in Brian2 at the training's dt; the trained "
                f"network: {correct.mean():.0%} (95 % interval {low:.0%} to {high:.0%}). One-sided exact "
                f"tests, paired by trial; shuffled labels: mean of {PERMUTATIONS} permutations.",
            )
        ],
    )


def _shuffled_labels(context, output):
    """Accuracy of the same output, judged against the labels of other trials."""
    rng = np.random.default_rng(context.seed)
    trials = context.trials
    scores = [
        np.mean(context.correct(output, trials[rng.permutation(len(trials))])) for _ in range(PERMUTATIONS)
    ]
    return float(np.mean(scores))


def _networks(context):
    """Names, models, and whether they must be beaten."""
    yield "shuffled values", _shuffled(context), True
    if context.untrained is not None:
        yield "untrained", context.untrained, True
    without = without_recurrence(context.model, context.trained.output)
    if without is not None:
        yield "W = 0", without, False


def _control(name, correct, answered, compulsory):
    """McNemar's exact test, one-sided: of the trials that only one network answers."""
    only_trained, only_control = int(np.sum(correct & ~answered)), int(np.sum(~correct & answered))
    discordant = only_trained + only_control
    p_value = binomtest(only_trained, discordant, 0.5, "greater").pvalue if discordant else 1.0
    return {
        "control": name,
        "accuracy": float(answered.mean()),
        "must be beaten": "yes" if compulsory else "no",
        "P": float(p_value),
    }


def _smallest_advantage(n, chance):
    """Points above chance at which the test of n trials is just significant."""
    for correct in range(int(n * chance), n + 1):
        if binomtest(correct, n, chance, "greater").pvalue < LEVEL:
            return 100 * (correct / n - chance)
    return 100 * (1 - chance)


def _shuffled(context):
    return with_shuffled_values(context.model, context.seed)


def with_shuffled_values(model, seed):
    """A model in which the values of every trained array have changed places.

    Distributions stay, what training has arranged is lost. Under Dale's law values change places only with
    values of their sign.
    """
    rng, values = np.random.default_rng(seed), {}
    for trainable in model.trainable:
        for target in trainable.targets:
            array = np.array(model.initial_value(target))
            if not target[0] or array.ndim != 1 or array.size < 2:
                continue
            dale = isinstance(trainable.constraint, Dale)
            for chosen in (array > 0, array < 0) if dale else (np.ones(array.size, bool),):
                array[chosen] = rng.permutation(array[chosen])
            values[target] = array
    return model.with_values(values)


def without_recurrence(model, output):
    """A model without its recurrent synapses; None where there are none, or others are linked to them."""
    recurrent = recurrent_projections(model, output)
    if not recurrent:
        return None
    names = {group.name for group in recurrent}
    linked = any(link.group in names for group in model.groups for link in group.links.values())
    if linked:
        return None
    trainable = tuple(t for t in model.trainable if not any(group in names for group, _ in t.targets))
    groups = tuple(group for group in model.groups if group.name not in names)
    return replace(model, groups=groups, trainable=trainable)
