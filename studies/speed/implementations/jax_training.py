"""What the implementations in JAX share: one compiled update with Adam, and what is asked of them."""

import jax
import jax.numpy as jnp
import optax
import workloads


class Training:
    """Updates of a network in JAX.

    Parameters
    ----------
    point : workloads.Point
    parameters : pytree of arrays
    loss : callable
        Takes the parameters; returns the loss and the mean number of spikes per step.
    masked : callable, optional
        Takes the gradient and leaves that of existing connections.
    """

    def __init__(self, point, parameters, loss, masked=lambda gradient: gradient):
        self.point, self.parameters = point, parameters
        optimizer = optax.adam(workloads.LEARNING_RATE)
        self.state = optimizer.init(parameters) if point.training else None
        self.spikes = self.norm = None

        @jax.jit
        def step(parameters, state):
            (value, spikes), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
            gradient = masked(gradient)
            changes, state = optimizer.update(gradient, state)
            norm = optax.global_norm(gradient)
            return optax.apply_updates(parameters, changes), state, value, spikes, norm

        self.step, self.forward = step, jax.jit(loss)

    def update(self):
        """One update, or one pass forward; the loss."""
        if self.point.training:
            done = self.step(self.parameters, self.state)
            self.parameters, self.state, value, self.spikes, self.norm = jax.block_until_ready(done)
        else:
            value, self.spikes = self.forward(self.parameters)
        return float(value)

    def rate_hz(self):
        """Mean firing rate in the last update."""
        return float(self.spikes) * 1000 / self.point.dt

    def gradient_norm(self):
        """Norm of the last gradient; None where none is computed."""
        return None if self.norm is None else float(self.norm)


def arrays(net, *names):
    """Arrays of a network by name."""
    return {name: jnp.asarray(getattr(net, name)) for name in names}


def exponential_filter(steps, keep):
    """Low-pass filter along time, shape (time, batch, 1)."""

    def step(y, x):
        y = keep * y + (1 - keep) * x
        return y, y

    return jax.lax.scan(step, jnp.zeros_like(steps[0]), steps)[1]
