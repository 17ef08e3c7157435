"""`check`: climb the ladder and write down what was found."""

import errno
import os
import traceback
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from brianbridge.checks.checked_task import name_of, task_of
from brianbridge.checks.context import Context
from brianbridge.checks.finding import Finding, NotApplicable, NotRun
from brianbridge.checks.keeping import Kept, keep_models, writing_into
from brianbridge.checks.ladder import LADDER, wanted_rungs
from brianbridge.checks.manifest import manifest_of, with_threads_of_torch
from brianbridge.checks.options import (
    read_margins,
    read_model,
    read_only,
    read_seed,
    read_sizes,
    read_steps,
    read_updates,
)
from brianbridge.file_locks import alone_with
from brianbridge.report import Check, Report
from brianbridge.trained.network import Trained

__all__ = ["check", "report_of"]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def check(
    trained,
    task=None,
    *,
    ladder="quick",
    only=None,
    dt=None,
    margins=None,
    model=None,
    untrained=None,
    out=None,
    seed=1,
    fine_tune=0,
    progress=True,
):
    """Examine a trained network: is it in Brian2 what it is said to be, and do its claims survive?

    Parameters
    ----------
    trained : Trained, str or Path
        A trained network, or its file.
    task : Task, optional
        Needed where the network was trained for a task of the user's own.
    ladder : {'quick', 'full'}
        Quick takes minutes, and says what it leaves out; full runs every rung.
    only : sequence of str, optional
        Keys of the rungs that are wanted (see `LADDER`); the others are listed as not run.
    dt : Quantity, optional
        Time steps for the task's performance: ``[1, 0.5, 0.1]*ms``. The training's is always among them.
    margins : dict of str to float, optional
        Other margins than the default ones, by the key of a rung (see `LADDER`): ``{'performance': 0.05}``.
        The report says so.
    model : Model, optional
        What is examined in Brian2, where it is not the model in the file: one rebuilt from a publication, for
        example, or a mutant.
    untrained : Model, optional
        The network before its training, as one more control: the same neurons, projections and inputs.
    out : path, optional
        A folder. What is finished is kept there and used again after an interruption; ``report.html`` and
        ``report.json`` are written into it, and `model` and `untrained`, which `reproduce` needs.
    seed : int
        Of the trials and of the noise.
    fine_tune : int
        Updates with which rung 6 trains the network on at the finest time step, as the last column of its
        figure. Each takes about as long as one of the training times the number of steps.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Report

    Raises
    ------
    CheckOptionError
        If the ladder, a check or a margin is unknown, or `model` or `untrained` has other parts than the
        trained network.
    CheckedTaskError
        If the network has no task, one of its user's own that was not handed over, or one without trials.
    TrainedFileError
        If the file is damaged.
    InUse
        If another check is working in the same folder.
    OSError
        If the folder cannot be written to; what was finished before is kept.

    Examples
    --------
    >>> bb.check(trained, dt=[1, 0.5, 0.1]*ms).save('report.html')  # doctest: +SKIP
    """
    source = None
    if not isinstance(trained, Trained):
        source = Path(trained)
        trained = Trained.load(source)
    seed, only, sizes = read_seed(seed), read_only(only), read_sizes(ladder)
    context = Context(
        trained,
        task_of(trained) if task is None else task,
        model=read_model("model", model, trained.model),
        untrained=read_model("untrained", untrained, trained.model),
        dts=read_steps(dt, trained),
        sizes=sizes,
        margins=read_margins(margins),
        seed=seed,
        fine_tune=read_updates(fine_tune, sizes, only),
    )
    manifest = manifest_of(context, ladder, only, source)
    if out is None:
        return report_of(context, manifest, _climb(context, only, Kept(None, manifest), progress))
    page = Path(out) / "report.html"
    with alone_with(page, "check"):
        keep_models(out, model=model, untrained=untrained)
        report = report_of(context, manifest, _climb(context, only, Kept(out, manifest), progress))
        with writing_into(out):
            report.save(page)
    return report


def _climb(context, only, kept, progress):
    """The findings of all rungs that are wanted, by their keys; those that are kept are not made again."""
    findings = {}
    with tqdm(wanted_rungs(context.sizes.full, only, LADDER), desc="checks", disable=not progress) as bar:
        for rung in bar:
            bar.set_postfix_str(rung.name)
            findings[rung.key] = kept.of(rung) or _climbed(rung, context)
            kept.keep(rung, findings[rung.key])
    return findings


def _climbed(rung, context):
    """The finding of a rung; an error of ours ends this rung only, and says so."""
    try:
        return rung.measure(context).stored()
    except NotApplicable as why:
        return Finding("not applicable", reason=str(why))
    except NotRun as why:
        return Finding("not run", reason=str(why))
    except MemoryError:
        return Finding("not run", reason="this machine has not enough memory for it")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            return Finding("not run", reason=f"the disk is full: {error}")
        if os.environ.get("BRIANBRIDGE_DEBUG") == "1":
            traceback.print_exception(error)
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(
            "not run", reason=f"an error of brianbridge itself; please report it: {said}", error=said
        )


def report_of(context, manifest, findings):
    """Everything that was found, as a report.

    Parameters
    ----------
    context : Context
    manifest : dict
    findings : dict of str to Finding
        By the key of the rung.

    Returns
    -------
    Report
    """
    report = Report(_title(context), manifest=with_threads_of_torch(manifest))
    for rung in LADDER:
        finding = findings.get(rung.key)
        margin = context.margins.get(rung.key)
        if finding is None:
            why = (
                "the quick ladder leaves it out"
                if not (rung.quick or context.sizes.full)
                else "not asked for"
            )
            finding = Finding("not run", reason=why)
        figures, undrawn = _figures(rung, finding)
        reason = "; ".join(filter(None, [finding.reason, undrawn]))
        if not context.sizes.full and rung.left_out and finding.verdict in ("pass", "fail"):
            reason = "; ".join(filter(None, [reason, f"quick: left out or shortened: {rung.left_out}"]))
        report.checks.append(
            Check(
                rung.name,
                finding.verdict,
                value=finding.value,
                criterion=rung.criterion_with(margin),
                reason=reason,
                detects=finding.detects or rung.detects,
                number=rung.number,
                margin=margin,
            )
        )
        report.tables += finding.tables
        report.figures += [_judged(figure, report.checks[-1]) for figure in figures]
        report.data[rung.key] = finding.data
        if finding.error or undrawn:
            report.data.setdefault("errors", {})[rung.key] = finding.error or undrawn
    report.summary = _summary(context, report)
    return report


def _figures(rung, finding):
    """Its figures, and why there are none; an error of ours costs the figures, not what was measured."""
    try:
        return (rung.plot(finding) if rung.plot else []), ""
    except Exception as error:
        if os.environ.get("BRIANBRIDGE_DEBUG") == "1":
            traceback.print_exception(error)
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [], f"its figure could not be drawn, an error of brianbridge itself: {said}"


def _judged(figure, check):
    """The figure; its caption also says by what it is judged, and how that ended."""
    says = f"Criterion: {check.criterion} (check {check.number}: {check.verdict})."
    return replace(figure, caption=f"{figure.caption} {says}")


def _title(context):
    model = context.trained.model
    neurons = sum(model[name].n for name in model.spiking)
    return f"{name_of(context.task).replace('_', ' ').capitalize()}: {neurons} spiking neurons"


def _summary(context, report):
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts().items() if count)
    failed = [check.name for check in report.failures]
    ending = f" Failed: {'; '.join(failed)}." if failed else ""
    steps = ", ".join(f"{dt * 1e3:g}" for dt in context.dts)
    return (
        f"Trained with steps of {context.training_dt * 1e3:g} ms, examined in Brian2 with {steps} ms on "
        f"{len(context.trials)} fresh trials: {counts}.{ending}"
    )
