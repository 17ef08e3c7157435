"""Networks from equation files, end to end: trained, written back into Brian2, compared and tested there.

    python studies/small/run.py [--points li2020.int,adex.int] [--study FILE] [--out DIR]

What is trained, and when it counts as trained, stands in study.toml. DIR (default: this folder) gets
``results.json``, and in ``out/POINT/`` the trained network, its history and a checkpoint from which an
interrupted training goes on. Points that were finished with the same settings are not trained again.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from brian2 import BrianLogger
from choices import curve_of, draw
from learning import check, train
from measuring import accuracies, agreement
from results import digest, finished, save, table, together
from study import StudyError, about, read_study

import brianbridge as bb
from brianbridge.model.quantities import read_quantity

HERE = Path(__file__).parent
TRAINED = "trained.safetensors"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", metavar="NAMES", help="joined by commas; default: all")
    parser.add_argument("--study", metavar="FILE", type=Path, default=HERE / "study.toml")
    parser.add_argument("--out", metavar="DIR", type=Path, default=HERE)
    return parser.parse_args()


def main():
    options = arguments()
    torch.set_num_threads(1)  # at these sizes threads only wait for each other
    BrianLogger.log_level_error()
    try:
        points = read_study(options.study)
        wanted = chosen(points, options.points)
        for name, point in points.items():
            with about(f"{name}.training"):
                check(point.training)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 64
    folders = {name: options.out / "out" / name for name in points}
    records = {name: finished(folders[name], point) for name, point in points.items()}
    for name in wanted:
        if not records[name]:
            print(f"{name}: {points[name].model}, {points[name].task['name']}", flush=True)
            records[name] = run(points[name], folders[name])
        save(together(done(records)), options.out / "results.json")
    records = done(records)
    curves = {name: record["psychometric"] for name, record in records.items() if "psychometric" in record}
    if curves:
        draw(curves, options.out / "out" / "psychometric.png")
    print(table(records))
    return 0 if all(record["agreement"] and record["reached"] for record in records.values()) else 1


def done(records):
    """Those that there are."""
    return {name: record for name, record in records.items() if record}


def chosen(points, text):
    """Names of the points that are asked for and of those from which they start, in their order."""
    asked = text.split(",") if text else list(points)
    unknown = [name for name in asked if name not in points]
    if unknown:
        raise StudyError(f"The study has no point {', '.join(unknown)}; it has {', '.join(points)}.")
    starts = {points[name].start for name in asked}
    return [name for name in points if name in asked or name in starts]


def run(point, folder):
    """Train, compare and test one point; its record."""
    folder.mkdir(parents=True, exist_ok=True)
    start = bb.Trained.load(folder.parent / point.start / TRAINED).model if point.start else None
    trained = train(point, folder / f"checkpoint-{digest(point)}.safetensors", start)
    trained.save(folder / TRAINED)
    same = agreement(point, trained)
    rows, choices = accuracies(point, trained)
    record = {
        "settings": digest(point),
        "agreement": same["identical"],
        "reached": reached(point, trained, rows),
        "criterion": point.criterion.text,
        "updates": len(trained.history["loss"]),
        "ended_by": trained.manifest["training"]["ended_by"],
        "seconds": round(trained.history["seconds"][-1], 1),
        "cells": trained.model["cells"].n,
        "synapses": {p.name: len(p.i) for p in trained.model.groups if hasattr(p, "i")},
        "seed": point.seed,
        "start": point.start or "untrained",
        "trained": sorted(trained.values),
        "model_sha256": trained.hash,
        "same_trials": same,
        "accuracy": rows,
    }
    if choices:
        record["psychometric"] = curve_of(*choices)
    save(record, folder / "record.json")
    return record


def reached(point, trained, rows):
    """Whether training met its rule, and Brian2's accuracy lies in the range of the criterion."""
    how = trained.manifest["training"]
    low, high = point.criterion.accuracy
    margin = point.criterion.margin
    dt = float(read_quantity(point.criterion.dt)) * 1e3
    judged = [row for row in rows if row["where"] == "Brian2" and abs(row["dt_ms"] - dt) < 1e-9]
    inside = [low - margin <= row["accuracy"] <= high + margin for row in judged]
    return how["ended_by"] == how["stop"] and bool(inside) and all(inside)


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
