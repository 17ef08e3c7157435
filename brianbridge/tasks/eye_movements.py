"""A sequence of eye movements."""

import numpy as np

from brianbridge.tasks.choice_task import NoisyInputTask
from brianbridge.tasks.kinds import Duration, Lasting, Positive
from brianbridge.tasks.preset import SONG2016, published
from brianbridge.tasks.streams import one_hot

DOTS = np.array([(x, y) for y in (0.5, 0.0, -0.5) for x in (-0.5, 0.0, 0.5)])  # row 0 on top
CENTRE = 4
SEQUENCES = np.array([(5, 1, 0), (3, 1, 2), (3, 7, 8), (5, 7, 6), (5, 1, 2), (3, 1, 0), (3, 7, 6), (5, 7, 8)])
OPTIONS = {4: (3, 5), 3: (1, 7), 5: (1, 7), 1: (0, 2), 7: (6, 8)}
MOVEMENTS = ("movement 1", "movement 2", "movement 3")


class EyeMovementSequence(NoisyInputTask):
    """Look at dots of a 3 × 3 grid, in one of eight memorised sequences.

    Input 'stimulus' has nine channels for the dots, from the upper left to the lower right, and one for each
    sequence, 1 throughout the trial. Fixation shows the dot in the centre, each movement the present dot and
    two others, of which one is next in the sequence. The target is the position (x, y) of the next dot.

    Parameters
    ----------
    pause, fixation : Quantity or str
        Durations of the epochs; in the pause errors do not count.
    movement : Quantity or str
        Duration of each of the three movements.
    reach : float
        A dot is reached if the output is this close to it at the end of the movement.
    baseline, noise, noise_tau
        See `NoisyInputTask`.

    Notes
    -----
    Condition: 'sequence' (0 to 7). A trial is correct if all three dots are reached, incorrect if others
    are, and there is no answer if a movement ends at no dot or in the centre.

    Song, Yang & Wang 2016 (doi:10.1371/journal.pcbi.1004792), fig. 8. They stop training at an RMSE of 0.05;
    here a trial is judged by its endpoints. The network has a time constant of 50 ms, but in their code the
    noise is scaled with 100 ms nonetheless.
    """

    pause: Duration = "1000 ms"
    fixation: Duration = "1000 ms"
    movement: Lasting = "500 ms"
    reach: Positive = 0.15

    name = "eye_movement_sequence"
    channels = {
        "stimulus": (*(f"dot {dot}" for dot in range(9)), *(f"sequence {number}" for number in range(8))),
        "target": ("x", "y"),
    }
    presets = {"song2016": published(SONG2016, "eye-movement sequence", "10 ms")}
    answer = "dots at the ends of the movements"

    @property
    def conditions(self):
        """Table of the sequences."""
        return {"sequence": np.arange(len(SEQUENCES))}

    def durations(self, conditions):
        """Pause, fixation and three movements of equal length."""
        return {"pause": self.pause, "fixation": self.fixation} | dict.fromkeys(MOVEMENTS, self.movement)

    def lay(self, course):
        """Dots and sequence; the position of the next dot."""
        number = course.conditions["sequence"]
        path = np.column_stack([np.full(course.batch, CENTRE), SEQUENCES[number]])
        dots = course.held(one_hot(path[:, 0], 9), "fixation")
        targets = np.zeros((course.steps, course.batch, 2))
        for place, epoch in enumerate(MOVEMENTS):
            present = path[:, place]
            shown = np.column_stack([present, [OPTIONS[dot] for dot in present]])
            dots += course.held(np.eye(9)[shown].sum(axis=1), epoch)
            targets += course.held(DOTS[path[:, place + 1]], epoch)
        cue = course.held(one_hot(number, len(SEQUENCES)), *course.epochs)
        mask = course.during("fixation", *MOVEMENTS)[:, :, np.newaxis].astype(float)
        return self.noisy(course, np.concatenate([dots, cue], axis=2)), targets, np.repeat(mask, 2, axis=2)

    def judge(self, output, trials):
        """Find the dots that are reached."""
        reached = np.column_stack([self._dot_at_end_of(epoch, output, trials) for epoch in MOVEMENTS])
        right = (reached == SEQUENCES[trials.conditions["sequence"]]).all(axis=1)
        missed = np.isin(reached, [-1, CENTRE]).any(axis=1)
        return np.where(right, "correct", np.where(missed, "none", "incorrect"))

    def _dot_at_end_of(self, epoch, output, trials):
        last = trials.epochs[epoch][:, 1] - 1
        position = output[last, np.arange(len(trials))]
        distance = np.linalg.norm(position[:, np.newaxis] - DOTS, axis=2)
        return np.where(distance.min(axis=1) <= self.reach, distance.argmin(axis=1), -1)
