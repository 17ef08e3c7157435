"""BrainPy: its `LIF` with parameters for each cell (not trained), exponential synapses, compiled loop."""

import brainpy
import brainstate
import braintools
import brainunit as u
import jax
import jax.numpy as jnp
import workloads

from implementations.jax_training import exponential_filter


class _Network(brainstate.nn.Module):
    def __init__(self, net):
        super().__init__()
        state = brainpy.state
        per_tau_s = (net.dt / net.tau_s)[:, None]
        weights = jnp.asarray(jnp.concatenate([net.W, net.W_in * per_tau_s], 1).T)
        drive = jnp.asarray(net.drive * per_tau_s[:, 0])
        existing = jnp.concatenate([net.mask.T, jnp.ones((workloads.CHANNELS, net.n), bool)])
        spikes = braintools.surrogate.ReluGrad(
            alpha=net.height * workloads.SPAN**2 / workloads.WIDTH, width=workloads.WIDTH / workloads.SPAN
        )
        self.cells = state.LIF(
            net.n,
            R=jnp.asarray(net.R) * u.ohm,
            tau=jnp.asarray(net.tau_m) * u.ms,
            V_th=jnp.asarray(net.theta) * u.mV,
            V_reset=jnp.asarray(net.v_reset) * u.mV,
            V_rest=jnp.asarray(net.v_rest) * u.mV,
            V_initializer=braintools.init.Constant(workloads.V_REST * u.mV),
            spk_reset="hard",
            spk_fun=spikes,
        )
        self.synapses = state.AlignPostProj(
            comm=brainstate.nn.Linear(
                net.n + workloads.CHANNELS,
                net.n,
                w_init=lambda *_, **__: weights * u.mA,
                b_init=lambda *_, **__: drive * u.mA,
                w_mask=existing.astype(weights.dtype),
            ),
            syn=state.Expon(
                net.n,
                tau=jnp.asarray(net.tau_s) * u.ms,
                g_initializer=braintools.init.Constant(0.0 * u.mA),
            ),
            out=state.CUBA(scale=1.0),
            post=self.cells,
        )
        readout = jnp.asarray(net.W_out.T)
        self.readout = brainstate.nn.Linear(net.n, 1, w_init=lambda *_, **__: readout, b_init=None)

    def update(self, stimulus):
        """One step: spikes of the last one and the inputs reach the synapses, then the cells."""
        self.synapses(jnp.concatenate([self.cells.get_spike(), stimulus], 1))
        z = self.cells(0.0 * u.mA)
        return self.readout(z), z.mean()


class _Training:
    """One compiled update with BrainPy's own Adam."""

    def __init__(self, point, net):
        brainstate.environ.set(dt=net.dt * u.ms)
        self.point, self.spikes, self.norm = point, None, None
        network = _Network(net)
        stimulus, target = jnp.asarray(net.stimulus), jnp.asarray(net.target)
        weights = network.states(brainstate.ParamState)
        optimizer = braintools.optim.Adam(lr=workloads.LEARNING_RATE)
        optimizer.register_trainable_weights(weights)

        def loss():
            brainstate.nn.init_all_states(network, net.batch)
            output, z = brainstate.transform.for_loop(network.update, stimulus)
            output = exponential_filter(output, 1 - net.dt / workloads.TAU_OUT)
            return ((output - target) ** 2).mean(), z.mean()

        def step():
            with_loss = brainstate.transform.grad(loss, weights, has_aux=True, return_value=True)
            gradient, value, spikes = with_loss()
            optimizer.update(gradient)
            leaves = jax.tree.leaves(gradient, is_leaf=u.math.is_quantity)
            return value, spikes, jnp.sqrt(sum((u.get_mantissa(leaf) ** 2).sum() for leaf in leaves))

        self.weights = weights
        self.step, self.forward = brainstate.transform.jit(step), brainstate.transform.jit(loss)

    def update(self):
        """One update, or one pass forward; the loss."""
        if self.point.training:
            value, self.spikes, self.norm = self.step()
            jax.block_until_ready([weight.value for weight in self.weights.values()])
        else:
            value, self.spikes = self.forward()
        return float(value)

    def rate_hz(self):
        """Mean firing rate in the last update."""
        return float(self.spikes) * 1000 / self.point.dt

    def gradient_norm(self):
        """Norm of the last gradient; None where none is computed."""
        return None if self.norm is None else float(self.norm)


def build(point, net):
    """The training of a point."""
    return _Training(point, net)
