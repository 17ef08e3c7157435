"""`Surrogate`: the torch module generated from a `Model`."""

import math
import sys
from dataclasses import dataclass

import numpy as np
import torch
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity, get_dimensions, get_unit
from brian2.units.stdunits import ms
from torch import nn
from torch.utils.checkpoint import checkpoint

from brianbridge.generation.program import Program
from brianbridge.generation.schedule import program_of, record_block
from brianbridge.model.description import Neurons
from brianbridge.model.naming import input_name, variable_name
from brianbridge.model.rebuild import rebuild
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.parameters import Parameter
from brianbridge.surrogate.recording import Records
from brianbridge.surrogate.rendering import render
from brianbridge.surrogate.spike_gradients import SpikeGradient

__all__ = ["Surrogate"]

SECOND = get_dimensions(ms)
KEPT_PER_STATE = 6  # tensors that autograd keeps per state array and step, roughly
UNSEGMENTED = 200e6  # bytes below which a run is not cut into segments


class Surrogate(nn.Module):
    """The same discrete steps as the Brian2 network, in PyTorch, for a batch of trials.

    Parameters
    ----------
    model : Model
    spike_gradient : SpikeGradient or dict, optional
        One for all groups with a threshold, or one for each group (objects or names as keys). Without it no
        gradient passes through spikes.
    dtype : torch.dtype
        float32 (default) or float64 for the states. Parameters and all that depends on them alone are
        computed in float64.
    device : str
    exact : bool
        Take numpy's elementary functions in the forward pass, bit-equal to Brian2's numpy target (float64 on
        the CPU only).
    smooth : bool
        Replace every spike by the primitive of its spike gradient and interpolate at resets: the forward pass
        whose derivative the spike gradient is. For checks against finite differences.
    reset_gradient : bool
        Whether the gradient flows through the decision to reset.
    segment : int, 'auto' or None
        Steps between two checkpoints: the backward pass recomputes each segment instead of keeping it. None
        keeps everything.

    Raises
    ------
    Refused
        If the network's code cannot be bridged.
    ValueError
        If a spike gradient has another unit than the threshold it is for.
    """

    def __init__(
        self,
        model,
        spike_gradient=None,
        *,
        dtype=torch.float32,
        device="cpu",
        exact=False,
        smooth=False,
        reset_gradient=True,
        segment="auto",
    ):
        super().__init__()
        if exact and (dtype != torch.float64 or str(device) != "cpu"):
            raise ValueError(
                "exact=True needs dtype=torch.float64 and device='cpu': it takes numpy's functions."
            )
        self.model = model
        self.segment = segment
        self.ops = Operations(dtype, exact, smooth, reset_gradient)
        self._live = rebuild(model)
        self.program = program_of(model, self._live)
        self.spike_gradients = _spike_gradients(model, self._live, spike_gradient)
        self.parameter = nn.ModuleList(Parameter(t, model) for t in model.trainable)
        self._compiled = {}
        self._constants = {}
        self.to(device)

    @property
    def dt(self):
        """Time step (Quantity)."""
        return Quantity(self.program.dt, dim=SECOND)

    @property
    def device(self):
        parameters = next(iter(self.parameters()), None)
        return torch.device("cpu") if parameters is None else parameters.device

    # -- values ---------------------------------------------------------------------------------------

    def values(self):
        """Present values of the trained parameters.

        Returns
        -------
        dict of (str, str) to Tensor
            ``(group, variable)`` to SI values in float64, with gradient.
        """
        return {target: p() for p in self.parameter for target in p.trainable.targets}

    def trained_model(self):
        """The model with the present values, as frozen arrays."""
        return self.model.with_values({k: v.detach().cpu().numpy() for k, v in self.values().items()})

    def named_values(self):
        """Names and unconstrained tensors, for optimisers: ``{'cells.tau_m': Parameter, ...}``."""
        return {p.trainable.name: p.raw for p in self.parameter}

    def project(self):
        """Bring parameters back into their allowed sets, after an optimiser's step."""
        for parameter in self.parameter:
            parameter.project()

    # -- simulation -----------------------------------------------------------------------------------

    def forward(
        self,
        inputs=None,
        duration=None,
        record=(),
        when="end",
        initial=None,
        noise=None,
        batch=None,
        seed=None,
    ):
        """Simulate a batch of trials from t = 0.

        Parameters
        ----------
        inputs : dict, optional
            A `TimedArray` (or its name in the equations) to a tensor or Quantity of shape (time, batch, n),
            or (time, batch) for a one-dimensional array, on the array's own time step.
        duration : Quantity, optional
            Default: the length of the given inputs.
        record : sequence
            Variables (``cells.v``, ``'cells.v'``) and groups (for their spikes).
        when : str
            The scheduling slot after which values are taken; ``'end'`` sees everything of a step.
        initial : dict, optional
            Initial states: variables to values, shape (n,) or (batch, n), or to expressions as text, evaluated
            for every trial; or the `final` of an earlier simulation.
        noise : dict, optional
            Random numbers to replay, as in `Records.noise`.
        batch : int, optional
            Number of trials where no input says it.
        seed : int or torch.Generator, optional
            For the noise.

        Returns
        -------
        Records
        """
        caller = sys._getframe(1).f_locals if not record else _caller_namespace()
        rows = self._inputs(inputs or {})
        batch = self._batch_size(rows, noise, batch)
        steps = self._steps(duration, rows)
        names = [variable_name(key, self.model, caller) for key in record]
        compiled = self._compile(tuple(names), when)
        run = self._start(compiled, rows, batch, steps, initial, noise, seed, caller)
        recorded, carried = self._advance(compiled, run, steps)
        final = dict(zip(compiled.carried, carried, strict=True))
        values = {".".join(name): value for name, value in zip(names, recorded, strict=True)}
        dimensions = {".".join(name): self._dimensions(*name) for name in names}
        return Records(self.model, values, dimensions, self.dt, when, final, run.noise)

    def _inputs(self, given):
        """Rows of every timed input: a list over its time steps of tensors (batch, n) or (1, n)."""
        tensors = {timed.name: torch.tensor(timed.values)[:, None] for timed in self.model.inputs}
        tensors |= {name: value[:, None] for (group, name), value in self.values().items() if not group}
        for key, value in given.items():
            name = input_name(key, self.model)
            tensors[name] = _si(value, self.model.input(name).dimensions, f"the input {name}")
            wanted = self.model.input(name).values.ndim
            if tensors[name].dim() != wanted + 1:
                shape = "(time, batch, n)" if wanted == 2 else "(time, batch)"
                raise ValueError(
                    f"The input {name} needs the shape {shape}, but has {tuple(tensors[name].shape)}."
                )
            if wanted == 2 and tensors[name].shape[2] != self.model.input(name).values.shape[1]:
                raise ValueError(
                    f"The input {name} has {tensors[name].shape[2]} channels, but its TimedArray has "
                    f"{self.model.input(name).values.shape[1]}."
                )
        self._given = {input_name(key, self.model) for key in given}
        return {
            name: (value if value.dim() == 3 else value[..., None]).to(self.device, self.ops.dtype).unbind(0)
            for name, value in tensors.items()
        }

    def _batch_size(self, rows, noise, batch):
        sizes = {name: value[0].shape[0] for name, value in rows.items() if name in self._given}
        sizes |= {f"noise {key}": value.shape[1] for key, value in (noise or {}).items()}
        if batch is not None:
            sizes["batch="] = batch
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"The numbers of trials do not agree: {listed}.")
        return next(iter(sizes.values()), 1)

    def _steps(self, duration, rows):
        if duration is None:
            lengths = [len(rows[name]) * self.model.input(name).dt for name in self._given]
            if not lengths:
                raise ValueError("Say how long to simulate: duration=..., since no input was given.")
            duration = max(lengths)
        return int(float(duration) / self.program.dt + 0.5)

    def _compile(self, names, when):
        """Source of a step that records these variables, compiled once."""
        if (names, when) not in self._compiled:
            position = self._position(when)
            program, records = self._with_records(self.program, names, position)
            self._compiled[names, when] = _Compiled(program, records, self.ops, self.model.functions)
        return self._compiled[names, when]

    def _position(self, when):
        """Number of blocks that have run when values are taken in this slot."""
        slots = [full for name in self.model.schedule for full in (f"before_{name}", name, f"after_{name}")]
        if when not in slots:
            raise ValueError(
                f"when={when!r} is not a slot of the schedule; choose one of {', '.join(slots)}."
            )
        return sum(slots.index(block.slot) <= slots.index(when) for block in self.program.blocks)

    def _with_records(self, program, names, position):
        arrays = dict(program.arrays)
        records = []
        for group, variable in names:
            if f"{group}.{variable}" in program.events:
                records.append((f"{group}.{variable}", position))
            else:
                block, more = record_block(self._live, arrays, group, variable)
                arrays |= more
                records.append((block, position))
        return Program(program.blocks, arrays, program.inputs, program.events, program.dt), records

    def _start(self, compiled, rows, batch, steps, initial, noise, seed, caller):
        arrays = compiled.program.arrays
        parameters = self._arrays(compiled)
        trained = self.values()
        state = {}
        for key in compiled.rendered.states:
            value = trained.get(tuple(key.split(".", 1)))
            value = self._constant(arrays[key]) if value is None else value.to(self._type(arrays[key]))
            state[key] = value.expand(batch, 1 if arrays[key].scalar else value.numel())
        for event in compiled.rendered.events:
            state[f"spikes {event}"] = torch.zeros(
                batch, self.program.events[event], dtype=self.ops.dtype, device=self.device
            )
        for name, event, longest in compiled.rendered.pathways:
            state[f"past {name}"] = (state[f"spikes {event}"],) * longest
        noise = self._noise(compiled.rendered.noise, noise, steps, batch, seed)
        run = _Run(rows, parameters, noise, self.spike_gradients, state, batch)
        self._set_initial(run, compiled, initial, caller, seed)
        return run

    def _set_initial(self, run, compiled, initial, caller, seed):
        """Initial values and expressions: those of the model, then those of the call."""
        chosen = {(g.name, variable): text for g in self.model.groups for variable, text in g.initial.items()}
        for key, value in (initial or {}).items():
            if isinstance(key, str) and key in run.state:
                run.state[key] = value
                chosen.pop(tuple(key.split(".", 1)), None)
            else:
                chosen[variable_name(key, self.model, caller)] = value
        for (group, variable), value in chosen.items():
            key = f"{group}.{variable}"
            if key not in run.state:
                raise ValueError(f"{key} is not a state that the equations change; set the parameter itself.")
            if isinstance(value, str):
                value = self._evaluate(group, value, run, seed)
            else:
                value = _si(value, self._dimensions(group, variable), key)
            run.state[key] = value.to(run.state[key]).expand_as(run.state[key])

    def _evaluate(self, group, expression, run, seed):
        """Value of an expression of a group's variables, one draw of its random numbers for each trial."""
        known = dict(self.program.arrays)
        block, more = record_block(self._live, known, group, expression)
        program = Program((), known | more, self.program.inputs, self.program.events, self.program.dt)
        compiled = _Compiled(program, [(block, 0)], self.ops, self.model.functions)
        noise = self._noise(compiled.rendered.noise, None, 1, run.batch, seed)
        constants = compiled.prelude(self._arrays(compiled), self.ops.dtype)
        output = [[]]
        state = tuple(run.state[key] for key in compiled.carried)
        compiled.step(state, constants, 0.0, 0, run.rows, noise, run.gradients, output)
        return self.ops.tensor(output[0][0])

    def _arrays(self, compiled):
        """Parameter arrays in float64 and routing tables of the pathways, by key."""
        trained = self.values()
        values = {}
        for key in compiled.rendered.parameters:
            value = trained.get(tuple(key.split(".", 1)))
            values[key] = self._constant(compiled.program.arrays[key], wide=True) if value is None else value
        for key in compiled.rendered.routes:
            values[key] = self._route(key)
        return values

    def _constant(self, array, wide=False):
        """Value of an array of the model as a tensor; kept, since index arrays are large."""
        if (array.key, wide) not in self._constants:
            dtype = torch.float64 if wide and array.kind == "float" else self._type(array)
            value = torch.as_tensor(np.array(array.value)).to(self.device, dtype)
            self._constants[array.key, wide] = value
        return self._constants[array.key, wide]

    def _type(self, array):
        if array.role == "index":
            return torch.int64
        if array.kind != "float":
            return torch.bool if array.kind == "boolean" else torch.int32
        return (
            torch.float64 if array.key.rpartition(".")[2] in ("lastspike", "lastupdate") else self.ops.dtype
        )

    def _route(self, key):
        """Delays of a pathway's synapses, or the order in which Brian2's queue delivers their events."""
        if key not in self._constants:
            what, name = key.split(" ", 1)
            block = next(block for block in self.program.blocks if block.name == name)
            sources = np.asarray(self.program.arrays[block.sources].value)
            delays = np.broadcast_to(block.delays, sources.shape)
            order = np.lexsort((np.arange(len(sources)), sources, -delays))
            if what == "delays":
                value = torch.as_tensor(delays.copy(), device=self.device)
            elif np.all(order == np.arange(len(order))):
                value = None
            else:
                value = torch.as_tensor(order, device=self.device)
            self._constants[key] = value
        return self._constants[key]

    def _noise(self, places, given, steps, batch, seed):
        """Random numbers for every step, drawn once so that segments can be recomputed."""
        given = given or {}
        generator = seed if isinstance(seed, torch.Generator) else None
        if seed is not None and generator is None:
            generator = torch.Generator(self.device).manual_seed(int(seed))
        noise = {}
        for key, (function, size, _) in places.items():
            if key in given:
                noise[key] = given[key].to(self.device, self.ops.dtype)
                if noise[key].shape[0] < steps:
                    raise ValueError(
                        f"The noise {key} has {noise[key].shape[0]} steps, but {steps} are simulated."
                    )
                continue
            draw = torch.randn if function == "randn" else torch.rand
            noise[key] = draw(
                steps, batch, size, generator=generator, dtype=self.ops.dtype, device=self.device
            )
        return noise

    def _advance(self, compiled, run, steps):
        """Run all steps, in segments if memory asks for it."""
        constants = compiled.prelude(run.parameters, self.ops.dtype)
        self._check_constants(compiled, constants)
        segment = self._segment_length(run.state, steps)
        state = tuple(run.state[key] for key in compiled.carried)
        recorded = [[] for _ in compiled.records]
        for first in range(0, steps, segment):
            last = min(first + segment, steps)
            if segment < steps and torch.is_grad_enabled():
                flat, shape = _flatten(state)
                function = _Segment(compiled, run, constants, shape, first, last)
                outputs = checkpoint(function, *flat, use_reentrant=False, preserve_rng_state=False)
                state, chunk = outputs[: len(shape)], outputs[len(shape) :]
                state = _unflatten(outputs[: sum(shape)], shape)
                chunk = outputs[sum(shape) :]
            else:
                state, chunk = compiled.advance(run, constants, state, first, last)
            for total, part in zip(recorded, chunk, strict=True):
                total.append(part)
        return [torch.cat(parts) for parts in recorded], state

    def _segment_length(self, state, steps):
        if self.segment is None or not torch.is_grad_enabled():
            return steps
        if self.segment != "auto":
            return int(self.segment)
        size = sum(v.numel() * v.element_size() for v in state.values() if torch.is_tensor(v))
        if size * KEPT_PER_STATE * steps < UNSEGMENTED:
            return steps
        return max(1, math.isqrt(steps // KEPT_PER_STATE) or 1)

    def _check_constants(self, compiled, constants):
        """A singular exact integrator shows as a NaN in what is computed once from the parameters."""
        for name, value in zip(compiled.constant_names, constants, strict=True):
            if torch.is_tensor(value) and value.is_floating_point() and torch.isnan(value).any():
                raise FloatingPointError(
                    f"A coefficient that depends on the parameters only is not a number: {compiled.origin(name)}. "
                    "With method='exact' this happens where two time constants are equal, as in Brian2 itself. "
                    "Keep them apart by their bounds, or choose method='exponential_euler' or 'rk4'."
                )

    def _dimensions(self, group, variable):
        if f"{group}.{variable}" in self.program.events:
            return DIMENSIONLESS
        return self._live[group].variables[variable].dim


@dataclass
class _Run:
    """All that one simulation reads, and its state at the start."""

    rows: dict
    parameters: dict
    noise: dict
    gradients: dict
    state: dict
    batch: int


class _Compiled:
    """A rendered program, executed."""

    def __init__(self, program, records, ops, functions):
        self.program, self.records = program, records
        self.rendered = render(program, records)
        implementations = {
            name: function.implementations["torch"].get_code(None) for name, function in functions.items()
        }
        namespace = {"torch": torch, "ops": ops, "user": implementations}
        exec(compile(self.rendered.source, "<generated step>", "exec"), namespace)
        self._prelude, self.step = namespace["prelude"], namespace["step"]
        self.carried = (
            *self.rendered.states,
            *(f"spikes {event}" for event in self.rendered.events),
            *(f"past {name}" for name, _, _ in self.rendered.pathways),
        )

    def prelude(self, parameters, dtype):
        """What depends on parameters only, computed in float64 and then rounded to `dtype`."""
        values = self._prelude(parameters)
        return tuple(v.to(dtype) if torch.is_tensor(v) and v.is_floating_point() else v for v in values)

    def advance(self, run, constants, state, first, last):
        """Steps `first` to `last`; the recorded values are stacked over time."""
        output = [[] for _ in self.records]
        dt = self.program.dt
        for k in range(first, last):
            state = self.step(state, constants, k * dt, k, run.rows, run.noise, run.gradients, output)
        return state, [torch.stack([_row(v, run.batch) for v in rows]) for rows in output]

    @property
    def constant_names(self):
        line = self.rendered.source.split("return (", 1)[1].split(")", 1)[0]
        return [name.strip() for name in line.split(",") if name.strip()]

    def origin(self, name):
        """The line of the prelude that computes a constant, with the constants in it spelled out."""
        lines = dict(
            line.strip().split(" = ", 1)
            for line in self.rendered.source.split("def step")[0].split("\n")
            if " = " in line
        )
        return f"{name} = {lines.get(name, '?')}"


class _Segment:
    """One checkpointed segment as a function of the flat state."""

    def __init__(self, compiled, run, constants, shape, first, last):
        self.compiled, self.run, self.constants = compiled, run, constants
        self.shape, self.first, self.last = shape, first, last

    def __call__(self, *flat):
        state, chunk = self.compiled.advance(
            self.run, self.constants, _unflatten(flat, self.shape), self.first, self.last
        )
        return (*_flatten(state)[0], *chunk)


def _flatten(state):
    """State with its tuples of past events as one flat list; the shape has 0 for plain tensors."""
    flat, shape = [], []
    for value in state:
        flat += [value] if torch.is_tensor(value) else list(value)
        shape.append(1 if torch.is_tensor(value) else -len(value))
    return flat, shape


def _unflatten(flat, shape):
    state, flat = [], list(flat)
    for count in shape:
        if count == 1:
            state.append(flat.pop(0))
        else:
            state.append(tuple(flat[:-count]))
            del flat[:-count]
    return tuple(state)


def _row(value, batch):
    """A recorded value as a tensor (batch, n)."""
    value = value if torch.is_tensor(value) else torch.as_tensor(value)
    value = value.reshape(1, 1) if value.dim() == 0 else value
    return value.expand(batch, value.shape[-1])


def _si(value, dimensions, what):
    """Tensor of SI values from a tensor (SI already), an array or a Quantity."""
    if torch.is_tensor(value):
        return value
    if get_dimensions(value) != dimensions:
        raise ValueError(
            f"{what} is in {get_unit(dimensions)!r}, but was given in {get_unit(get_dimensions(value))!r}."
        )
    return torch.as_tensor(np.array(value, dtype=float))


def _caller_namespace():
    """Local and global variables of the function that called the module."""
    frame = sys._getframe(1)
    while (
        frame is not None and "torch/nn" in frame.f_code.co_filename
    ) or frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return {**frame.f_globals, **frame.f_locals}


def _spike_gradients(model, live, given):
    """One spike gradient for every group with events, checked against the unit of its threshold."""
    spiking = [group for group in model.groups if isinstance(group, Neurons) and group.events]
    if given is None or isinstance(given, SpikeGradient):
        chosen = {group.name: given for group in spiking}
    else:
        chosen = {group.name: None for group in spiking}
        for key, gradient in given.items():
            chosen[variable_name(key, model)[0] if not isinstance(key, str) else key] = gradient
    for group in spiking:
        gradient = chosen[group.name]
        dimensions = _threshold_dimensions(live[group.name])
        if gradient is not None and dimensions is not None and gradient.dimensions != dimensions:
            raise ValueError(
                f"The threshold {group.events['spike']!r} of {group.name} compares values in "
                f"{get_unit(dimensions)!r}, but {gradient!r} is in {get_unit(gradient.dimensions)!r}. Give the "
                "width in the unit of the threshold, or one spike gradient for each group: "
                f"spike_gradient={{'{group.name}': ...}}."
            )
    return chosen


def _threshold_dimensions(group):
    """Physical dimensions of what the threshold condition compares, None if it compares nothing."""
    import ast

    from brian2.parsing.expressions import parse_expression_dimensions
    from brian2.utils.stringtools import get_identifiers

    condition = group.events.get("spike")
    if condition is None:
        return None
    variables = group.resolve_all(get_identifiers(condition), {}, user_identifiers=set())
    for node in ast.walk(ast.parse(condition.strip(), mode="eval")):
        if isinstance(node, ast.Compare):
            return parse_expression_dimensions(ast.unparse(node.left), variables)
    return None
