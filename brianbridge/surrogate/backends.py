"""Who takes the steps: a kernel in C where there is one, PyTorch otherwise."""

from numbers import Integral

import torch
from brian2.utils.logger import get_logger

from brianbridge.kernels.compiler import obstacle
from brianbridge.kernels.kernel import Feed, Kernel
from brianbridge.kernels.routes import routes_of
from brianbridge.kernels.values import NotCompilable
from brianbridge.surrogate.feeding import GivenSpikes
from brianbridge.surrogate.noise import DrawnNoise
from brianbridge.surrogate.segments import advance_in_segments, segment_length
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid, Triangle

__all__ = ["BACKENDS", "Backend"]

BACKENDS = ("compiled", "eager")
IN_C = {Box: "box", Triangle: "triangle", FastSigmoid: "fast_sigmoid"}

logger = get_logger(__name__)


class Backend:
    """Takes the steps of one surrogate.

    Parameters
    ----------
    asked : str or None
        ``'compiled'``, ``'eager'``, or None for the compiled one where that is possible.
    ops : Operations
    segment : int, 'auto' or None

    Raises
    ------
    ValueError
        If there is no such back end, or no such segment.
    """

    def __init__(self, asked, ops, segment):
        if asked not in (None, *BACKENDS):
            raise ValueError(f"backend={asked!r} is not one of 'compiled' and 'eager'.")
        self.asked, self.ops, self.segment = asked, ops, _checked_segment(segment)
        self.kernels, self.routes = {}, {}
        self.left = set()  # steps that cannot be compiled
        self.said = set()
        self.last = None  # step of the last simulation
        self.kernel = None  # the last that took steps

    def in_c(self, device):
        """Whether kernels take the steps, as far as is known before a network is compiled."""
        return self.asked != "eager" and not self._obstacle(device)

    def is_compiled(self, device):
        """Whether kernels take the steps, and took those of the last simulation."""
        return self.in_c(device) and self.last not in self.left

    def check(self, device):
        """Say why PyTorch takes the steps, if it does; raise a ValueError if kernels were insisted on."""
        obstacle = self.asked != "eager" and self._obstacle(device)
        if obstacle:
            self.leave(f"is not possible: {obstacle}", obstacle)

    def leave(self, refusal, reason):
        """Say, once for each surrogate, that PyTorch takes steps; an error where kernels were insisted on."""
        if self.asked == "compiled":
            raise ValueError(f"backend='compiled' {refusal}.")
        if self.asked is None and reason not in self.said:
            self.said.add(reason)
            logger.info(f"PyTorch takes the steps, often tens of times slower than compiled: {reason}.")

    def _obstacle(self, device):
        if self.ops.exact or self.ops.smooth:
            return f"{'exact' if self.ops.exact else 'smooth'}=True runs in PyTorch"
        if torch.device(device).type != "cpu":
            return f"the device {str(device)!r} runs in PyTorch"
        return obstacle()

    def advance(self, generated, run, constants, device):
        """Take all steps of a run.

        Parameters
        ----------
        generated : GeneratedStep
        run : Run
        constants : tuple
            From its prelude.
        device : torch.device

        Returns
        -------
        recorded : list of Tensor, shape (time, batch, n)
            One for each output of the program's records.
        state : tuple
            After the last step.
        """
        self.last = generated
        if self.in_c(device) and generated not in self.left:
            try:
                return self._advance_compiled(generated, run, constants)
            except NotCompilable as reason:
                self.leave(f"cannot take this network: {reason}", str(reason))
                self.left.add(generated)
        length = run.steps
        if self.segment is not None and torch.is_grad_enabled():
            automatic = self.segment == "auto"
            length = segment_length(run.state, run.steps) if automatic else self.segment
        return advance_in_segments(generated, run, constants, length)

    def _advance_compiled(self, generated, run, constants):
        if generated not in self.routes:
            self.routes[generated] = routes_of(generated.program)
        routes = self.routes[generated]
        feed = self._feed(generated, run, routes)
        key = generated, *map(_kind, constants), *map(_kind, feed.tensors)
        if key not in self.kernels:
            gradients = {key: _in_c(gradient) for key, gradient in run.gradients.items()}
            self.kernels[key] = Kernel(
                generated.rendered,
                generated.program,
                routes,
                constants,
                feed,
                self.ops.dtype,
                gradients,
                self.ops.reset_gradient,
            )
        self.kernel = self.kernels[key]
        recorded, states, histories = self.kernel.advance(constants, feed)
        events = dict(zip(generated.rendered.events, histories, strict=True))
        past = [
            tuple(events[event][:, routes[name].offset + j] for j in range(longest))
            for name, event, longest in generated.rendered.pathways
        ]
        return recorded, (*states, *(events[e][:, 0] for e in generated.rendered.events), *past)

    def _feed(self, generated, run, routes):
        rendered = generated.rendered
        noise, draws, firsts = [], [], []
        for key in rendered.noise:
            rows = run.noise[key]
            inside = isinstance(rows, DrawnNoise) and not callable(rows.function)
            noise.append(torch.empty(0, run.batch, rows.n, dtype=rows.dtype) if inside else rows.rows)
            draws.append((rows.function, rows.place) if inside else None)
            firsts.append(rows.first)
        for event in rendered.events:
            rows = run.rows.get(f"spikes {event}")
            every = generated.program.every(generated.program.event_dt(event))
            first, last = -(-run.first // every), -(-(run.first + run.steps) // every)
            noise.append(self._sent(rows, first, last))
            firsts.append(first)
        return Feed(
            batch=run.batch,
            first=run.first,
            steps=run.steps,
            states={key: run.state[key] for key in rendered.states},
            histories={event: self._history(event, rendered, routes, run.state) for event in rendered.events},
            inputs={key: run.inputs[key] for key in generated.program.inputs},
            noise=noise,
            noise_first=firsts,
            draws=draws,
            seed=run.seed,
            threads=torch.get_num_threads(),
            segment=self.segment,
        )

    def _sent(self, rows, first, last):
        """Spikes of a group that is told when to spike, shape (steps, batch or 1, n)."""
        if rows is None or first == last:
            return torch.zeros(1, 1, 1, dtype=self.ops.dtype)
        if isinstance(rows, GivenSpikes) and last <= len(rows.rows):
            return torch.stack(rows.rows[first:last])
        return torch.stack([rows[step] for step in range(first, last)])

    def _history(self, event, rendered, routes, state):
        """Present and past events as one tensor (batch, steps, n), the newest first."""
        known = [(state[f"spikes {event}"],)]
        for name, sent, _ in rendered.pathways:
            if sent == event:
                known.append((*known[0][: routes[name].offset], *state[f"past {name}"]))
        return torch.stack(max(known, key=len), 1)


def _checked_segment(segment):
    """The length of segments as an int, 'auto' or None."""
    if segment is None or (isinstance(segment, str) and segment == "auto"):
        return segment
    if not isinstance(segment, Integral) or segment < 1:
        raise ValueError(f"segment={segment!r} is not a number of steps from 1 on, 'auto' or None.")
    return int(segment)


def _kind(value):
    """What a kernel is compiled for: all but the values and sizes of what it is given."""
    if isinstance(value, tuple):
        return value[1], len(value[0])
    if not torch.is_tensor(value):
        return type(value), value
    return (
        value.dtype,
        value.numel() == 1,
        value.requires_grad and torch.is_grad_enabled(),
        value.shape[-1:] == (1,),
    )


def _in_c(gradient):
    if gradient is None:
        return None
    if type(gradient) not in IN_C:
        raise NotCompilable(f"{gradient!r} is written for PyTorch")
    return IN_C[type(gradient)], gradient.width, gradient.height
