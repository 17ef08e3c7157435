"""Classifying handwritten digits."""

from functools import cached_property, partial

import numpy as np
from brian2.units import hertz

from brianbridge.tasks.arguments import read_quantity, show
from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.decisions import at_end, largest, outcome
from brianbridge.tasks.idx_files import read_images
from brianbridge.tasks.kinds import Flag, Lasting, Text, one_of, word_or
from brianbridge.tasks.preset import LIN2024, published
from brianbridge.tasks.streams import bernoulli

Rate = word_or("1/dt", partial(read_quantity, unit=hertz))


class Digits(BuiltInTask):
    """Name the digit whose pixels are shown as random spikes (MNIST).

    Input 'stimulus' has a channel for each pixel, row by row: 1 for a spike, otherwise 0, drawn anew in each
    step. The target, one-hot, and the error count in the last step only. A network that is read out by the
    maximum over time holds the running maximum of its units, and its output is a sum of these.

    Parameters
    ----------
    folder : path-like
        Where the four IDX files of MNIST are.
    split : str
        'train' or 'test'.
    stimulus : Quantity or str
        For how long an image is shown.
    max_rate : Quantity or str
        Rate of a pixel of full intensity, such as ``'200 Hz'``; '1/dt' is one spike in each step.
    read : str
        'end': the largest output in the last step is the answer. 'maximum': the output that was largest at
        any time.
    checksums : bool
        Whether the files must be those of MNIST. Without, any set of images in this format is read.

    Notes
    -----
    Conditions: 'image' (its number in the file) and 'target' (its label). ``trials(rng, 100, dt,
    image=range(100))`` shows the first hundred images, once each.

    Lin & Huang 2024 (arXiv:2310.14621) do not give the highest rate; one spike in each step is what their
    code has. The time steps of paper and code differ by a factor of ten.
    """

    folder: Text = "package/data"
    split: one_of("train", "test") = "train"
    stimulus: Lasting = "20 ms"
    max_rate: Rate = "1/dt"
    read: one_of("end", "maximum") = "end"
    checksums: Flag = True

    name = "digits"
    order = ("stimulus",)
    presets = {
        "lin2024": published(LIN2024, "MNIST", "0.2 ms"),
        "lin2024_code": published(LIN2024, "MNIST, as in the code", "2 ms", stimulus="200 ms"),
    }
    answer = "largest output"

    @cached_property
    def images(self):
        """Intensities from 0 to 1, (images, pixels), and labels (images,); read when first asked for."""
        with self._named():
            images, labels = read_images(self.folder, self.split, self.checksums)
        return images.reshape(len(images), -1), labels.astype(int)

    @property
    def channels(self):
        """Channels of the output; those of the input are pixels."""
        return {"target": tuple(map(str, range(self.classes)))}

    @property
    def classes(self):
        """Number of outputs: ten, or as many as the labels need."""
        return max(10, int(self.images[1].max()) + 1)

    @property
    def conditions(self):
        """Table of the images."""
        return {"image": np.arange(len(self.images[0])), "target": self.images[1]}

    def lay(self, course):
        """Spikes of the pixels."""
        full = 1.0 if self.max_rate == "1/dt" else float(self.max_rate * course.dt)
        if full > 1:
            raise ValueError(
                f"max_rate={show(self.max_rate)} is more than one spike a step of dt={show(course.dt)}; "
                f"take at most {show(1 / course.dt)}"
            )
        pixels = self.images[0][course.conditions["image"]]
        targets = np.zeros((course.steps, course.batch, self.classes))
        targets[-1, np.arange(course.batch), course.conditions["target"]] = 1.0
        mask = np.zeros_like(targets)
        mask[-1] = 1.0
        return {"stimulus": bernoulli(course.rng, full * pixels / 255, course.steps)}, targets, mask

    def judge(self, output, trials):
        """Find the largest output."""
        values = at_end(output, trials) if self.read == "end" else output.max(axis=0)
        return outcome(largest(values), trials.conditions["target"], none=-1)
