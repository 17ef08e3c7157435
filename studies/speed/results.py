"""Records of what was measured: one JSON file, a table and a figure beside it."""

import json

from brianbridge.atomic_files import write_together

KEY = "workload", "implementation", "n", "t", "batch"


class Results:
    """Records in a JSON file, written whole after every change.

    Parameters
    ----------
    path : Path
        Read if it exists.
    """

    def __init__(self, path):
        self.path = path
        self.records = json.loads(path.read_text()) if path.exists() else []

    def __contains__(self, key):
        return any(key == _key(record) for record in self.records)

    def add(self, record):
        """Add a record in place of an older one, and save all."""
        self.records = [old for old in self.records if _key(old) != _key(record)] + [record]
        self.save({self.path: json.dumps(self.records, indent=1) + "\n"})

    @staticmethod
    def save(texts):
        """Write texts to files."""
        write_together({path: text.encode() for path, text in texts.items()})


def key(point, implementation):
    """What tells the records of two measurements apart."""
    return point.workload, implementation, point.n, point.t, point.batch


def _key(record):
    return tuple(record[name] for name in KEY)


HEAD = "implementation", "ms per update", "spread", "times brianbridge", "peak MB", "MB before", "Hz"


def table(records):
    """All records as markdown, a section for each network that was measured."""
    sections = {}
    for record in records:
        sections.setdefault((record["workload"], record["n"], record["t"], record["batch"]), []).append(
            record
        )
    return "\n".join(_section(*size, rows) for size, rows in sections.items())


def _section(workload, n, t, batch, records):
    ours = {r["implementation"]: r["update_ms"] for r in records}.get("brianbridge")
    records = sorted(records, key=lambda r: r["update_ms"] or float("inf"))
    rows = [_row(record, ours) for record in records]
    lines = [f"## {workload}: n={n}, t={t}, batch={batch}", "", _line(HEAD), _line("---" for _ in HEAD)]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _row(record, ours):
    if record["update_ms"] is None:
        return record["implementation"], record["reason"].replace("|", "/"), *[""] * (len(HEAD) - 2)
    ratio = f"{record['update_ms'] / ours:.2f}" if ours else ""
    rate = "" if record["rate_hz"] is None else f"{record['rate_hz']:.1f}"
    times = f"{record['update_ms']:.4g}", f"{record['spread']:.2g}"
    return record["implementation"], *times, ratio, str(record["peak_mb"]), str(record["base_mb"]), rate


def _line(cells):
    return "| " + " | ".join(cells) + " |"
