"""Tasks that want a waveform of the output."""

import numpy as np
from brian2.units import ms, second

from brianbridge.tasks.arguments import show
from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.conditions import crossed
from brianbridge.tasks.decisions import normalised_error, outcome, read_output
from brianbridge.tasks.emg_files import read_emg, stand_in
from brianbridge.tasks.epochs import count_steps
from brianbridge.tasks.kinds import Duration, Fraction, Lasting, Numbers, Positive, RandomDuration, Text
from brianbridge.tasks.preset import DEPASQUALE2016, published

EMG_STEP = 10 * ms


def by_error(error, tolerance, output, window):
    """Name outcomes by an error: 'none' where the output (time, batch, outputs) is constant in the window."""
    shown = np.broadcast_to(window[:, :, np.newaxis], output.shape)
    silent = (output.var(axis=0, where=shown) == 0).all(axis=1)
    return np.where(silent, "none", np.where(error <= tolerance, "correct", "incorrect"))


class Oscillation(BuiltInTask):
    """Produce a periodic waveform, a sum of sines, without any input.

    The target is the sum of sines of equal amplitude and phase 0, scaled to a given peak.

    Parameters
    ----------
    period : Quantity or str
    oscillation : Quantity or str
        Duration of a trial, a whole number of periods.
    harmonics : list of float
        Whole multiples of the frequency of the period.
    peak : float
        Largest value of the target.
    tolerance : float
        A trial is correct if its error is at most this: see `errors`.

    Notes
    -----
    There are no conditions. Trials have no inputs, so a network is wired with ``inputs={}``.

    DePasquale, Churchland & Abbott 2016 (arXiv:1601.07620), fig. 2: 1, 2, 3 and 5 Hz. They do not give
    amplitudes and phases; these are our choice, the peak is about that of their figure.
    """

    period: Lasting = "1000 ms"
    oscillation: Lasting = "1000 ms"
    harmonics: Numbers = (1.0, 2.0, 3.0, 5.0)
    peak: Positive = 1.5
    tolerance: Positive = 0.05

    name = "oscillation"
    order = ("oscillation",)
    channels = {"target": ("waveform",)}
    presets = {"depasquale2016": published(DEPASQUALE2016, "autonomous oscillation", "1 ms")}
    answer = "normalised error after alignment of the phase"

    def check(self):
        """Refuse what is not periodic."""
        whole = max(self.periods, 1) * self.period
        if abs(float(self.oscillation / whole) - 1) > 1e-9:
            raise ValueError(
                f"oscillation={show(self.oscillation)} must be a whole number of periods of "
                f"{show(self.period)}, such as oscillation={show(whole)}"
            )
        if any(harmonic % 1 or harmonic == 0 for harmonic in self.harmonics):
            raise ValueError(f"harmonics={list(self.harmonics)} must be whole numbers of at least 1")

    @property
    def periods(self):
        """Number of periods in a trial."""
        return round(float(self.oscillation / self.period))

    def waveform(self, phase):
        """Return the waveform at phases from 0 to 1."""

        def total(at):
            return sum(np.sin(2 * np.pi * harmonic * at) for harmonic in self.harmonics)

        return self.peak * total(phase) / total(np.arange(10000) / 10000).max()

    def lay(self, course):
        """The same waveform in all trials."""
        count_steps("period", self.period, course.dt)
        wave = self.waveform(course.time_in("oscillation") / float(self.period))[:, :, np.newaxis]
        return {}, wave, np.ones_like(wave)

    def errors(self, output, trials):
        """Return the error of each period: variance of the error over that of the target.

        The target is first shifted, in whole steps, to where it fits best: without an input, the phase of an
        oscillation drifts.

        Parameters
        ----------
        output : array (time, batch, 1)
        trials : Trials

        Returns
        -------
        float array (periods, batch)
        """
        output = read_output(output, trials)[:, :, 0]
        periods = output.reshape(self.periods, -1, len(trials))
        target = trials.targets[: periods.shape[1], :1, 0]
        deviation, wave = periods - periods.mean(axis=1, keepdims=True), target - target.mean()
        spectrum = np.fft.rfft(deviation, axis=1) * np.conj(np.fft.rfft(wave, axis=0))
        covariance = np.fft.irfft(spectrum, n=periods.shape[1], axis=1) / periods.shape[1]
        return (deviation.var(axis=1) + wave.var() - 2 * covariance.max(axis=1)) / wave.var()

    def judge(self, output, trials):
        """Compare the mean error over the periods with the tolerance."""
        return by_error(
            self.errors(output, trials).mean(axis=0), self.tolerance, output, trials.during("oscillation")
        )


class TemporalXOR(BuiltInTask):
    """Tell whether two pulses have different lengths, by a positive or negative half cycle of a sine.

    Input 'stimulus' is `height` during both pulses, each `short` or `long`.

    Parameters
    ----------
    pause : Quantity, str, or distribution
        Before the first pulse.
    short, long : Quantity or str
    gap, delay, response : Quantity or str
        Between the pulses; after them; of the half cycle.
    height : float
    amplitude : float
        Of the half cycle.
    correlation : float
        An answer is an output whose correlation with the half cycle, of either sign, is above this and whose
        mean has the same sign.

    Notes
    -----
    Conditions: 'long_1' and 'long_2' (truth values), 'target' (+1 different, -1 same).

    DePasquale, Churchland & Abbott 2016 (arXiv:1601.07620), fig. 3. Distribution of the pauses, amplitude and
    rule are our choice.
    """

    pause: RandomDuration = "uniform(300 ms, 1500 ms)"
    short: Lasting = "100 ms"
    long: Lasting = "300 ms"
    gap: Duration = "300 ms"
    delay: Duration = "300 ms"
    response: Lasting = "500 ms"
    height: Positive = 0.3
    amplitude: Positive = 1.0
    correlation: Fraction = 0.5

    name = "temporal_xor"
    channels = {"stimulus": ("pulses",), "target": ("half sine",)}
    presets = {"depasquale2016": published(DEPASQUALE2016, "temporal XOR", "1 ms")}
    answer = "sign of the mean and correlation in the response"

    def check(self):
        """Refuse pulses of equal length."""
        if not self.short < self.long:
            raise ValueError(f"short={show(self.short)} must be shorter than long={show(self.long)}")

    @property
    def conditions(self):
        """Table of the lengths of both pulses."""
        table = crossed(long_1=[False, True], long_2=[False, True])
        return table | {"target": np.where(table["long_1"] ^ table["long_2"], 1, -1)}

    def durations(self, conditions):
        """Pause, two pulses, and the response."""
        short, long = float(self.short), float(self.long)
        return {
            "pause": self.pause,
            "pulse 1": np.where(conditions["long_1"], long, short) * second,
            "gap": self.gap,
            "pulse 2": np.where(conditions["long_2"], long, short) * second,
            "delay": self.delay,
            "response": self.response,
        }

    def lay(self, course):
        """Pulses, and half a cycle."""
        pulses = course.held(np.full((course.batch, 1), self.height), "pulse 1", "pulse 2")
        half = np.sin(np.pi * course.time_in("response") / float(self.response))
        signed = self.amplitude * course.conditions["target"] * half
        targets = np.where(course.during("response"), signed, 0.0)[:, :, np.newaxis]
        return {"stimulus": pulses}, targets, course.within()[:, :, np.newaxis].astype(float)

    def judge(self, output, trials):
        """Correlate the output with the half cycle."""
        window, output, target = trials.during("response"), output[:, :, 0], trials.targets[:, :, 0]

        def centred(values):
            return np.where(window, values - values.mean(axis=0, where=window), 0.0)

        out, half = centred(output), centred(target)
        size = np.linalg.norm(out, axis=0) * np.linalg.norm(half, axis=0)
        likeness = np.divide((out * half).sum(axis=0), size, out=np.zeros(len(trials)), where=size > 0)
        wanted = np.sign(target.sum(axis=0))
        towards = np.sign(output.mean(axis=0, where=window)) * wanted
        answered = (np.abs(likeness) > self.correlation) & (np.sign(likeness) == towards)
        return outcome(np.where(answered, towards * wanted, 0), wanted)


class EMGReaching(BuiltInTask):
    """Produce the activity of two arm muscles during reaches in eight directions.

    Input 'stimulus' is ``2*cos(angle)`` and ``2*sin(angle)`` of the direction during 'cue'; its end is the
    signal to move. The targets are the activities of the muscles during 'movement'.

    Parameters
    ----------
    pause : Quantity, str, or distribution
        Before the cue.
    cue : Quantity or str
    amplitude : float
        Of the inputs.
    file : path-like
        A MATLAB file with an array 'emg', directions × samples × muscles, sampled every 10 ms. Without, a
        synthetic stand-in is used.
    tolerance : float
        A trial is correct if the variance of its error during the movement is at most this fraction of that
        of the targets.

    Notes
    -----
    Condition: 'direction' (0 to 7, in steps of 45 degrees from the right, counterclockwise).

    DePasquale, Churchland & Abbott 2016 (arXiv:1601.07620), fig. 4. Their recordings are not public; later
    ones of two muscles and eight directions are: reaching/reaching_data.mat (Apache-2.0) in the repository
    briandepasquale/factor-based-spiking-nets on GitHub, a file that `file` takes. Between samples the
    activity is interpolated. Distribution of the pauses and stand-in are our choice.
    """

    pause: RandomDuration = "uniform(300 ms, 1500 ms)"
    cue: Lasting = "500 ms"
    amplitude: Positive = 2.0
    file: Text = ""
    tolerance: Positive = 0.07

    name = "emg_reaching"
    presets = {"depasquale2016": published(DEPASQUALE2016, "EMG during reaching", "1 ms")}
    answer = "normalised error during the movement"

    def check(self):
        """Read the waveforms."""
        object.__setattr__(self, "waveforms", read_emg(self.file) if self.file else stand_in())

    @property
    def channels(self):
        """Both inputs, and the muscles."""
        muscles = range(self.waveforms.shape[2])
        return {"stimulus": ("cosine", "sine"), "target": tuple(f"muscle {muscle}" for muscle in muscles)}

    @property
    def conditions(self):
        """Table of the directions."""
        return {"direction": np.arange(len(self.waveforms))}

    def durations(self, conditions):
        """Pause, cue and movement."""
        return {"pause": self.pause, "cue": self.cue, "movement": self.waveforms.shape[1] * EMG_STEP}

    def lay(self, course):
        """Direction, and muscle activity."""
        direction = course.conditions["direction"]
        angle = 2 * np.pi * direction / len(self.waveforms)
        cue = self.amplitude * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        place = course.time_in("movement") / float(EMG_STEP)
        last = self.waveforms.shape[1] - 1
        before = np.clip(np.floor(place + 1e-9).astype(int), 0, last)
        share = np.clip(place - before, 0, 1)[:, :, np.newaxis]
        first, second_ = (
            self.waveforms[direction, before],
            self.waveforms[direction, np.minimum(before + 1, last)],
        )
        moving = course.during("movement")[:, :, np.newaxis]
        targets = np.where(moving, (1 - share) * first + share * second_, 0.0)
        mask = np.where(course.within()[:, :, np.newaxis], np.ones_like(targets), 0.0)
        return {"stimulus": course.held(cue, "cue")}, targets, mask

    def judge(self, output, trials):
        """Compare the normalised error with the tolerance."""
        moving = trials.during("movement")
        error = normalised_error(output, trials.targets, moving)
        return by_error(error, self.tolerance, output, moving)
