"""The table of the small study, made from its results."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "studies" / "small" / "results.json"
HEADING = (
    "| Network | Neurons | Updates | Differing spike bins | Largest difference | Surrogate | "
    "Brian2, same step | Brian2, finer step | Criterion |\n" + "|---" * 9 + "|\n"
)


CURVES = "| Network | μ (% coherence) | σ (% coherence) | Trials at each coherence |\n" + "|---" * 4 + "|\n"


def table():
    """One row for each point, and one for each psychometric curve, as Markdown."""
    points = {
        f"{system}.{name}": point
        for system, points in json.loads(RESULTS.read_text()).items()
        for name, point in points.items()
        if isinstance(point, dict)
    }
    rows = [_row(name, point) for name, point in points.items()]
    curves = [
        _curve(name, point["psychometric"]) for name, point in points.items() if "psychometric" in point
    ]
    return HEADING + "\n".join(rows) + "\n\n" + CURVES + "\n".join(curves) + "\n"


def _curve(name, curve):
    def with_interval(key):
        low, high = curve[f"{key}_interval"]
        return f"{curve[key]:.2g} ({low:.2g} to {high:.2g})"

    trials = " or ".join(map(str, sorted(set(curve["trials"]))))
    return f"| `{name}` | {with_interval('mu')} | {with_interval('sigma')} | {trials} |"


def _row(name, point):
    same = point["same_trials"]
    bins = f"{same['differing_bins']} of {same['spikes']} spikes" if same["spikes"] else "no spikes"
    cells = (
        f"`{name}`",
        point["cells"],
        f"{point['updates']} ({point['seconds']:.0f} s)",
        bins,
        f"{same['largest_difference']:.1g}",
        *map(_accuracy, point["accuracy"]),
        "reached" if point["reached"] else "not reached",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _accuracy(row):
    low, high = row["interval"]
    rate = f", {row['rate_hz']:.1f} Hz" if row.get("rate_hz") is not None else ""
    return f"{row['accuracy']:.1%} ({low:.0%}–{high:.0%}) at {row['dt_ms']:g} ms{rate}"
