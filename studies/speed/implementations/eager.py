"""The loop over time that one writes by hand in PyTorch, with dense matrices."""

import math

import torch
import workloads

from implementations.torch_training import Training, exponential_filter, tensors


class Spike(torch.autograd.Function):
    """Heaviside step with a triangle as its derivative."""

    @staticmethod
    def forward(ctx, x, height):
        ctx.save_for_backward(x)
        ctx.height = height
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * (ctx.height * (1 - x.abs() / workloads.WIDTH)).clamp(min=0), None


spike = Spike.apply


def build(point, net):
    """The training of a point."""
    parameters, simulate = NETWORKS[point.workload](net)
    return Training(point, net, list(parameters.values()), simulate)


def reset(v, z, to):
    """Where there was a spike, the reset potential; no gradient flows through the decision."""
    return v + z.detach() * (to - v)


def readout(z, W_out, dt):
    return exponential_filter(z @ W_out.t(), 1 - dt / workloads.TAU_OUT)


def lif(net):
    """Each cell has a current that decays, into which everything flows."""
    p = tensors(net, "W", "W_in", "W_out", "tau_m", "tau_s", "v_rest", "v_reset", "theta", "R", "drive")
    mask, stimulus = torch.as_tensor(net.mask), torch.as_tensor(net.stimulus)

    def simulate():
        W = (p["W"] * mask).t()
        per_tau_m, per_tau_s = net.dt / p["tau_m"], net.dt / p["tau_s"]
        v = p["v_rest"].expand(net.batch, net.n)
        I, spikes = torch.zeros_like(v), []
        for x in ((stimulus @ p["W_in"].t() + p["drive"]) * per_tau_s).unbind(0):
            v = v + per_tau_m * (p["v_rest"] - v + p["R"] * I)
            z = spike(v - p["theta"], net.height)
            v = reset(v, z, p["v_reset"])
            I = (1 - per_tau_s) * I + x + z @ W
            spikes.append(z)
        z = torch.stack(spikes)
        return readout(z, p["W_out"], net.dt), z

    return p, simulate


def synaptic(net):
    """A state for every pair of cells, shape (batch, post, pre)."""
    p, fixed = li2020_parameters(net)
    pre, post = fixed["pre"], fixed["post"]

    def simulate():
        per_tau = net.dt / p["tau"]
        keep = torch.ones(net.n, net.n).index_put((post, pre), 1 - per_tau)
        jump = torch.zeros(net.n, net.n).index_put((post, pre), p["w"] / p["tau"])
        start = torch.zeros(net.batch, net.n, net.n)
        return li2020_simulation(
            net, p, fixed, start, lambda s, z: keep * s + jump * z[:, None], lambda s: s.sum(2)
        )

    return p, simulate


def li2020_parameters(net):
    """All that Li, Kim & Sejnowski (2020) train, and what is given."""
    trained = "w", "tau", "W_in", "W_out", "tau_m", "tau_r", "v_rest", "ahp", "theta", "R"
    return tensors(net, *trained), tensors(net, "pre", "post", "stimulus", "drive", trained=False)


def li2020_simulation(net, p, fixed, state, step, current):
    """Their network, given how synapses take a step and what current they give."""
    per_tau_m = net.dt / p["tau_m"]
    keep_r, jump_r = 1 - net.dt / p["tau_r"], 1 / p["tau_r"]
    v_reset = p["v_rest"] + p["ahp"]
    v = p["v_rest"].expand(net.batch, net.n)
    r, spikes, outputs = torch.zeros_like(v), [], []
    for x in (fixed["stimulus"] @ p["W_in"].t() + fixed["drive"]).unbind(0):
        v = v + per_tau_m * (p["v_rest"] - v + p["R"] * (current(state) + x))
        z = spike(v - p["theta"], net.height)
        v = reset(v, z, v_reset)
        state = step(state, z)
        r = keep_r * r + jump_r * z
        spikes.append(z)
        outputs.append(r @ p["W_out"].t())
    return torch.stack(outputs), torch.stack(spikes)


def adex(net):
    """Exponential integrate-and-fire with an adaptation current."""
    p = tensors(net, "W", "W_in", "W_out", "tau_m", "tau_s", "v_rest", "v_reset", "v_T", "drive")
    mask, stimulus, v_cut = (torch.as_tensor(a) for a in (net.mask, net.stimulus, net.v_cut))

    def simulate():
        W = (p["W"] * mask).t()
        per_tau_m, per_tau_s, per_tau_w = net.dt / p["tau_m"], net.dt / p["tau_s"], net.dt / net.tau_w
        v = p["v_rest"].expand(net.batch, net.n)
        I, w, spikes = torch.zeros_like(v), torch.zeros_like(v), []
        for x in ((stimulus @ p["W_in"].t() + p["drive"]) * per_tau_s).unbind(0):
            upstroke = net.delta_T * torch.exp((v - p["v_T"]) / net.delta_T)
            v, w = (
                v + per_tau_m * (p["v_rest"] - v + upstroke + I - w),
                w + per_tau_w * (net.a * (v - p["v_rest"]) - w),
            )
            z = spike(v - v_cut, net.height)
            v, w = reset(v, z, p["v_reset"]), w + net.b * z
            I = (1 - per_tau_s) * I + x + z @ W
            spikes.append(z)
        z = torch.stack(spikes)
        return readout(z, p["W_out"], net.dt), z

    return p, simulate


def conductance(net):
    """Excitatory and inhibitory conductances, exponential Euler."""
    p = tensors(net, "W", "W_in", "W_out", "tau_m", "tau_e", "tau_i", "v_rest", "v_reset", "theta", "drive")
    mask, stimulus, inhibitory = (torch.as_tensor(a) for a in (net.mask, net.stimulus, net.inhibitory))

    def simulate():
        W = p["W"] * mask
        W_e, W_i = (W * ~inhibitory).t(), (W * inhibitory).t()
        per_tau_m = net.dt / p["tau_m"]
        keep_e, keep_i = torch.exp(-net.dt / p["tau_e"]), torch.exp(-net.dt / p["tau_i"])
        v = p["v_rest"].expand(net.batch, net.n)
        g_e, g_i, spikes = torch.zeros_like(v), torch.zeros_like(v), []
        for x in (stimulus @ p["W_in"].t() + p["drive"]).unbind(0):
            total = 1 + g_e + g_i
            end = (p["v_rest"] + x + g_e * net.E_e + g_i * net.E_i) / total
            v = end + (v - end) * torch.exp(-per_tau_m * total)
            z = spike(v - p["theta"], net.height)
            v = reset(v, z, p["v_reset"])
            g_e, g_i = keep_e * g_e + z @ W_e, keep_i * g_i + z @ W_i
            spikes.append(z)
        z = torch.stack(spikes)
        return readout(z, p["W_out"], net.dt), z

    return p, simulate


def by_delay(W, delay):
    """Weights of every delay in steps 1, 2, ..., side by side: shape (pre, delays*post)."""
    longest = int(delay.max())
    each = [W * (delay == steps) for steps in range(1, longest + 1)]
    return torch.stack(each, 1).permute(2, 1, 0).reshape(W.shape[1], -1)


def send(under_way, sent):
    """Drop what has arrived and add what is sent now, shape (batch, delays, post)."""
    nothing = torch.zeros_like(under_way[:, :1])
    return torch.cat([under_way[:, 1:], nothing], 1) + sent.view_as(under_way)


def delays(net):
    """As `lif`, every synapse with a delay of its own."""
    p = tensors(net, "W", "W_in", "W_out", "tau_m", "tau_s", "v_rest", "v_reset", "theta", "R", "drive")
    mask, stimulus, delay = (torch.as_tensor(a) for a in (net.mask, net.stimulus, net.delay))

    def simulate():
        W = by_delay(p["W"] * mask, delay)
        per_tau_m, per_tau_s = net.dt / p["tau_m"], net.dt / p["tau_s"]
        v = p["v_rest"].expand(net.batch, net.n)
        I, spikes = torch.zeros_like(v), []
        under_way = torch.zeros(net.batch, int(delay.max()), net.n)
        for x in ((stimulus @ p["W_in"].t() + p["drive"]) * per_tau_s).unbind(0):
            v = v + per_tau_m * (p["v_rest"] - v + p["R"] * I)
            z = spike(v - p["theta"], net.height)
            v = reset(v, z, p["v_reset"])
            I = (1 - per_tau_s) * I + x + under_way[:, 0]
            under_way = send(under_way, z @ W)
            spikes.append(z)
        z = torch.stack(spikes)
        return readout(z, p["W_out"], net.dt), z

    return p, simulate


def plasticity(net):
    """Short-term plasticity: what a spike releases depends on the spikes before."""
    p = tensors(net, "W", "W_in", "W_out", "U", "tau_f", "tau_d")
    mask, stimulus, drive, delay = (
        torch.as_tensor(a) for a in (net.mask, net.stimulus, net.drive, net.delay)
    )
    rest = round(net.refractory / net.dt)

    def simulate():
        W = by_delay(p["W"] * mask, delay)
        keep_m = math.exp(-net.dt / net.tau_m)
        keep_f, keep_d = torch.exp(-net.dt / p["tau_f"]), torch.exp(-net.dt / p["tau_d"])
        v = torch.zeros(net.batch, net.n)
        x, u = torch.ones_like(v), p["U"].expand_as(v)
        under_way = torch.zeros(net.batch, int(delay.max()), net.n)
        since, spikes = torch.full_like(v, rest), []
        for now in (stimulus @ p["W_in"].t() + drive).unbind(0):
            active = since >= rest
            v = torch.where(active, now + (v - now) * keep_m, v)
            z = spike((v - 1) * workloads.SPAN, net.height) * active
            x, u = 1 - (1 - x) * keep_d, p["U"] + (u - p["U"]) * keep_f
            u = u + z * p["U"] * (1 - u)
            released = z * u * x
            x = x - released
            v = v + under_way[:, 0] * active
            v = reset(v, z, 0.0)
            under_way = send(under_way, released @ W)
            since = torch.where(z > 0, 0.0, since + 1)
            spikes.append(z)
        z = torch.stack(spikes)
        return readout(z, p["W_out"], net.dt), z

    return p, simulate


def rate(net):
    """Rate network with Dale's law by rectified weights, as published."""
    p = tensors(net, "W_out", "b") | {"W": torch.nn.Parameter(torch.as_tensor(abs(net.W)))}
    p |= tensors(net, "W_in") if net.rectified else tensors(net, "tau")
    given = tensors(net, "W_in", "tau", "mask", "sign", "stimulus", trained=False)
    activation = torch.relu if net.rectified else torch.sigmoid

    def simulate():
        values = given | p
        W = (torch.relu(p["W"]) * given["mask"] * given["sign"]).t()
        per_tau = net.dt / values["tau"]
        x, outputs = torch.full((net.batch, net.n), 0.1), []
        noise = net.noise * torch.randn(net.t, net.batch, net.n)
        for u, xi in zip((given["stimulus"] @ values["W_in"].t()).unbind(0), noise.unbind(0), strict=True):
            r = activation(x)
            outputs.append(r @ p["W_out"].t() + p["b"])
            x = x + per_tau * (r @ W + u - x) + xi
        return torch.stack(outputs), None

    return p, simulate


NETWORKS = {
    "shared_decay": lif,
    "scaling": lif,
    "forward": lif,
    "synaptic_decay": synaptic,
    "synaptic_decay_dense": synaptic,
    "adex": adex,
    "conductance": conductance,
    "delays": delays,
    "plasticity": plasticity,
    "rate": rate,
}
