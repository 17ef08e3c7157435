"""Input signals and targets as arrays (time, batch, channels).

Where a signal is to be shown is a boolean array (time, batch), as `brianbridge.tasks.epochs.during` gives it;
outside it is zero.
"""

import numpy as np


def held(values, shown):
    """Hold one value a trial and channel for as long as it is shown.

    Parameters
    ----------
    values : array (batch, n)
    shown : bool array (time, batch)

    Returns
    -------
    float array (time, batch, n)
    """
    return np.where(shown[:, :, np.newaxis], np.asarray(values, dtype=float), 0.0)


def one_hot(index, channels):
    """Encode a number from 0 on as the one channel that is 1: (batch,) to (batch, channels)."""
    return np.eye(channels)[index]


def noise_per_step(sd, noise_step, dt):
    """Scale noise to another time step so that its power, and with it the evidence per time, stays.

    Independent samples held for one step have power ``sd**2 * dt``; their mean over a window of length T has
    the variance ``sd**2 * dt/T``. The standard deviation must therefore grow as ``sqrt(noise_step/dt)``.

    Parameters
    ----------
    sd : float
        Standard deviation of a sample at a time step of `noise_step`.
    noise_step, dt : Quantity

    Returns
    -------
    float
        Standard deviation of a sample at `dt`; exactly `sd` where both steps are equal.
    """
    return sd * float(np.sqrt(float(noise_step) / float(dt)))


def noisy_offsets(rng, offset, sd, shown):
    """Draw streams of independent Gaussian samples around a constant offset.

    Parameters
    ----------
    rng : numpy Generator
    offset : array (batch, n)
        Signed mean of each stream.
    sd : float
        Standard deviation of each sample: see `noise_per_step`.
    shown : bool array (time, batch)

    Returns
    -------
    float array (time, batch, n)
    """
    noise = sd * rng.standard_normal((*shown.shape, offset.shape[1]))
    return np.where(shown[:, :, np.newaxis], offset + noise, 0.0)


def white_noise_sd(sigma, tau, dt):
    """Return the standard deviation of each sample of the white noise ``sqrt(2*tau)*sigma*xi``.

    Filtered with the time constant `tau`, the noise has the standard deviation `sigma` at any `dt`.
    """
    return sigma * float(np.sqrt(2 * float(tau) / float(dt)))


def rectified(rng, signal, baseline, sd):
    """Add a baseline and independent Gaussian noise to a signal, and cut what is below zero."""
    return np.maximum(signal + baseline + sd * rng.standard_normal(signal.shape), 0.0)


def tuned(value, lowest, highest):
    """Encode a scalar from `lowest` to `highest` as 0.4 to 1.2 (positive tuning).

    Negative tuning is the same with the bounds exchanged.
    """
    return 0.4 + 0.8 * (np.asarray(value, dtype=float) - lowest) / (highest - lowest)


def sinusoid(frequency, time, shown):
    """Return sines of unit amplitude and phase 0 while shown.

    Parameters
    ----------
    frequency : array (batch,)
        In Hz.
    time : array (time, batch)
        In seconds.
    shown : bool array (time, batch)

    Returns
    -------
    float array (time, batch, 1)
    """
    return np.where(shown, np.sin(2 * np.pi * frequency * time), 0.0)[:, :, np.newaxis]


def bernoulli(rng, probability, steps):
    """Draw a spike, 1, or none, 0, in each step: (batch, channels) to (time, batch, channels)."""
    draws = rng.random((steps, *probability.shape), dtype=np.float32)
    return (draws < probability).astype(float)
