"""What a report holds: checks with verdicts, tables, figures, the manifest and every number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brianbridge.atomic_files import write_together
from brianbridge.spelling import hint

from .page import render_page
from .plain_json import json_text, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = ("pass", "fail", "not applicable", "not run")
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Check:
    """
    One check: what was measured, against which criterion, and how it ended.

    Parameters
    ----------
    name : str
        What is checked, in a few words.
    verdict : {'pass', 'fail', 'not applicable', 'not run'}
    value
        What was measured: a number (also with a unit), a text, or anything that JSON can hold.
    criterion : str
        The rule that decides, with its margin, as in ``'no spike bin differs'``.
    reason : str
        What a reader needs to know beside the numbers. It must be given for 'not applicable' and 'not run'.
    detects : str
        The smallest effect that the check could have shown.
    number : int, optional
        Of the rung, in a ladder of checks.
    margin : float, optional
        What the criterion allows, as a number.

    Raises
    ------
    ValueError
        If the verdict is none of the four, or if a check without a result does not say why.
    """

    name: str
    verdict: str
    value: Any = None
    criterion: str = ""
    reason: str = ""
    detects: str = ""
    number: int | None = None
    margin: float | None = None

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(_unknown_verdict(self.name, self.verdict))
        if self.verdict in ("not applicable", "not run") and not self.reason.strip():
            raise ValueError(
                f"The check {self.name!r} is {self.verdict!r} without saying why. No check may be skipped "
                f"silently: pass reason='...', for instance reason='no C++ compiler was found'."
            )


def _unknown_verdict(name, verdict):
    message = (
        f"The check {name!r} has the verdict {verdict!r}, "
        f"but a verdict is one of {', '.join(map(repr, VERDICTS))}."
    )
    if isinstance(verdict, bool) or type(verdict).__name__ == "bool":  # also numpy's
        return message + " Write verdict='pass' if ok else 'fail'."
    return message + hint(verdict, VERDICTS)


@dataclass(frozen=True)
class Table:
    """
    A table with a title and a caption.

    Parameters
    ----------
    title : str
    columns : sequence of str
        The column headings, with units.
    rows : sequence of sequences
        Numbers, quantities and texts. The page shows four significant digits, the JSON holds all of them.
    caption : str
        What is shown, with n.

    Raises
    ------
    ValueError
        If a row is not as long as the list of columns.
    """

    title: str
    columns: list
    rows: list
    caption: str = ""

    def __post_init__(self):
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Row {number} of the table {self.title!r} has {len(row)} entries, "
                    f"but the table has {len(self.columns)} columns: {list(self.columns)}."
                )

    @classmethod
    def of_rows(cls, title, rows, caption=""):
        """A table of dicts that have the same keys, which become the column headings."""
        return cls(title, list(rows[0]), [list(row.values()) for row in rows], caption)


@dataclass(frozen=True)
class CaptionedFigure:
    """
    A figure with its caption.

    Parameters
    ----------
    figure : `matplotlib.figure.Figure`
    caption : str
        States n and what is shown, so that the figure can be read without the text around it.
    alt : str
        What the figure shows, in one sentence, for those who cannot see it.
    title : str
        Set before the caption in bold.

    Raises
    ------
    ValueError
        If the caption or the alternative text is missing.
    """

    figure: Figure
    caption: str
    alt: str
    title: str = ""

    def __post_init__(self):
        for needed in ("caption", "alt"):
            if not getattr(self, needed).strip():
                raise ValueError(f"A figure of a report needs its {needed} text ({needed}='...').")


@dataclass
class Report:
    """
    A report that a reviewer can check: verdicts first, then the evidence, then how to run it again.

    Parameters
    ----------
    title : str
    summary : str
        One paragraph: what was done and what came out.
    checks : list of `Check`
    tables : list of `Table`
    figures : list of `CaptionedFigure`
    manifest : dict
        What makes the numbers re-runnable: hashes, seeds, versions, dt, method, device.
    data : dict
        Every number behind the figures and tables. It goes into the JSON only. Quantities keep their unit.
    """

    title: str
    summary: str = ""
    checks: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    manifest: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)

    @property
    def failures(self):
        """The checks that failed; an empty tuple if none did."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    def counts(self):
        """How many checks ended with each verdict, as a dict in the order of `VERDICTS`."""
        return {verdict: sum(check.verdict == verdict for check in self.checks) for verdict in VERDICTS}

    def as_dict(self):
        """The report as plain numbers, texts, lists and dicts, as in its JSON; NaN and infinity are None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "title": str(self.title),
            "summary": str(self.summary),
            "checks": [_check_as_dict(check) for check in self.checks],
            "tables": [_table_as_dict(table) for table in self.tables],
            "figures": [{"title": f.title, "caption": f.caption, "alt": f.alt} for f in self.figures],
            "manifest": plain(self.manifest, "report.manifest"),
            "data": plain(self.data, "report.data"),
        }

    def save(self, path="report.html"):
        """
        Write the page, and beside it the same report as JSON.

        Both files are complete before either appears under its name: whatever goes wrong on the way
        (a value that JSON cannot hold, a figure that cannot be drawn, a full disk), an older report stays as
        it was.

        Parameters
        ----------
        path : str or Path
            Ends in ``.html``. The JSON has the same name with ``.json``; missing folders are made.

        Returns
        -------
        html, json : Path

        Raises
        ------
        ValueError
            If the path does not end in ``.html``.
        TypeError
            If the manifest, the data or a table holds something that JSON cannot hold; the error says where.
        """
        html = Path(path)
        if html.suffix.lower() != ".html":
            raise ValueError(f"A report is saved as an HTML page, so {str(path)!r} should end in '.html'.")
        json = html.with_suffix(".json")
        numbers = json_text(self.as_dict())
        page = render_page(self, json.name, hashlib.sha256(numbers).hexdigest())
        write_together({html: page, json: numbers})
        return html, json


def _check_as_dict(check):
    ladder = {name: value for name in ("number", "margin", "detects") if (value := getattr(check, name))}
    return {
        "name": check.name,
        "verdict": check.verdict,
        "reason": check.reason,
        "value": plain(check.value, f"the value of the check {check.name!r}"),
        "criterion": check.criterion,
        **ladder,
    }


def _table_as_dict(table):
    return {
        "title": table.title,
        "columns": [str(column) for column in table.columns],
        "rows": plain(table.rows, f"the table {table.title!r}"),
        "caption": table.caption,
    }
