"""What becomes of the decisions: correct, incorrect and missing responses, for each network and pooled."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, mannwhitneyu, wilcoxon

from brianbridge.analysis import holm, wilson_interval
from brianbridge.perturb.figure import outcome_figure
from brianbridge.simulation.divergence import decisions_of, diverged
from brianbridge.simulation.result import OUTCOMES
from brianbridge.simulation.standalone import keep_builds
from brianbridge.simulation.trials import asked_trials, simulate

__all__ = ["Outcomes", "named_networks", "outcomes"]

NONE = "none"  # what the unperturbed network is called in the table
OLD = ", by the old context"  # the same decisions as in the row before, judged as if nothing had changed


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Decisions of networks without and with perturbations.

    Attributes
    ----------
    counts : dict of (str, str) to int array (networks, 3)
        Perturbation and epoch to how often each network was correct, incorrect, and did not respond; the
        first entry, ``('none', '')``, is the unperturbed network.
    p_trials : dict of (str, str) to array (networks,)
        McNemar's exact test of each network: the same trials, correct without and with the perturbation.
    networks : tuple of str
    diverged : dict of (str, str) to int array (networks,)
        Trials in which the output was not finite any more; they are incorrect.
    """

    counts: dict
    p_trials: dict
    networks: tuple
    diverged: dict

    @property
    def trials(self):
        """Trials of each network."""
        return int(next(iter(self.counts.values()))[0].sum())

    def share(self, outcome="correct"):
        """Share of an outcome: ``(perturbation, epoch)`` to array (networks,)."""
        column = OUTCOMES.index(outcome)
        return {key: counts[:, column] / counts.sum(axis=1) for key, counts in self.counts.items()}

    @property
    def rows(self):
        """One row for each perturbation, epoch and network: a list of dicts.

        'p_trials_holm' is 'p_trials', corrected for the number of all these rows (NaN without a perturbation,
        and where the same decisions are judged by the old context).
        """
        tests = [(key, k) for key in self._own for k in range(len(self.networks))]
        corrected = dict(zip(tests, holm([self.p_trials[key][k] for key, k in tests])))
        return [
            {"perturbation": name, "epoch": epoch, "network": network}
            | _shares(counts[k])
            | {"diverged": int(self.diverged[name, epoch][k])}
            | {"p_trials": float(self.p_trials[name, epoch][k])}
            | {"p_trials_holm": float(corrected.get(((name, epoch), k), np.nan))}
            for (name, epoch), counts in self.counts.items()
            for k, network in enumerate(self.networks)
        ]

    @property
    def pooled(self):
        """One row for each perturbation and epoch, all networks together: a list of dicts.

        'interval' is Wilson's for all trials together, as if they were independent. Tests have the network
        as their unit: 'p_rank_sum' is that of the paper, for which perturbed and unperturbed networks are
        two independent groups; 'p_signed_rank' knows that they are the same networks; 'p_holm' is the latter,
        corrected for the number of perturbations and epochs (NaN where the same decisions are judged by the
        old context). They are NaN for fewer than two networks.
        """
        unperturbed = self.share()[NONE, ""]
        tests = {key: _tests(unperturbed, share) for key, share in self.share().items() if key != (NONE, "")}
        corrected = dict(zip(self._own, holm([tests[key][1] for key in self._own])))
        return [
            {"perturbation": name, "epoch": epoch}
            | _shares(counts.sum(axis=0))
            | {"diverged": int(self.diverged[name, epoch].sum())}
            | {"difference": float((self.share()[name, epoch] - unperturbed).mean())}
            | dict(zip(("p_rank_sum", "p_signed_rank"), tests.get((name, epoch), (np.nan, np.nan))))
            | {"p_holm": float(corrected.get((name, epoch), np.nan))}
            for (name, epoch), counts in self.counts.items()
        ]

    @property
    def _own(self):
        """Perturbations and epochs that are tests of their own: what is judged twice is one."""
        return [key for key in self.counts if key != (NONE, "") and not key[0].endswith(OLD)]

    def figure(self):
        """Stacked shares of the three outcomes, epoch by epoch, with one dot a network.

        Returns
        -------
        `matplotlib.figure.Figure`
        """
        return outcome_figure(self)

    def __repr__(self):
        perturbed = len(self.counts) - 1
        return f"<Outcomes: {len(self.networks)} networks, {self.trials} trials, {perturbed} perturbations>"


def outcomes(networks, task=None, perturbations=(), trials=100, *, epochs=None, seed=0, **settings):
    """Simulate networks without and with perturbations, the same trials with the same seeds, and count.

    Parameters
    ----------
    networks : Trained, sequence of Trained, or dict of str to Trained
    task : Task, str or Trials, optional
        As in `simulate`: default is the task for which each network was trained.
    perturbations : Perturbation, sequence of Perturbation, or dict of str to Perturbation
        A list as the value of a dict is done together.
    trials : int or Trials
        For each network; 100 or more, or chance hides effects of less than 10 points.
    epochs : str or sequence of str, optional
        Each perturbation is done during each of these epochs, one at a time; default is as the perturbations
        say.
    seed : int
        Of trials and noise.
    **settings
        For `simulate`: ``device``, ``dt``, ``together``, ``progress`` and so on.

    Returns
    -------
    Outcomes

    Examples
    --------
    ::

        lesion = bb.perturb.lesion("cells", bb.perturb.inhibitory())
        found = bb.perturb.outcomes(networks, "delayed_match", lesion, epochs=["sample", "delay"])
        found.figure().savefig("lesion.pdf")
    """
    networks = named_networks(networks)
    planned = _planned(perturbations, epochs)
    decisions, lost = {}, {}

    def judge(key, simulated, judging=None):
        decisions.setdefault(key, []).append(decisions_of(simulated, judging))
        lost.setdefault(key, []).append(int(diverged(simulated.outputs).sum()))

    for number, trained in enumerate(networks.values()):
        own_seed = seed + number * 10**6
        own_task, shown = asked_trials(trained, task, trials, own_seed)
        with keep_builds() if settings.get("device", "").endswith("standalone") else nullcontext():
            plain = simulate(trained, own_task, shown, seed=own_seed, **settings)
            judge((NONE, ""), plain)
            for (label, epoch), together in planned.items():
                together = [one.resolved(trained.model, plain) for one in together]
                perturbed = simulate(
                    trained, own_task, shown, perturbation=together, seed=own_seed, **settings
                )
                judge((label, epoch), perturbed)
                if any(one.judges_anew(own_task) for one in together):
                    judge((f"{label}{OLD}", epoch), perturbed, shown)
    return Outcomes(
        counts={key: np.array([_count(one) for one in found]) for key, found in decisions.items()},
        p_trials={
            key: np.array([_mcnemar(*pair) for pair in zip(decisions[NONE, ""], found)])
            for key, found in decisions.items()
        },
        networks=tuple(networks),
        diverged={key: np.array(found) for key, found in lost.items()},
    )


def named_networks(networks):
    """Name to network, whether one, several or named ones were given."""
    if isinstance(networks, dict):
        return networks
    networks = list(networks) if isinstance(networks, list | tuple) else [networks]
    return {f"network {k + 1}": trained for k, trained in enumerate(networks)}


def _planned(perturbations, epochs):
    """Label and epoch to the perturbations that are done together."""
    if not isinstance(perturbations, dict):
        several = list(perturbations) if isinstance(perturbations, list | tuple) else [perturbations]
        perturbations = {one.again(None).label: one for one in several}
    if isinstance(epochs, str):
        epochs = [epochs]
    planned = {}
    for label, one in perturbations.items():
        together = list(one) if isinstance(one, list | tuple) else [one]
        if epochs is None:
            planned[label, _epoch_text(together)] = together
        for epoch in epochs or ():
            planned[label, epoch] = [each.again(epoch) for each in together]
    return planned


def _epoch_text(together):
    found = []
    for one in together:
        found += [one.during or "whole trial"] if isinstance(one.during, str | None) else one.during
    return ", ".join(dict.fromkeys(found))


def _count(decisions):
    return [int(np.sum(decisions == outcome)) for outcome in OUTCOMES]


def _shares(counts):
    """Counts of the three outcomes, the share of each, and the interval of the correct ones."""
    total = int(counts.sum())
    low, high = wilson_interval(counts[0], total)
    return (
        {"trials": total}
        | {outcome: float(count / total) for outcome, count in zip(OUTCOMES, counts)}
        | {"interval": [float(low), float(high)]}
    )


def _mcnemar(plain, perturbed):
    """Exact test of paired trials: are as many lost as are won?"""
    before, after = plain == "correct", perturbed == "correct"
    lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def _tests(unperturbed, perturbed):
    """P of the rank-sum and of the signed-rank test over networks."""
    if len(unperturbed) < 2:
        return np.nan, np.nan
    if np.all(unperturbed == perturbed):
        return 1.0, 1.0
    return (
        float(mannwhitneyu(unperturbed, perturbed).pvalue),
        float(wilcoxon(unperturbed, perturbed).pvalue),
    )
