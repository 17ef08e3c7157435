"""Records of points: one file each beside what was trained, and all together in results.json."""

import hashlib
import json
from dataclasses import fields, is_dataclass

from brianbridge.atomic_files import write_together


def digest(point):
    """What tells the settings of a point from others: a hash of what is said of it, in eight digits."""
    return hashlib.sha256(json.dumps(_said(point), sort_keys=True).encode()).hexdigest()[:8]


def _said(settings):
    """Settings other than the defaults, so that a new kind of setting changes no digest."""
    said = {f.name: getattr(settings, f.name) for f in fields(settings)}
    defaults = {
        f.name: f.default_factory() if callable(f.default_factory) else f.default for f in fields(settings)
    }
    return {
        name: _said(value) if is_dataclass(value) else value
        for name, value in said.items()
        if value != defaults[name]
    }


def finished(folder, point):
    """The record of a point that was finished with these settings, or None."""
    path = folder / "record.json"
    record = json.loads(path.read_text()) if path.exists() else None
    return record if record and record["settings"] == digest(point) else None


def save(document, path):
    """Write JSON, atomically."""
    write_together({path: (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()})


def together(records):
    """Records by system; a system agrees, or is reached, if all of its points are.

    Parameters
    ----------
    records : dict of str to dict
        By ``SYSTEM.NAME``.

    Returns
    -------
    dict
    """
    systems = {}
    for name, record in records.items():
        system, _, point = name.partition(".")
        systems.setdefault(system, {})[point] = record
    return {
        system: {verdict: all(p[verdict] for p in points.values()) for verdict in ("agreement", "reached")}
        | points
        for system, points in systems.items()
    }


def table(records):
    """All points as a table in markdown."""
    head = "point", "updates", "seconds", "reached", "differing bins", "largest difference", "accuracy"
    lines = [head, ["---"] * len(head)]
    for name, record in records.items():
        same = record["same_trials"]
        measured = ", ".join(
            f"{row['accuracy']:.1%} ({row['where']}, {row['dt_ms']:g} ms)" for row in record["accuracy"]
        )
        lines.append(
            [name, record["updates"], f"{record['seconds']:.0f}", "yes" if record["reached"] else "no",
             same["differing_bins"], f"{same['largest_difference']:.1g}", measured]
        )  # fmt: skip
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
