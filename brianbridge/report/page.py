"""Renders a report as one HTML page that loads nothing: style and figures are inside."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from .inline_figure import figure_markup
from .number_text import column_texts, is_number, typeset, value_text

ENLARGEMENT = 1.2  # letters of 8.5 points in a figure then have about the size of the caption's

# The sign stands beside the word, so that a verdict is not told by its colour alone.
_VERDICT_SIGNS = {"pass": "✓", "fail": "✗", "not applicable": "–", "not run": "○"}


def render_page(report, json_name, json_hash):
    """
    The page of a report.

    Every text is escaped, since names come from users' files; only the figures are taken as markup.

    Parameters
    ----------
    report : `Report`
    json_name : str
        Name of the file beside the page that holds the numbers.
    json_hash : str
        SHA-256 of that file, printed on the page: it tells which numbers belong to which page.

    Returns
    -------
    bytes
        UTF-8.
    """
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(value_text=value_text, typeset=typeset)
    page = environment.get_template("page.html.jinja").render(
        report=report,
        signs=_VERDICT_SIGNS,
        show_reasons=any(check.reason for check in report.checks),
        tables=[_table_cells(table) for table in report.tables],
        figures=[_placed_figure(number, shown) for number, shown in enumerate(report.figures, start=1)],
        manifest=list(_flat(report.manifest)),
        json_name=json_name,
        json_hash=json_hash,
    )
    # What UTF-8 cannot hold (a file name in a foreign encoding) is shown by its number.
    return page.encode("utf-8", "backslashreplace")


def _template(name):
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _table_cells(table):
    """The texts of a table; a column in which all is a number or missing is aligned to the right."""
    columns = [[row[number] for row in table.rows] for number in range(len(table.columns))]
    numeric = [all(value is None or is_number(value) for value in values) for values in columns]
    texts = [column_texts(values) for values in columns]
    rows = [list(zip(row, numeric, strict=True)) for row in zip(*texts, strict=True)]
    return {
        "title": table.title,
        "caption": table.caption,
        "rows": rows,
        "columns": list(zip(table.columns, numeric, strict=True)),
    }


def _placed_figure(number, shown):
    return {
        "title": shown.title,
        "caption": shown.caption,
        "width": f"{ENLARGEMENT * shown.figure.get_size_inches()[0]:.2f}in",
        "markup": Markup(figure_markup(shown.figure, shown.alt, prefix=f"figure{number}")),
    }


def _flat(entries, path=""):
    """The manifest as pairs of a dotted name and a text, in its own order."""
    for key, value in entries.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, value_text(value) or value_text(None)
