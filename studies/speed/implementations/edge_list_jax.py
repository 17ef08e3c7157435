"""JAX by hand with a state for every existing synapse: `lax.scan` over time, compiled."""

import functools

import jax
import jax.numpy as jnp
import workloads

from implementations.jax_training import Training, arrays


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(x, height):
    """Heaviside step with a triangle as its derivative."""
    return (x > 0).astype(x.dtype)


@spike.defjvp
def _spike_derivative(height, primals, tangents):
    (x,), (dx,) = primals, tangents
    return spike(x, height), jnp.maximum(0, height * (1 - jnp.abs(x) / workloads.WIDTH)) * dx


def build(point, net):
    """The training of a point."""
    p = arrays(net, "w", "tau", "W_in", "W_out", "tau_m", "tau_r", "v_rest", "ahp", "theta", "R")
    pre, post, stimulus, target = arrays(net, "pre", "post", "stimulus", "target").values()
    order = jnp.argsort(post)  # sums over sorted segments are faster
    pre, post = pre[order], post[order]
    p["w"], p["tau"] = p["w"][order], p["tau"][order]
    add_up = jax.vmap(lambda s: jax.ops.segment_sum(s, post, net.n, indices_are_sorted=True))

    def loss(p):
        keep, jump = 1 - net.dt / p["tau"], p["w"] / p["tau"]
        per_tau_m, v_reset = net.dt / p["tau_m"], p["v_rest"] + p["ahp"]

        def step(state, x):
            v, r, s, count = state
            v = v + per_tau_m * (p["v_rest"] - v + p["R"] * (add_up(s) + x))
            z = spike(v - p["theta"], net.height)
            v = v + jax.lax.stop_gradient(z) * (v_reset - v)
            s = keep * s + jump * z[:, pre]
            r = (1 - net.dt / p["tau_r"]) * r + z / p["tau_r"]
            return (v, r, s, count + jax.lax.stop_gradient(z).mean()), r @ p["W_out"].T

        cells = jnp.zeros((net.batch, net.n))
        start = cells + p["v_rest"], cells, jnp.zeros((net.batch, len(pre))), 0.0
        (*_, count), output = jax.lax.scan(step, start, stimulus @ p["W_in"].T + net.drive)
        return ((output - target) ** 2).mean(), count / net.t

    return Training(point, p, loss)
