"""The scaling workload on logarithmic axes, with the dense roofline of the machine."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from machine import roofline_ms

COMMON = {"n": 400, "t": 1000, "batch": 10}
LABELS = {"n": "neurons", "t": "time steps", "batch": "trials in a batch"}


def draw(records, path):
    """One panel for each size that is changed alone; nothing is drawn without such records."""
    records = [r for r in records if r["workload"] == "scaling" and r["update_ms"] is not None]
    varied = {size: [r for r in records if _others_common(r, size)] for size in COMMON}
    if not any(varied.values()):
        return
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    for panel, (size, chosen) in zip(panels, varied.items(), strict=True):
        _panel(panel, size, chosen)
    panels[0].set_ylabel("ms per update")
    panels[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _others_common(record, size):
    return all(record[other] == value for other, value in COMMON.items() if other != size)


def _panel(panel, size, records):
    for name in sorted({r["implementation"] for r in records}):
        line = sorted((r[size], r["update_ms"]) for r in records if r["implementation"] == name)
        ours = name.startswith("brianbridge")
        panel.plot(*zip(*line, strict=True), marker="o", ms=3, lw=2 if ours else 1, label=name)
    if records:
        sizes = np.unique([r[size] for r in records])
        speed = np.median([r["gflops"] for r in records])
        bound = [roofline_ms(**(COMMON | {size: value}), gflops=speed) for value in sizes.astype(float)]
        panel.plot(sizes, bound, "k--", lw=1, label=f"dense products at {speed:.0f} GF/s")
    panel.set(xscale="log", yscale="log", xlabel=LABELS[size])
    panel.spines[["top", "right"]].set_visible(False)
