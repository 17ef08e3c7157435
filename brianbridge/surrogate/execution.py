"""Execute a rendered program: its constants and its steps."""

from dataclasses import dataclass, field

import torch

from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.rendering import render

__all__ = ["GeneratedStep", "Run"]


@dataclass
class Run:
    """All that one simulation reads, and its state at the start."""

    inputs: dict
    rows: dict
    parameters: dict
    gradients: dict
    state: dict
    batch: int
    first: int  # step
    steps: int
    seed: int
    noise: dict = field(default_factory=dict)  # place to GivenNoise or DrawnNoise


class GeneratedStep:
    """A rendered program, executed."""

    def __init__(self, program, ops, functions):
        self.program = program
        self.rendered = render(program)
        implementations = {
            name: function.implementations["torch"].get_code(None)
            for name, function in functions.items()
            if "torch" in getattr(function, "implementations", ())
        }
        namespace = {"torch": torch, "ops": ops, "user": implementations}
        exec(compile(self.rendered.source, "<generated step>", "exec"), namespace)
        self._prelude, self.step = namespace["prelude"], namespace["step"]
        self._wide = Operations(torch.float64, ops.exact)
        self.carried = (
            *self.rendered.states,
            *(f"spikes {event}" for event in self.rendered.events),
            *(f"past {name}" for name, _, _ in self.rendered.pathways),
        )

    def prelude(self, parameters, dtype):
        """What depends on parameters only, computed in float64 and then rounded to `dtype`."""
        values = self._prelude(parameters, self._wide)
        return tuple(v.to(dtype) if torch.is_tensor(v) and v.is_floating_point() else v for v in values)

    def advance(self, run, constants, state, first, last):
        """Steps `first` to `last`; the recorded values are stacked over time, one tensor for each output."""
        sizes = [record.block.size for record in self.program.records for _ in record.outputs]
        output = [[] for _ in sizes]
        dt = self.program.dt
        for k in range(first, last):
            state = self.step(state, constants, k * dt, k, run.rows, run.noise, run.gradients, output)
        return state, [_stacked(rows, run.batch, size) for rows, size in zip(output, sizes, strict=True)]

    def origin(self, name):
        """The line of the prelude that computes a constant, with the constants in it spelled out."""
        lines = dict(
            line.strip().split(" = ", 1)
            for line in self.rendered.source.split("def step")[0].split("\n")
            if " = " in line
        )
        return f"{name} = {lines.get(name, '?')}"


def _stacked(rows, batch, size):
    """Recorded values as one tensor (time, batch, n)."""
    rows = [torch.as_tensor(row, dtype=torch.float64 if isinstance(row, float) else None) for row in rows]
    rows = [row.expand(batch, size) for row in rows]
    return torch.stack(rows) if rows else torch.zeros(0, batch, size)
