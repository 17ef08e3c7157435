"""Timescales as a page, a table of neurons and a figure."""

import csv
import io

import numpy as np
from matplotlib.ticker import ScalarFormatter

from brianbridge.atomic_files import write_together
from brianbridge.figure_style import EXCITATORY, INK, UNSIGNED, figure_style, new_figure
from brianbridge.report import CaptionedFigure, Report, Table

__all__ = ["plot", "report", "rows_table", "save", "summary_text"]

COLOURS = {"published": EXCITATORY, "corrected": INK}
FEWEST = 5  # neurons of which a median is drawn


def report(found, title="Timescales"):
    """A page with the figure, what was read at fewer trials, known timescales, and every neuron.

    Parameters
    ----------
    found : NeuronTimescales
    title : str

    Returns
    -------
    Report
    """
    seen = found.summary
    captioned = CaptionedFigure(
        plot(found),
        f"n = {seen['neurons']} neurons, {seen['trials']} trials. Left: estimates of the neurons that have "
        f"one. Middle: medians from the first trials only, where at least {FEWEST} neurons have one. Right: "
        "medians of simulated Poisson neurons of a known timescale; dashed: the truth.",
        "Histogram of timescales, medians against the number of trials, and estimates of known timescales",
        "Timescales",
    )
    tables = [
        rows_table(
            "The same network with fewer trials",
            found.by_trials,
            "Medians, from the first trials only. What is not biased does not depend on their number.",
        ),
        rows_table(
            "Known timescales",
            found.bias,
            "Simulated Poisson neurons. Their rate is an Ornstein-Uhlenbeck process around the median rate "
            "of the network's included neurons; a timescale of 0 is a constant rate, that is no memory.",
        ),
        rows_table(
            "Neurons",
            found.rows,
            "Published: included by the rules of Kim & Sejnowski (2019), or the rule that leaves the neuron "
            "out. Corrected: maximum of the likelihood, with its 95 % interval.",
        ),
    ]
    return Report(
        title, summary=summary_text(found), figures=[captioned], tables=tables, data={"summary": seen}
    )


def rows_table(title, rows, caption):
    """A table of rows such as `NeuronTimescales.rows`; what is not a number is left blank."""
    blanked = [
        {_heading(name): "" if value != value else value for name, value in row.items()} for row in rows
    ]
    return Table.of_rows(title, blanked, caption)


def _heading(name):
    """``corrected_ms`` as 'corrected (ms)'."""
    for unit in ("ms", "hz"):
        if name.endswith(f"_{unit}"):
            return f"{name.removesuffix(f'_{unit}').replace('_', ' ')} ({unit.replace('hz', 'Hz')})"
    return name.replace("_", " ")


def summary_text(found):
    """What was found, in a few sentences."""
    seen = found.summary
    noise = next(row for row in reversed(found.bias) if row["true_ms"] == 0)
    text = (
        f"{seen['trials']} trials, {seen['bins']} bins of {seen['bin_ms']:g} ms in {seen['epoch']!r}, steps "
        f"of {seen['dt_ms']:g} ms. Published rules include {seen['included']} of {seen['neurons']} neurons, "
        f"median {_ms(seen['published_ms'])}; of simulated neurons without memory they include "
        f"{noise['included']} of {noise['neurons']}. Corrected: {seen['with_corrected']} of "
        f"{seen['neurons']} show a memory, median {_ms(seen['corrected_ms'])}."
    )
    fewer = next((row for row in found.by_trials if row["trials"] == 50 != seen["trials"]), None)
    if fewer:
        text += (
            f" With the published 50 trials: {_ms(fewer['published_ms'])}, of {fewer['included']} neurons."
        )
    return text


def _ms(value):
    return f"{value:.3g} ms" if np.isfinite(value) else "none"


def save(found, folder, title="Timescales"):
    """Write ``report.html``, ``report.json``, ``neurons.csv`` and ``timescales.png`` into a folder.

    Parameters
    ----------
    found : NeuronTimescales
    folder : Path
    title : str

    Returns
    -------
    list of Path
    """
    text, picture = io.StringIO(), io.BytesIO()
    writer = csv.DictWriter(text, list(found.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows)
    plot(found).savefig(picture, format="png", dpi=200)
    files = {
        folder / "neurons.csv": text.getvalue().encode(),
        folder / "timescales.png": picture.getvalue(),
    }
    write_together(files)
    return [*report(found, title).save(folder / "report.html"), *files]


@figure_style()
def plot(found):
    """Histogram of both estimates, their medians by number of trials, and what known timescales read.

    Parameters
    ----------
    found : NeuronTimescales

    Returns
    -------
    `matplotlib.figure.Figure`
    """
    figure = new_figure(height=2.6, width=7.4)
    left, middle, right = figure.subplots(1, 3)
    _histogram(left, found)
    _by_trials(middle, found.by_trials)
    _known(right, found.bias)
    handles, labels = middle.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _histogram(ax, found):
    edges = np.geomspace(5, 2000, 19)
    for name, colour in COLOURS.items():
        values = getattr(found.fitted, name)
        values = values[np.isfinite(values)]
        ax.stairs(np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0], edges, color=colour)
        if len(values):
            ax.plot(
                np.median(values),
                1.02,
                marker="v",
                color=colour,
                markersize=4.5,
                clip_on=False,
                transform=ax.get_xaxis_transform(),
            )
    ax.set(xscale="log", xlabel="timescale (ms)", ylabel="neurons")
    _plain_ticks(ax.xaxis, [5, 20, 100, 500, 2000])
    ax.yaxis.get_major_locator().set_params(integer=True)


def _by_trials(ax, rows):
    trials = [row["trials"] for row in rows]
    for name, counted in (("published", "included"), ("corrected", "with_corrected")):
        medians = [row[f"{name}_ms"] if row[counted] >= FEWEST else np.nan for row in rows]
        ax.plot(trials, medians, "o-", color=COLOURS[name], markersize=3.5, label=name)
    ax.set(xscale="log", xlabel="trials", ylabel="median (ms)", ylim=(0, None))
    _plain_ticks(ax.xaxis, trials)


def _known(ax, rows):
    rows = [row for row in rows if row["true_ms"]]
    known = sorted({row["true_ms"] for row in rows})
    ax.plot(known, known, "--", color=UNSIGNED)
    numbers = sorted({row["trials"] for row in rows}, reverse=True)
    for trials, line in zip(numbers, ("-", ":")):
        chosen = [row for row in rows if row["trials"] == trials]
        for name, colour in COLOURS.items():
            ax.plot(
                known, [row[f"{name}_ms"] for row in chosen], line, color=colour, marker="o", markersize=3
            )
        ax.plot([], line, color=UNSIGNED, label=f"{trials} trials")
    ax.set(xlabel="known timescale (ms)", ylabel="read (ms)", xlim=(0, None), ylim=(0, None))
    ax.legend(loc="upper left")


def _plain_ticks(axis, places):
    axis.set_major_formatter(ScalarFormatter())
    axis.set_ticks(places)
    axis.set_ticks([], minor=True)
