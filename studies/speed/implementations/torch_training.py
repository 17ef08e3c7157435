"""What all implementations in PyTorch share: the readout, one update with Adam, and what is asked of them."""

import torch
import workloads


def tensors(net, *names, trained=True):
    """Arrays of a network as parameters (or plain tensors), by name."""
    values = {name: torch.as_tensor(getattr(net, name)) for name in names}
    return {name: torch.nn.Parameter(value) for name, value in values.items()} if trained else values


def exponential_filter(steps, keep):
    """Low-pass filter along time, shape (time, batch, 1); after the readout, with which it commutes."""
    y, filtered = torch.zeros_like(steps[0]), []
    for step in steps.unbind(0):
        y = torch.lerp(step, y, keep)
        filtered.append(y)
    return torch.stack(filtered)


class Training:
    """Updates of a network in PyTorch.

    Parameters
    ----------
    point : workloads.Point
    net : SimpleNamespace
    parameters : list of Tensor
    simulate : callable
        Returns the output, shape (time, batch, 1), and the spikes, whose mean is the rate per step (None: no
        spikes).
    finish : callable, optional
        Called after each update.
    """

    def __init__(self, point, net, parameters, simulate, finish=None):
        torch.set_flush_denormal(True)
        self.point, self.simulate, self.finish = point, simulate, finish
        self.parameters = [p for p in parameters if p.requires_grad]
        self.target = torch.as_tensor(net.target)
        self.optimizer = torch.optim.Adam(self.parameters, lr=workloads.LEARNING_RATE, fused=True)

    def update(self):
        """One update, or one pass forward; the loss."""
        if not self.point.training:
            with torch.no_grad():
                return self._loss().item()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss()
        loss.backward()
        self.optimizer.step()
        if self.finish:
            self.finish()
        return loss.item()

    def _loss(self):
        output, _ = self.simulate()
        return torch.nn.functional.mse_loss(output, self.target.to(output.dtype))

    def rate_hz(self):
        """Mean firing rate, None without spikes."""
        with torch.no_grad():
            _, spikes = self.simulate()
        return None if spikes is None else float(spikes.mean()) * 1000 / self.point.dt

    def gradient_norm(self):
        """Norm of the last gradient; None where none is computed."""
        if not self.point.training:
            return None
        return float(
            sum(p.grad.double().square().sum() for p in self.parameters if p.grad is not None).sqrt()
        )
