"""The tables in the pages of docs/ say what tests, tasks, results and commands say today."""

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["command-line.md", "features.md", "small.md", "speed.md", "tasks.md"])
def test_the_table_in_the_page_is_current(name, monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    from generated_tables import TABLES, renewed

    assert name in TABLES
    page = DOCS / name
    assert page.read_text(encoding="utf-8") == renewed(page), "run `make docs`, which renews it"
