"""What a simulation reads when it starts: inputs, parameters, initial states, random numbers; all checked."""

from dataclasses import dataclass

import numpy as np
import torch
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity

from brianbridge.generation.records import with_expression
from brianbridge.model.groups import SPIKE_TIMES
from brianbridge.model.naming import variable_name
from brianbridge.surrogate.execution import GeneratedStep, Run
from brianbridge.surrogate.feeding import (
    SECOND,
    SpikeRows,
    events_under_way,
    given_inputs,
    input_step,
    rows_of,
    si_tensor,
    steps_until,
)
from brianbridge.surrogate.noise import DrawnNoise, GivenNoise, given_noise
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.routing import route
from brianbridge.surrogate.state import State

__all__ = ["Start", "dimensions_of"]

INITIAL = 2**31  # numbers from here on are places in expressions of initial values


@dataclass
class Start:
    """The start of one simulation.

    Attributes
    ----------
    model : Model
    live : rebuilt network of the model
    program : Program
    ops : Operations
    spike_gradients : dict of str to SpikeGradient or None
    device : torch.device
    trained : dict of (str, str) to Tensor
        Present values of the trained parameters.
    kept : dict
        What is large or slow to make, and the same for every simulation.
    """

    model: object
    live: object
    program: object
    ops: Operations
    spike_gradients: dict
    device: torch.device
    trained: dict
    kept: dict

    def run(self, generated, inputs, duration, initial, noise, batch, seed):
        """Everything that a simulation reads, checked; and its state at the start.

        Parameters
        ----------
        generated : GeneratedStep
        inputs, duration, initial, noise, batch, seed
            As for `Surrogate.forward`.

        Returns
        -------
        Run
        """
        inputs, noise = given_inputs(self.model, inputs or {}), given_noise(noise)
        batch = self._batch_size(inputs, initial, noise, batch)
        first = initial.step if isinstance(initial, State) else self.program.start
        values = self._inputs(inputs)
        run = Run(
            inputs=values,
            rows=self._rows(values),
            parameters=self._arrays(generated),
            gradients=self._gradients(generated),
            state=self._default_state(generated, batch),
            batch=batch,
            first=first,
            steps=self._steps(duration, inputs, first),
            seed=seed_of(seed, initial),
        )
        self._set_initial(run, initial)
        run.noise = self._noise(generated, run, noise)
        return run

    def _inputs(self, given):
        """Values of every timed input, shape (time, batch, n) or (time, 1, n)."""
        tensors = {timed.name: torch.tensor(timed.values)[:, None] for timed in self.model.inputs}
        tensors |= {name: value[:, None] for (group, name), value in self.trained.items() if not group}
        tensors = {name: v if v.dim() == 3 else v[..., None] for name, v in tensors.items()} | given
        return {name: v.to(self.device, self.ops.dtype) for name, v in tensors.items()}

    def _rows(self, inputs):
        """What the steps read by their number: inputs, given spikes, and events under way."""
        rows = {f"spikes {event}": table for event, table in self._spike_rows().items()}
        rows |= {f"under way {pathway}": events for pathway, events in self._under_way().items()}
        return rows | {name: rows_of(name, values) for name, values in inputs.items()}

    def _spike_rows(self):
        tables = self.program.spike_tables
        return {event: SpikeRows(table, self.ops.dtype, self.device) for event, table in tables.items()}

    def _under_way(self):
        return {
            block.name: events_under_way(
                block, -(-self.program.start // self.program.every(block.dt)), self.ops.dtype, self.device
            )
            for block in self.program.blocks
            if block.kind == "pathway" and len(block.under_way)
        }

    def _batch_size(self, inputs, initial, noise, batch):
        sizes = {name: value.shape[1] for name, value in inputs.items()}
        sizes |= {f"noise {key}": value.shape[1] for key, value in noise.items()}
        states = {k: v for k, v in (initial or {}).items() if getattr(v, "ndim", 0) == 2}
        sizes |= {f"initial {number}": v.shape[0] for number, v in enumerate(states.values())}
        if batch is not None:
            sizes["batch="] = batch
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"The numbers of trials do not agree: {listed}.")
        size = next(iter(sizes.values()), 1)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"batch={size!r} is not a number of trials.")
        return size

    def _steps(self, duration, inputs, first):
        if duration is None:
            if not inputs:
                raise ValueError("Say how long to simulate: duration=500*ms, since no input was given.")
            end = max(len(value) * input_step(name, self.model) for name, value in inputs.items())
            duration = Quantity(end - first * self.program.dt, dim=SECOND)
        return steps_until(duration, first, self.program.dt)

    def _arrays(self, generated):
        """Parameter arrays in float64 and routing tables of the pathways, by key."""
        values = {}
        for key in generated.rendered.parameters:
            value = self.trained.get(tuple(key.split(".", 1)))
            values[key] = self._constant(generated.program.arrays[key], wide=True) if value is None else value
        for key in generated.rendered.routing_keys:
            values[key] = self._route(key)
        return values

    def _constant(self, array, wide=False):
        """Value of an array of the model as a tensor; kept, since index arrays are large."""
        kept = array.key, wide, self.device
        if kept not in self.kept:
            dtype = torch.float64 if wide and array.kind == "float" else self._type(array)
            value = torch.as_tensor(np.array(array.value)).to(self.device, dtype)
            self.kept[kept] = value
        return self.kept[kept]

    def _type(self, array):
        if array.role == "index":
            return torch.int64
        if array.kind != "float":
            whole = torch.int64 if array.value.dtype.itemsize > 4 else torch.int32
            return torch.bool if array.kind == "boolean" else whole
        return torch.float64 if array.key.rpartition(".")[2] in SPIKE_TIMES else self.ops.dtype

    def _route(self, key):
        """What describes the routing of a pathway, see `Rendered.routing_keys`; kept, since it is large."""
        kept = key, self.device
        if kept not in self.kept:
            value = route(key, self.program)
            self.kept[kept] = value if value is None else torch.as_tensor(value, device=self.device)
        return self.kept[kept]

    def _default_state(self, generated, batch):
        """Values of the model, or the trained ones."""
        arrays = generated.program.arrays
        state = {}
        for key in generated.rendered.states:
            value = self.trained.get(tuple(key.split(".", 1)))
            value = self._constant(arrays[key]) if value is None else value.to(self._type(arrays[key]))
            state[key] = value.expand(batch, 1 if arrays[key].scalar else value.numel())
        for event in generated.rendered.events:
            state[f"spikes {event}"] = torch.zeros(
                batch, self.program.events[event], dtype=self.ops.dtype, device=self.device
            )
        for name, event, longest in generated.rendered.pathways:
            state[f"past {name}"] = (state[f"spikes {event}"],) * longest
        return state

    def _gradients(self, generated):
        """Spike gradient of every comparison in a threshold; None where it compares another quantity."""
        chosen = {}
        for key, (group, dimensions) in generated.rendered.comparisons.items():
            gradient = self.spike_gradients[group]
            fits = gradient is not None and dimensions in (None, gradient.dimensions)
            chosen[key] = gradient if fits else None
        return chosen

    def _set_initial(self, run, initial):
        """Initial values and expressions: those of the model, then those of the call."""
        if isinstance(initial, State):
            if initial.keys() != run.state.keys():
                raise ValueError("initial= is the final state of another network.")
            for key, value in initial.items():
                run.state[key] = value if isinstance(value, tuple) else value.to(run.state[key])
            return
        chosen = {(g.name, variable): text for g in self.model.groups for variable, text in g.initial.items()}
        chosen |= {variable_name(key, self.model): value for key, value in (initial or {}).items()}
        for number, ((group, variable), value) in enumerate(chosen.items()):
            key = f"{group}.{variable}"
            if key not in run.state:
                raise ValueError(
                    f"{key} is not a state that the equations change: it cannot have an initial value for "
                    "each trial. Assign it before wrapping the network, or make it a TimedArray."
                )
            if isinstance(value, str):
                value = self._evaluate(group, value, run, number)
            else:
                value = si_tensor(value, dimensions_of(group, variable, self.program, self.live), key)
            try:
                run.state[key] = value.to(run.state[key]).expand_as(run.state[key])
            except RuntimeError:
                raise ValueError(
                    f"The initial values of {key} have the shape {tuple(value.shape)}; expected one number, "
                    f"({run.state[key].shape[1]},) or {tuple(run.state[key].shape)}, (batch, n)."
                ) from None

    def _evaluate(self, group, expression, run, number):
        """Value of an expression of a group's variables, one draw of its random numbers for each trial."""
        if (group, expression) not in self.kept:
            program = with_expression(self.program, self.live, group, expression)
            self.kept[group, expression] = GeneratedStep(program, self.ops, self.model.functions)
        generated = self.kept[group, expression]
        first = INITIAL + (number << 16)
        noise = {
            key: self._drawn(run, key, function, first + place, range(1), size)
            for place, (key, (function, size, _)) in enumerate(generated.rendered.noise.items())
        }
        constants = generated.prelude(self._arrays(generated), self.ops.dtype)
        output = [[]]
        state = tuple(run.state[key] for key in generated.carried)
        generated.step(state, constants, 0.0, 0, run.rows, noise, run.gradients, output)
        return self.ops.tensor(output[0][0])

    def _noise(self, generated, run, given):
        """Random numbers of every place in the step."""
        blocks = {block.name: block for block in self.program.blocks}
        unknown = set(given) - set(generated.rendered.noise)
        if unknown:
            raise ValueError(
                f"noise= holds {', '.join(sorted(unknown))}, but the network draws "
                f"{', '.join(generated.rendered.noise) or 'none'}."
            )
        noise = {}
        for place, (key, (function, size, name)) in enumerate(generated.rendered.noise.items()):
            every = self.program.every(blocks[name].dt)
            draws = range(-(-run.first // every), -(-(run.first + run.steps) // every))
            noise[key] = self._drawn(run, key, function, place, draws, size)
            if key in given:
                noise[key] = self._given(key, given[key], noise[key])
        return noise

    def _drawn(self, run, key, function, place, draws, size):
        dtype = torch.float64 if function == "poisson" else self.ops.dtype
        function = self.program.samplers.get(key, function)
        return DrawnNoise(function, run.seed, place, draws, run.batch, size, dtype, self.device)

    def _given(self, key, value, drawn):
        """Numbers to replay in place of those that would be drawn."""
        if value.shape[0] < len(drawn.draws) or value.shape[2] != drawn.n:
            raise ValueError(
                f"The noise {key} has the shape {tuple(value.shape)}, but "
                f"{(len(drawn.draws), drawn.batch, drawn.n)} is needed."
            )
        return GivenNoise(value.to(self.device, drawn.dtype), drawn.draws.start)


def dimensions_of(group, variable, program, live):
    """Dimensions of a variable; an event has none."""
    if f"{group}.{variable}" in program.events:
        return DIMENSIONLESS
    return live[group].variables[variable].dim


def seed_of(given, initial):
    """Of the random numbers: the given one, that of an earlier simulation, or one drawn by a generator."""
    if given is None and isinstance(initial, State) and initial.seed is not None:
        return initial.seed
    if given is None or isinstance(given, torch.Generator):
        device = "cpu" if given is None else given.device
        return int(torch.randint(2**63 - 1, (), generator=given, device=device))
    return int(given) % 2**64
