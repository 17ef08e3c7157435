"""Perturbations of published figures."""

from brian2 import mV

from brianbridge import tasks
from brianbridge.perturb.actions import clamp, silence
from brianbridge.perturb.counting import named_networks, outcomes
from brianbridge.perturb.selection import above_quantile, below_quantile
from brianbridge.simulation.trials import asked_trials

__all__ = ["li2020_figure4"]


def li2020_figure4(
    networks,
    task=None,
    trials=100,
    *,
    epochs=None,
    split="median",
    cells="cells",
    synapses="rec",
    **settings,
):
    """Perturb neurons and synapses of short and long time constants, figure 4 of Li, Kim & Sejnowski (2020).

    Four perturbations, each during each epoch: neurons with short or long membrane time constants are held at
    -100 mV; synapses with decay constants below the 25 % or above the 75 % quantile are silenced.

    Parameters
    ----------
    networks : Trained, sequence of Trained, or dict of str to Trained
        From the equations li2020.
    task : Task or str, optional
        Default: that for which the first network was trained. In the paper it is a delayed match; its text,
        ``'delayed_match'``, is the preset of the paper.
    trials : int or Trials
        For each network and perturbation.
    epochs : sequence of str, optional
        Default: all of the task but its fixation. In the paper: sample, delay, test and response.
    split : {'median', 'quartile'}
        Of the membrane time constants: at their median, as in the Methods of the paper, or the lower and
        upper quarter, as in its Results.
    cells, synapses : str
        Names of the groups.
    **settings
        For `outcomes` and `simulate`, such as ``device='cpp_standalone'``.

    Returns
    -------
    Outcomes
        Its `figure` is that of the paper.
    """
    if split not in ("median", "quartile"):
        raise ValueError(f"split={split!r}: choose 'median' or 'quartile'.")
    if task == "delayed_match":
        task = tasks.make("delayed_match", "li2020")
    networks = named_networks(networks)
    if epochs is None:
        epochs = _epochs_of(next(iter(networks.values())), task)
    low, high = (0.5, 0.5) if split == "median" else (0.25, 0.75)
    perturbations = {
        "short membrane time constants clamped": clamp(
            cells, v=-100 * mV, where=below_quantile("tau_m", low)
        ),
        "long membrane time constants clamped": clamp(
            cells, v=-100 * mV, where=above_quantile("tau_m", high)
        ),
        "short synapses silenced": silence(synapses, below_quantile("tau", 0.25)),
        "long synapses silenced": silence(synapses, above_quantile("tau", 0.75)),
    }
    return outcomes(networks, task, perturbations, trials, epochs=epochs, **settings)


def _epochs_of(trained, task):
    """Epochs of the trials in which something happens."""
    _, trials = asked_trials(trained, task, 1, 0)
    lasting = {name: bool((epoch[:, 1] > epoch[:, 0]).any()) for name, epoch in trials.epochs.items()}
    return [name for name, lasts in lasting.items() if lasts and name != "fixation"]
