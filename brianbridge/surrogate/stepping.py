"""`Stepper`: a simulation of the surrogate that is advanced by hand, one time step at a time."""

import torch

__all__ = ["Stepper"]


class Stepper:
    """One simulation, step by step and without gradient; made by `Surrogate.stepper`.

    Attributes
    ----------
    steps : int
        Number of steps taken so far.
    state : dict of str to Tensor, shape (batch, n)
        The state after the last step, by ``'group.variable'``; ``'spikes group.event'`` is 1 where the event
        happened in that step, and ``'past PATHWAY'`` are the events, newest first, that a delayed pathway has
        yet to deliver. It may be changed between steps.
    """

    def __init__(self, generated, run, constants):
        self._generated, self._run, self._constants = generated, run, constants
        self.steps = 0
        self.state = dict(run.state)

    @property
    def noise(self):
        """The random numbers of all steps, as in `Records.noise`: dict of str to Tensor (steps, batch, n)."""
        return {key: noise.rows for key, noise in self._run.noise.items()}

    def step(self):
        """Take one step of the network's shortest clock."""
        generated, run, k = self._generated, self._run, self._run.first + self.steps
        carried = tuple(self.state[key] for key in generated.carried)
        with torch.no_grad():
            carried = generated.step(
                carried,
                self._constants,
                k * generated.program.dt,
                k,
                run.rows,
                run.noise,
                run.gradients,
                [],
            )
        self.state = dict(zip(generated.carried, carried, strict=True))
        self.steps += 1

    def restart_from(self, values):
        """Go on from other values than those that were computed.

        Parameters
        ----------
        values : dict of str to array, shape (n,) or (batch, n)
            Keys as in `state`; events that are replaced are also replaced in what delayed pathways remember
            of the last step.
        """
        for key, value in values.items():
            old = self.state[key]
            # as_tensor alone would share memory with a simulation that goes on
            self.state[key] = torch.as_tensor(value).to(old.dtype, copy=True).expand_as(old)
        for name, event, _ in self._generated.rendered.pathways:
            if f"spikes {event}" in values:
                past = self.state[f"past {name}"]
                self.state[f"past {name}"] = (self.state[f"spikes {event}"], *past[1:])
