"""The tables of the speed study, made from its results."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "studies" / "speed" / "results.json"
NAMES = {
    "brianbridge": "brianbridge",
    "brianbridge_eager": 'brianbridge, `backend="eager"`',
    "brainpy": "BrainPy",
    "spyx": "Spyx",
    "norse": "Norse",
    "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly",
    "eager": "PyTorch, by hand",
    "edge_list": "edge list in PyTorch",
    "edge_list_jax": "edge list in JAX",
    "brian2_cpp": "Brian2's C++ standalone",
}
HEADING = (
    "network",
    "implementation",
    "ms per update",
    "quartiles apart",
    "× brianbridge's time",
    "MB above the start",
    "Hz",
)
BESIDE = "brainpy", "spyx", "spikingjelly", "norse", "snntorch", "eager"  # columns of the scaling


def table():
    """The networks, and the sizes of one of them, as Markdown."""
    points = {}
    for record in json.loads(RESULTS.read_text()):
        size = record["workload"], record["n"], record["t"], record["batch"]
        points.setdefault(size, {})[record["implementation"]] = record
    networks = {size: point for size, point in points.items() if size[0] != "scaling"}
    sizes = {size[1:]: point for size, point in points.items() if size[0] == "scaling"}
    return f"{_networks(networks)}\n### With the size of the network\n\n{_scaling(sizes)}"


def _networks(points):
    lines = [f"| {' | '.join(HEADING)} |", "|---" * len(HEADING) + "|"]
    for (workload, n, t, batch), point in points.items():
        name = f"`{workload}`, {n} neurons, {_number(t)} steps, {batch} trial{'s' * (batch > 1)}"
        ours = point["brianbridge"]["update_ms"]
        measured = [record for record in point.values() if _has_this(record)]
        for record in sorted(measured, key=lambda r: r["update_ms"] or float("inf")):
            cells = name, NAMES[record["implementation"]], *_cells(record, ours)
            lines.append(f"| {' | '.join(cells)} |")
            name = ""
    return "\n".join(lines) + "\n"


def _has_this(record):
    """Whether the implementation has this network at all."""
    return record["update_ms"] or not record["reason"].startswith(f"{record['workload']}: ")


def _cells(record, ours):
    if not record["update_ms"]:
        return f"– ({record['reason'].partition(':')[0]})", "", "", "", ""
    rate = f"{record['rate_hz']:.1f}" if record["rate_hz"] else ""
    return (
        _number(record["update_ms"]),
        f"{record['spread']:.2g}" if record["spread"] < 100 else _number(record["spread"]),
        _ratio(record["update_ms"] / ours),
        _number(record["peak_mb"] - record["base_mb"]),
        rate,
    )


def _scaling(points):
    heads = "neurons", "steps", "trials", "brianbridge", *map(NAMES.get, BESIDE), "the fastest other"
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for size in sorted(points):
        times = {name: record["update_ms"] for name, record in points[size].items()}
        others = [times[name] for name in BESIDE if times.get(name)]
        fastest = f"{_ratio(min(others) / times['brianbridge'])} times" if others else ""
        shown = (_number(times[name]) if times.get(name) else "–" for name in ("brianbridge", *BESIDE))
        lines.append(f"| {' | '.join([*map(_number, size), *shown, fastest])} |")
    return "\n".join(lines) + "\n"


def _ratio(value):
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _number(value):
    """Three digits are enough."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
