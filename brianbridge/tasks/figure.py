"""A picture of trials."""

import itertools

import numpy as np

EPOCH_COLOURS = ("#f2f2f2", "#d9e8f5", "#fff3d6", "#e2f0d9", "#f6dde6", "#e6e0f2")
MOST_TRIALS = 4
MOST_TRACES = 24  # more channels are drawn as an image


def plot_trials(trials):
    """Draw inputs, targets and mask, with the epochs shaded: one column a trial, the first four trials.

    Parameters
    ----------
    trials : Trials
        Select others by index: ``plot_trials(trials[[5, 9]])``; one of each condition by
        ``plot_trials(trials[one_of_each(trials)])``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if len(trials) == 0:
        raise ValueError("trials is empty, there is nothing to plot; draw at least one, batch=1")
    import matplotlib.pyplot as plt

    shown = trials[:MOST_TRIALS]
    rows = [*shown.inputs.items(), ("target", shown.targets), ("mask", shown.mask)]
    heights = [min(0.6 + 0.5 * values.shape[2], 6) for _, values in rows]
    figure, axes = plt.subplots(
        len(rows),
        len(shown),
        figsize=(1 + 3 * len(shown), 1 + sum(heights)),
        squeeze=False,
        sharex=True,
        sharey="row",
        height_ratios=heights,
        layout="constrained",
    )
    for trial, column in enumerate(axes.T):
        for axis, (name, values) in zip(column, rows, strict=True):
            _shade_epochs(axis, shown, trial)
            labels = shown.channels.get("target" if name == "mask" else name)
            if values.shape[2] > MOST_TRACES:
                _image(axis, values[:, trial], shown.dt)
            else:
                _stack_channels(axis, name, values, trial, shown.dt, labels)
            axis.margins(x=0)
        _name_epochs(column[0], shown, trial)
        column[0].set_title(
            "\n".join(f"{name} = {value[trial]}" for name, value in shown.conditions.items()),
            fontsize=8,
            loc="left",
            pad=36,
        )
        column[-1].set_xlabel("time (ms)")
    for axis, (name, _) in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(name)
    return figure


def one_of_each(trials):
    """Choose the first trial of each condition, in the order of the trials: int array."""
    columns = [np.asarray(values).astype(str) for values in trials.conditions.values()]
    if not columns:
        return np.arange(1)
    return np.sort(np.unique(np.stack(columns), axis=1, return_index=True)[1])


def _image(axis, values, dt):
    """Draw many channels as an image, channel 0 on top."""
    steps, channels = values.shape
    axis.imshow(
        values.T, aspect="auto", cmap="Greys", extent=(0, steps * dt * 1e3, channels - 0.5, -0.5), zorder=1
    )


def _stack_channels(axis, name, values, trial, dt, labels):
    """Draw channels above each other, channel 0 on top, all on the same scale within a row."""
    spacing = 1.1 * (np.ptp(values, axis=(0, 1)).max() or 1.0)
    time = np.arange(len(values) + 1) * dt * 1e3
    heights = -spacing * np.arange(values.shape[2])
    for channel, height in enumerate(heights):
        held = values[:, trial, channel] + height
        axis.plot(time, np.append(held, held[-1]), drawstyle="steps-post", color="black", linewidth=0.8)
        axis.axhline(height, color="0.6", linewidth=0.4, zorder=0.5)
    if name in ("target", "mask") and len(heights) == 1:
        return  # one trace: the axis itself shows its scale
    labels = labels or range(len(heights))
    axis.set_yticks(heights, [str(label) for label in labels], fontsize=7)


def _epochs_in_ms(trials, trial):
    for name, epoch in trials.epochs.items():
        start, stop = epoch[trial] * trials.dt * 1e3
        if stop > start:
            yield name, start, stop


def _shade_epochs(axis, trials, trial):
    colours = dict(zip(trials.epochs, itertools.cycle(EPOCH_COLOURS), strict=False))
    for name, start, stop in _epochs_in_ms(trials, trial):
        axis.axvspan(start, stop, color=colours[name], linewidth=0, zorder=0)


def _name_epochs(axis, trials, trial):
    for name, start, stop in _epochs_in_ms(trials, trial):
        axis.annotate(
            name,
            ((start + stop) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 2),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=7,
            rotation=35,
            rotation_mode="anchor",
        )
