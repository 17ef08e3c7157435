"""The page of a report in headless Chromium: on a desk, on a phone and on paper."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pytest
from PIL import Image

from brianbridge.report import Check, Table
from brianbridge.report.page import render_page
from tests.test_report import assert_loads_nothing, full_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

WIDTHS = {"desk": 1200, "phone": 390}
HEIGHT = 4500
#: Reports to the page around it where things lie. The page itself has no script, and forbids any.
MEASURE = """<script>addEventListener("load", () => {
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] };
  const all = s => [...document.querySelectorAll(s)];
  const root = document.documentElement;
  parent.document.getElementById("found-" + frameElement.id).textContent = JSON.stringify({
    width: root.scrollWidth, inner: innerWidth, height: root.scrollHeight,
    outside: all("body *").filter(e => !e.closest(".wide, thead") && box(e)[2] > innerWidth + 0.5)
      .map(e => e.outerHTML.slice(0, 80)),
    headings: all("h2").map(e => e.textContent), drawings: all(".drawing > *").map(box),
    notes: all(".detects").map(e => [box(e), box(e.parentElement)]),
    loaded: performance.getEntriesByType("resource").map(e => e.name),
  }) })</script>"""


def checked_report():
    """With everything that makes a page wide: long texts, long names, many columns."""
    report = full_report()
    report.checks += [
        replace(report.checks[1], detects="a change of 12 points (n = 12)", number=7),
        Check("x" * 200, "fail", "9" * 120, "within " + "y" * 150, "because " + "z" * 150),
    ]
    report.tables.append(Table("Wide", [f"column {k}" for k in range(14)], [list(range(14))], "n = 1."))
    report.manifest["sha256"] = "0f" * 32
    return report


def chromium(*arguments):
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What was measured at each width, and a picture of both."""
    folder = tmp_path_factory.mktemp("page")
    page = render_page(checked_report(), "report.json", "00ff").decode()
    assert_loads_nothing(page)
    measured = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', MEASURE, page)
    frames = "".join(
        f'<iframe id="{name}" style="border:0;width:{width}px;height:{HEIGHT}px" srcdoc="{escape(measured)}">'
        f'</iframe><pre hidden id="found-{name}"></pre>'
        for name, width in WIDTHS.items()
    )
    harness = folder / "harness.html"
    harness.write_text(f'<!DOCTYPE html><body style="margin:0;display:flex">{frames}', encoding="utf-8")
    size = f"--window-size={sum(WIDTHS.values())},{HEIGHT}"
    dumped = chromium(size, "--virtual-time-budget=5000", "--dump-dom", harness.as_uri())
    found = {
        name: json.loads(unescape(re.search(rf'id="found-{name}">(.*?)</pre>', dumped, re.DOTALL)[1]))
        for name in WIDTHS
    }
    picture = folder / "page.png"
    chromium(size, f"--screenshot={picture}", harness.as_uri())
    return found, Image.open(picture).convert("RGB")


@pytest.mark.parametrize("name", WIDTHS)
def test_the_page_fits_its_window_and_begins_with_the_verdicts(shown, name):
    found = shown[0][name]
    assert found["inner"] == WIDTHS[name] and found["width"] <= WIDTHS[name]
    assert not found["outside"]
    assert found["headings"] == ["Checks", "Figures", "Tables", "Manifest"]
    assert not found["loaded"]
    (note, around), *_ = found["notes"]
    assert note[0] == pytest.approx(around[0]) and note[2] - note[0] > 100  # beside its label, not below it


@pytest.mark.parametrize("name", WIDTHS)
def test_figures_are_seen(shown, name):
    found, picture = shown
    left = 0 if name == "desk" else WIDTHS["desk"]
    assert picture.size == (sum(WIDTHS.values()), HEIGHT) and len(found[name]["drawings"]) == 2
    for x0, y0, x1, y1 in found[name]["drawings"]:
        assert x1 - x0 > 300 and y1 - y0 > 80
        drawn = np.asarray(picture.crop((left + int(x0), int(y0), left + int(x1), int(y1))))
        dark = (drawn.sum(axis=2) < 380).mean()
        assert 0.002 < dark < 0.5  # ink on paper: neither blank nor black


def test_the_page_can_be_printed(tmp_path):
    html, _ = checked_report().save(tmp_path / "report.html")
    paper = tmp_path / "report.pdf"
    chromium("--no-pdf-header-footer", f"--print-to-pdf={paper}", html.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF") and 1 < len(re.findall(rb"/Type\s*/Page\b", content)) < 8
