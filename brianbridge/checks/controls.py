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
    """Accuracy under shuffled labels, of a constant answer and of other networks.

    The first ones must be beaten (one-sided exact tests, Holm); a network without recurrence, or with a new
    readout alone, is a fact about the task and has no verdict.
    """
    output = context.simulated().outputs.values
    correct = context.correct(output)
    controls = _answers(context, output, correct)
    given, left_out = _networks(context)
    for name, model, compulsory in given:
        answered = context.correct(context.simulated(model=model).outputs)
        controls.append(_control(name, correct, answered, compulsory))
    if context.sizes.full:
        refitted = refitted_output(context, context.untrained or _shuffled(context))
        if refitted is None:
            left_out.append("readout only (the output is no weighted sum of one variable)")
        else:
            controls.append(_control("readout only", correct, context.correct(refitted), False))
    tested = [row for row in controls if row["must be beaten"] == "yes"]
    corrected = holm([row["P"] for row in tested])
    for row in controls:
        row["P (Holm)"] = None
    for row, p_value in zip(tested, corrected):
        row["P (Holm)"] = float(p_value)
    passed = corrected.max() < LEVEL
    low, high = wilson_interval(correct.sum(), len(correct))
    return Finding(
        verdict(passed),
        value=f"{correct.mean():.0%} correct; "
        + ", ".join(f"{r['control']} {r['accuracy']:.0%}" for r in controls),
        reason=_reason(passed, controls, left_out),
        detects=_detects(controls, len(correct)),
        data={"trials": len(correct), "accuracy": float(correct.mean()), "controls": controls},
        tables=[
            Table.of_rows(
                "Controls",
                controls,
                f"The same n = {len(correct)} fresh trials in Brian2 at the training's dt; the trained "
                f"network: {correct.mean():.0%} (95 % interval {low:.0%} to {high:.0%}). One-sided exact "
                f"tests, paired by trial; shuffled labels: mean of {PERMUTATIONS} permutations; constant "
                "answer: the commonest label, at the right time in every trial.",
            )
        ],
    )


def _reason(passed, controls, left_out):
    said = [] if passed else ["the trained network does not do better than a control"]
    if controls[0]["must be beaten"] == "no":
        said.append("all trials want the same: shuffled labels and a constant answer show nothing")
    if left_out:
        said.append(f"left out: {', '.join(left_out)}")
    return "; ".join(said)


def _detects(controls, n):
    """Of the controls by labels, where these must be beaten."""
    chances = {row["control"]: row["accuracy"] for row in controls[:2] if row["must be beaten"] == "yes"}
    if not chances:
        return ""
    return f"{_smallest_advantage(n, max(chances.values())):.2g} points above {' and '.join(chances)}"


def _answers(context, output, correct):
    """What is right without a look at the stimulus; no test where all trials want the same.

    Labels of other trials come with their epochs. Where these differ, an answer that knows the time only
    would do better than under shuffled labels: it must beat the commonest label, too.
    """
    labels = _labels(context.trials)
    several = len(set(labels)) > 1
    timed = several and any(np.ptp(epoch, axis=0).any() for epoch in context.trials.epochs.values())
    chances = {
        "shuffled labels": (_shuffled_labels(context, output), several),
        "constant answer": (max(labels.count(label) for label in set(labels)) / len(labels), timed),
    }
    return [
        {
            "control": name,
            "accuracy": chance,
            "must be beaten": "yes" if compulsory else "no",
            "P": float(binomtest(int(correct.sum()), len(correct), chance, "greater").pvalue),
        }
        for name, (chance, compulsory) in chances.items()
    ]


def _shuffled_labels(context, output):
    """Accuracy of the same output, judged against the labels of other trials."""
    rng = np.random.default_rng(context.seed)
    trials = context.trials
    scores = [
        np.mean(context.correct(output, trials[rng.permutation(len(trials))])) for _ in range(PERMUTATIONS)
    ]
    return float(np.mean(scores))


def _labels(trials):
    """What each trial wants, whenever it does: its targets, or its conditions where all targets are alike."""
    scale = np.abs(trials.targets).max() or 1.0
    targets = np.round(trials.targets / scale, 6) + 0.0  # no -0.0
    wanted = [np.unique(targets[:n, k], axis=0).tobytes() for k, n in enumerate(trials.lengths)]
    if len(set(wanted)) == 1 and trials.conditions:
        return list(zip(*(np.asarray(values).tolist() for values in trials.conditions.values())))
    return wanted


def _networks(context):
    """Names, models, and whether they must be beaten; then what there is none of, and why."""
    given, left_out = [("shuffled values", _shuffled(context), True)], []
    if context.untrained is None:
        left_out.append("untrained (not given)")
    else:
        given.append(("untrained", context.untrained, True))
    without = without_recurrence(context.model, context.trained.output)
    if without is None:
        left_out.append("W = 0 (no recurrent synapses, or others are linked to them)")
    else:
        given.append(("W = 0", without, False))
    return given, left_out


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
