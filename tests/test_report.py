"""The report: one self-contained page and its JSON, written whole or not at all."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from brianbridge.report import VERDICTS, CaptionedFigure, Check, Report, Table, inline_figure
from brianbridge.report.figures import (
    EXCITATORY,
    INHIBITORY,
    example_trial,
    loss_curve,
    parameter_distributions,
    raster,
)
from brianbridge.report.number_text import column_texts, value_text

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> & {{ 7*7 }} --> $\\frac \ud800'


class Page(HTMLParser):
    """The tags, attributes and visible text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


def full_report():
    rng = np.random.default_rng(0)
    excitatory = np.arange(10) < 8
    spikes = rng.random((100, 10)) < 0.05
    time = np.arange(100.0)
    return Report(
        "Integration, 10 neurons",
        summary="It was trained.",
        checks=[
            Check("same spikes", "pass", 0, "no spike bin differs"),
            Check("fine dt", "fail", 0.88, "within 3 points", "rates rise"),
            Check("dt ladder", "not applicable", reason="the equations contain dt"),
            Check("C++", "not run", reason="no compiler"),
        ],
        tables=[
            Table("Agreement", ["object", "difference"], [["cells", 1.5e-12], ["rec", None]], "n = 2 trials.")
        ],
        figures=[
            CaptionedFigure(raster(time, spikes, excitatory), "n = 10 neurons.", "Spikes at random."),
            CaptionedFigure(
                loss_curve(np.arange(50), np.arange(50, 0, -1)), "n = 50 updates.", "It falls.", "Loss"
            ),
        ],
        manifest={"seeds": {"training": 1}, "dt": "1 ms"},
        data={"loss": np.array([1.0, np.nan, np.inf]), "n": np.int64(10), "spikes": spikes[:2, :2]},
    )


def assert_loads_nothing(html):
    page = Page(html)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base"}
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert value.startswith(("#", "data:image/")), value
    assert not re.search(r"@import|url\((?!#)", html)


def test_page_is_one_file_that_loads_nothing(tmp_path):
    html, numbers = full_report().save(tmp_path / "report.html")
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report.json"] == [html.name, numbers.name]
    text = html.read_text(encoding="utf-8")
    assert_loads_nothing(text)
    assert "http://" not in text and "https://" not in text
    assert text.count("<svg") == 2


def test_page_states_every_check_table_figure_and_manifest_entry():
    from brianbridge.report.page import render_page

    report = full_report()
    text = Page(render_page(report, "report.json", "00ff").decode()).text
    for check in report.checks:
        assert re.search(rf"{re.escape(check.name)}\s+\S?\s*{check.verdict}", text), check
        assert check.reason in text and check.criterion in text
    for words in (
        "Table 1. Agreement. n = 2 trials.",
        "Figure 1. n = 10 neurons.",
        "Figure 2. Loss. n = 50",
        "1 ms",
    ):
        assert words in " ".join(text.split())
    assert "seeds.training" in text and "1.5\u00a0×\u00a010⁻¹²" in text
    assert "report.json" in text and "00ff" in text


def test_ids_differ_between_the_figures_of_a_page(tmp_path):
    html = full_report().save(tmp_path / "report.html")[0].read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert {first or second for first, second in used} <= set(ids)


def test_hostile_texts_are_escaped(tmp_path):
    drawn = [
        parameter_distributions({HOSTILE: (np.arange(5.0), HOSTILE)}),
        example_trial(np.arange(5), np.ones(5), None, np.ones(5), {HOSTILE: (0, 4)}, channel_names=[HOSTILE]),
    ]
    report = Report(
        HOSTILE,
        summary=HOSTILE,
        checks=[Check(HOSTILE, "not run", HOSTILE, HOSTILE, HOSTILE)],
        tables=[Table(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE)],
        figures=[CaptionedFigure(figure, HOSTILE, HOSTILE, HOSTILE) for figure in drawn],
        manifest={HOSTILE: {HOSTILE: [HOSTILE]}},
        data={HOSTILE: HOSTILE},
    )
    html, numbers = report.save(tmp_path / "report.html")
    text = html.read_text(encoding="utf-8")
    assert_loads_nothing(text)
    assert "img" not in Page(text).tags and "{{ 7*7 }}" in text
    assert json.loads(numbers.read_text(encoding="utf-8"))["checks"][0]["name"] == HOSTILE


def test_json_equals_content(tmp_path):
    report = full_report()
    _, numbers = report.save(tmp_path / "report.html")

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    read = json.loads(numbers.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == report.as_dict()
    assert read["schema_version"] == 1
    assert read["checks"][1] == {
        "name": "fine dt",
        "verdict": "fail",
        "reason": "rates rise",
        "value": 0.88,
        "criterion": "within 3 points",
    }
    assert read["tables"][0]["rows"] == [["cells", 1.5e-12], ["rec", None]]
    assert read["data"]["loss"] == [1.0, None, None]
    assert read["data"]["n"] == 10 and read["data"]["spikes"][0][0] in (True, False)


def test_quantities_keep_their_unit(tmp_path):
    from brian2 import Mohm, mV, second

    report = Report(
        "Units",
        checks=[Check("resistance", "pass", 50 * Mohm)],
        data={"v": [1, 2] * mV, "ratio": (3 * mV) / (2 * mV), "dt": 0.001 * second},
    )
    html, numbers = report.save(tmp_path / "report.html")
    data = json.loads(numbers.read_text(encoding="utf-8"))["data"]
    assert data["v"]["unit"] == "V" and data["v"]["value"] == pytest.approx([0.001, 0.002])
    assert data["dt"] == {"value": 0.001, "unit": "s"} and data["ratio"] == 1.5
    assert "50\u00a0Mohm" in html.read_text(encoding="utf-8")


def test_what_json_cannot_hold_is_named_with_its_place(tmp_path):
    report = Report("Bad", data={"runs": [{"figure": Figure()}]})
    with pytest.raises(TypeError, match=r"report\.data\['runs'\]\[0\]\['figure'\] is a Figure"):
        report.save(tmp_path / "report.html")
    assert os.listdir(tmp_path) == []


def test_an_error_while_rendering_leaves_the_old_report(tmp_path):
    paths = full_report().save(tmp_path / "report.html")
    before = [path.read_bytes() for path in paths]
    broken = Figure()
    broken.subplots().set_title(r"$\frac$")  # matplotlib finds out only when it draws
    report = full_report()
    report.figures.append(CaptionedFigure(broken, "n = 1.", "Broken."))
    with pytest.raises(ValueError, match="frac"):
        report.save(tmp_path / "report.html")
    assert [path.read_bytes() for path in paths] == before
    assert len(os.listdir(tmp_path)) == 2


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    paths = full_report().save(tmp_path / "report.html")
    before = [path.read_bytes() for path in paths]
    calls = []

    def full_at_the_second_file(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_at_the_second_file)
    with pytest.raises(OSError, match="No space left"):
        Report("Another").save(tmp_path / "report.html")
    assert [path.read_bytes() for path in paths] == before
    assert len(os.listdir(tmp_path)) == 2


def test_saving_replaces_and_makes_folders(tmp_path):
    target = tmp_path / "out" / "deep" / "my report.html"
    Report("First").save(target)
    html, numbers = Report("Second").save(str(target))
    assert "Second" in html.read_text() and json.loads(numbers.read_text())["title"] == "Second"
    assert numbers.name == "my report.json"
    with pytest.raises(ValueError, match=r"should end in '\.html'"):
        Report("Third").save(tmp_path / "report.pdf")


def test_the_same_report_is_the_same_bytes(tmp_path):
    first, second = (full_report().save(tmp_path / folder / "report.html") for folder in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ("passed", "Did you mean 'pass'"),
        ("Not Run", "Did you mean 'not run'"),
        (True, "'pass' if ok else 'fail'"),
        (np.True_, "'pass' if ok else 'fail'"),
        (None, "is one of 'pass', 'fail', 'not applicable', 'not run'"),
    ],
)
def test_other_verdicts_are_refused(verdict, message):
    with pytest.raises(ValueError, match="The check 'same spikes'") as refused:
        Check("same spikes", verdict)
    assert message in str(refused.value)


def test_nothing_is_skipped_silently():
    for verdict in ("not run", "not applicable"):
        with pytest.raises(ValueError, match="without saying why"):
            Check("C++", verdict)
    with pytest.raises(ValueError, match="caption"):
        CaptionedFigure(Figure(), caption=" ", alt="A figure.")
    with pytest.raises(ValueError, match=r"Row 1 .* 1 entries, .* 2 columns"):
        Table("t", ["a", "b"], [[1, 2], [3]])


def test_counts_and_failures():
    report = full_report()
    assert report.counts() == dict.fromkeys(VERDICTS, 1)
    assert [check.name for check in report.failures] == ["fine dt"]


def test_a_drawing_with_too_many_points_becomes_an_image(tmp_path, monkeypatch):
    monkeypatch.setattr(inline_figure, "LARGEST_SVG", 1000)
    html, _ = full_report().save(tmp_path / "report.html")
    text = html.read_text(encoding="utf-8")
    assert_loads_nothing(text)
    assert "<svg" not in text and text.count('src="data:image/png;base64,') == 2 and 'alt="It falls."' in text


def test_figures_of_others_keep_their_looks(tmp_path):
    figure = Figure()
    figure.subplots().plot([0, 1])
    report = Report("Mine", figures=[CaptionedFigure(figure, "n = 2 points.", "A line.")])
    assert 'class="on-white"' in report.save(tmp_path / "report.html")[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (np.bool_(True), "yes"),
        (0, "0"),
        (2020, "2020"),
        (376581, "376\u202f581"),
        (-3.14159, "−3.142"),
        (3.1e-13, "3.1\u00a0×\u00a010⁻¹³"),
        (float("nan"), "NaN"),
        (-float("inf"), "−∞"),
        (np.float32(0.5), "0.5"),
        ([1, 2.5], "1, 2.5"),
        (np.arange(40), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (40 values)"),
        ({"E": 1, "I": 2}, "E = 1; I = 2"),
    ],
)
def test_value_text(value, text):
    assert value_text(value) == text


def test_columns_are_filled_to_the_same_decimals():
    assert column_texts([0.93, 0.9, 3, None, float("nan")]) == ["0.93", "0.90", "3", "—", "NaN"]
    assert column_texts([12.5, 1e-9]) == ["12.5", "1\u00a0×\u00a010⁻⁹"]
    assert column_texts([]) == []


def test_loss_curve():
    accuracy = np.full(100, np.nan)
    accuracy[::10] = np.linspace(0, 1, 10)
    figure = loss_curve(np.arange(100), np.geomspace(100, 1, 100), accuracy)
    loss_panel, accuracy_panel = figure.axes
    assert loss_panel.get_yscale() == "log" and len(loss_panel.lines) == 2
    assert len(loss_panel.lines[0].get_xdata()) == 100
    median = loss_panel.lines[1]
    assert np.allclose(median.get_ydata(), np.geomspace(100, 1, 100)[median.get_xdata()])
    assert len(accuracy_panel.lines[0].get_xdata()) == 10
    assert len(loss_curve([1, 2, 3], [3.0, 2.0, -1.0]).axes[0].lines) == 1


def test_example_trial():
    time = np.arange(50.0)
    inputs = np.stack([np.sin(time), np.ones(50)], axis=1)
    target = np.where(time > 30, 1.0, np.nan)
    epochs = {"fixation": (0, 20), "delay": (20, 20), "stimulus": (20, 30), "response": (30, 50)}
    figure = example_trial(
        time, inputs, target, np.zeros((50, 1)), epochs, bound=0.8, channel_names=["left", "$x"]
    )
    above, below = figure.axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["left", r"\$x"]
    assert [text.get_text() for text in above.texts] == ["fixation", "stimulus", "response"]
    labels = [text.get_text() for text in below.get_legend().get_texts()]
    assert labels == ["output", "target", "bound ±0.8"]
    levels = [line.get_ydata()[0] for line in below.lines if line.get_linestyle() == ":"]
    assert levels == [0.8, -0.8]
    assert len(example_trial(time, np.ones((50, 30)), None, time, {}).axes[0].images) == 1
    with pytest.raises(ValueError, match="time has 50, inputs has 50, output has 3 entries"):
        example_trial(time, inputs, target, np.zeros(3), epochs)
    with pytest.raises(ValueError, match="2 input channels, but 1 channel names"):
        example_trial(time, inputs, target, np.zeros(50), epochs, channel_names=["left"])


def test_raster_draws_each_spike_once_and_the_right_rate():
    spikes = np.zeros((600, 4), dtype=bool)
    spikes[10, 0] = spikes[20, 2] = spikes[25, 2] = True
    excitatory = np.array([False, True, True, True])
    above, below = raster(np.arange(600) * 0.5, spikes, excitatory).axes
    red, blue = above.lines
    assert same_color(red.get_color(), EXCITATORY) and same_color(blue.get_color(), INHIBITORY)
    assert list(red.get_xdata()) == [10.0, 12.5] and list(red.get_ydata()) == [1, 1]
    assert list(blue.get_xdata()) == [5.0] and list(blue.get_ydata()) == [3]
    assert [label.get_text() for label in above.get_yticklabels()] == ["3 E", "1 I"]
    for steps, (counted, neurons) in zip(below.patches, [(2, 3), (1, 1)], strict=True):
        rates, edges, _ = steps.get_data()
        assert np.sum(rates * np.diff(edges) / 1000) * neurons == pytest.approx(counted)
        assert edges[-1] == 300


def test_raster_of_a_silent_or_a_busy_network(tmp_path):
    silent = raster(np.arange(10), np.zeros((10, 3), dtype=bool))
    busy = raster(np.arange(500), np.ones((500, 20), dtype=bool))
    assert busy.axes[0].lines[0].get_rasterized() and not silent.axes[0].lines[0].get_rasterized()
    report = Report("R", figures=[CaptionedFigure(figure, "n", "a raster") for figure in (silent, busy)])
    html = report.save(tmp_path / "report.html")[0]
    assert html.stat().st_size < 500_000
    assert_loads_nothing(html.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"\(steps, n\)"):
        raster(np.arange(10), np.zeros(10))


def test_parameter_distributions():
    excitatory = np.arange(20) < 15
    figure = parameter_distributions(
        {"tau_m": (np.linspace(5, 50, 20), "ms"), "tau_r": (np.r_[np.full(9, 20.0), np.nan], "ms")},
        {"tau_m": excitatory},
    )
    signed, unsigned = figure.axes
    assert [bars.get_label() for bars in signed.containers] == ["excitatory", "inhibitory"]
    for bars in (*signed.containers, *unsigned.containers):
        assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
    medians = [line.get_xdata()[0] for line in signed.lines]
    values = np.linspace(5, 50, 20)
    assert medians == pytest.approx([np.median(values[excitatory]), np.median(values[~excitatory])])
    assert signed.get_xlabel() == "tau_m (ms)" and len(unsigned.containers) == 1
    with pytest.raises(ValueError, match="20 values, but 3 entries"):
        parameter_distributions({"tau_m": (values, "ms")}, {"tau_m": [True] * 3})


def test_figures_leave_the_users_settings_alone():
    def settings():  # looking up the backend would choose one
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

    before = settings()
    with matplotlib.rc_context({"axes.facecolor": "black", "text.usetex": True}):
        figure = loss_curve([1, 2], [2.0, 1.0])
    assert figure.axes[0].get_facecolor()[3] == 0
    assert settings() == before


def test_a_report_needs_neither_torch_nor_pyplot():
    code = (
        "import sys; from brianbridge.report import Report, CaptionedFigure;"
        "from brianbridge.report.figures import loss_curve;"
        "Report('t', figures=[CaptionedFigure(loss_curve([1], [1]), 'n = 1', 'a point')]).as_dict();"
        "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
