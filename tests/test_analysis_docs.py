"""The examples of docs/analysis.md run as they stand, and the page names every function that matters."""

import re
from pathlib import Path

import numpy as np

from brianbridge import analysis

PAGE = (Path(__file__).parents[1] / "docs" / "analysis.md").read_text()


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/analysis.md", "exec"), names)
    assert len(list(tmp_path.glob("*.png"))) == 9
    assert names["components"].needed_for(0.9) <= 5
    np.testing.assert_allclose(np.abs(names["axes"].axes @ names["axes"].axes.T), np.eye(3), atol=1e-9)


def test_every_function_is_on_the_page():
    functions = {name for name in analysis.__all__ if name[0].islower()}
    assert {name for name in functions if name not in PAGE} == LESS_IMPORTANT


LESS_IMPORTANT = {
    "count_spike_times",
    "find_clusters",
    "firing_rates",
    "spike_count_autocorrelation",
    "split_input",
    "wilson_interval",
}
