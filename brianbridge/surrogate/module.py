"""`Surrogate`: the torch module generated from a `Model`."""

import numpy as np
import torch
from brian2.core.variables import VariableView
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity
from torch import nn

from brianbridge.generation.records import with_expression, with_records
from brianbridge.generation.schedule import program_of
from brianbridge.model.naming import monitor_name, variable_name
from brianbridge.model.rebuild import rebuild, set_aside
from brianbridge.surrogate.backends import Backend
from brianbridge.surrogate.execution import CompiledStep, Run
from brianbridge.surrogate.feeding import (
    SECOND,
    SpikeRows,
    State,
    draw_noise,
    events_under_way,
    given_inputs,
    given_noise,
    input_step,
    rows_of,
    si_tensor,
    steps_until,
)
from brianbridge.surrogate.monitoring import monitor_records
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.parameters import Parameter
from brianbridge.surrogate.recording import Records
from brianbridge.surrogate.routing import route
from brianbridge.surrogate.stepping import Stepper
from brianbridge.surrogate.thresholds import spike_gradients_of

__all__ = ["Surrogate"]


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
        Whether the gradient flows through the decision to reset what the threshold reads (the membrane
        potential). What a reset changes besides, like a trace of the spikes, always has its gradient.
    segment : int, 'auto' or None
        Steps between two checkpoints: the backward pass recomputes each segment instead of keeping it. None
        keeps everything.
    backend : str, optional
        ``'compiled'`` (a kernel in C with the same statements and their exact adjoint) or ``'eager'``
        (PyTorch, operation by operation). Default: compiled, where there is a C compiler and the network
        allows it.

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
        backend=None,
    ):
        super().__init__()
        if exact and (dtype != torch.float64 or str(device) != "cpu"):
            raise ValueError(
                "exact=True needs dtype=torch.float64 and device='cpu': it takes numpy's functions."
            )
        self.model = model
        self.ops = Operations(dtype, exact, smooth, reset_gradient)
        self._backend = Backend(backend, self.ops, device, segment)
        self._live = rebuild(model)
        set_aside(self._live.groups.values())  # it lends its names and equations, and never runs
        self.program = program_of(model, self._live)
        self.spike_gradients = spike_gradients_of(model, self._live, spike_gradient)
        self.parameter = nn.ModuleList(Parameter(t, model) for t in model.trainable)
        self._compiled = {}
        self._constants = {}
        self.register_buffer("_place", torch.empty(0), persistent=False)  # says where the module is
        self.to(device)

    @property
    def dt(self):
        """Time step (Quantity)."""
        return Quantity(self.program.dt, dim=SECOND)

    @property
    def device(self):
        """Where the simulation runs."""
        return self._place.device

    @property
    def backend(self):
        """Who takes the steps: ``'compiled'`` or ``'eager'``."""
        return "compiled" if self._backend.compiled else "eager"

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

    def twin(self, dt=None, dtype=None):
        """A surrogate of the same network that shares the trained parameters.

        Parameters
        ----------
        dt : Quantity, optional
            Another time step, as in `Model.with_dt`. Noise keeps its power: Brian2 scales it with the step.
        dtype : torch.dtype, optional
            Another precision.

        Returns
        -------
        Surrogate
        """
        twin = Surrogate(
            self.model if dt is None else self.model.with_dt(dt),
            {name: gradient for name, gradient in self.spike_gradients.items() if gradient is not None},
            dtype=dtype or self.ops.dtype,
            device=self.device,
            exact=self.ops.exact,
            smooth=self.ops.smooth,
            reset_gradient=self.ops.reset_gradient,
            segment=self._backend.segment,
            backend="eager" if self.backend == "eager" else None,
        )
        twin.parameter = self.parameter
        return twin

    # -- simulation -----------------------------------------------------------------------------------

    def draw_noise(self, duration, batch=1, seed=None):
        """Draw the random numbers of a simulation in advance, to be handed to it as ``noise=``.

        Parameters
        ----------
        duration : Quantity
        batch : int
        seed : int or torch.Generator, optional

        Returns
        -------
        dict of str to Tensor, shape (draws, batch, n)
        """
        first = self.program.start
        places = self._noise_places(self._compile())
        steps, generator = steps_until(duration, first, self.program.dt), self._generator(seed, None)
        return draw_noise(places, first, steps, batch, generator, self.ops.dtype, self.device)

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
        """Simulate a batch of trials from the model's own time, or from where an earlier one stopped.

        Parameters
        ----------
        inputs : dict, optional
            A `TimedArray` (or its name in the equations) to a tensor, array or Quantity of shape
            (time, batch, n), or (time, batch) for a one-dimensional array, on the array's own time step. The
            first row is for t = 0 and the last one holds on, as in Brian2. Tensors are in SI units. For a
            `SpikeGeneratorGroup`: its spikes, 0 or 1, on its own time step.
        duration : Quantity, optional
            Default: until the end of the longest of the given inputs.
        record : sequence
            Variables (``cells.v``, ``'cells.v'``), subexpressions, groups (for their spikes), and monitors of
            the network that was wrapped, or their names in Brian2.
        when : str
            The scheduling slot after which values are taken; ``'end'`` sees everything of a step. Monitors
            have their own.
        initial : dict, optional
            Initial states: variables to values, shape () or (n,) or (batch, n), or to expressions as text,
            evaluated for every trial. Or the `final` of an earlier simulation: time goes on from there, and
            with it inputs and random numbers.
        noise : dict, optional
            Random numbers to replay, as in `Records.noise`; the first row is for the first step of this call.
        batch : int, optional
            Number of trials where no input says it.
        seed : int or torch.Generator, optional
            For the noise and for random numbers in `initial`.

        Returns
        -------
        Records
        """
        names, monitors = self._wanted(record)
        compiled = self._compile(names, when, monitors)
        run = self._start(compiled, inputs, duration, initial, noise, batch, seed)
        recorded, carried = self._advance(compiled, run)
        random = None if run.generator is None else run.generator.get_state()
        return Records(
            model=self.model,
            values={".".join(name): value for name, value in zip(names, recorded)},
            dimensions={".".join(name): self._dimensions(*name) for name in names},
            monitors=monitor_records(self._live, compiled.program, run, recorded[len(names) :], monitors),
            dt=self.dt,
            first=run.first,
            when=when,
            final=State(zip(compiled.carried, carried, strict=True), run.first + run.steps, random),
            noise=run.noise,
        )

    def stepper(self, steps, inputs=None, initial=None, noise=None, batch=None, seed=None):
        """Start a simulation that is advanced one time step at a time, without gradient.

        Parameters
        ----------
        steps : int
            For how many steps random numbers are drawn.
        inputs, initial, noise, batch, seed
            As for a simulation of the whole duration.

        Returns
        -------
        Stepper
        """
        compiled = self._compile()
        with torch.no_grad():
            run = self._start(compiled, inputs, steps * self.dt, initial, noise, batch, seed)
            return Stepper(compiled, run, compiled.prelude(run.parameters, self.ops.dtype))

    def _inputs(self, given):
        """Values of every timed input, shape (time, batch, n) or (time, 1, n)."""
        tensors = {timed.name: torch.tensor(timed.values)[:, None] for timed in self.model.inputs}
        tensors |= {name: value[:, None] for (group, name), value in self.values().items() if not group}
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

    def _wanted(self, record):
        """What to record: variables by group and name, and descriptions of monitors."""
        keys = [(key, monitor_name(key, self.model)) for key in _listed(record)]
        names = tuple(variable_name(key, self.model) for key, monitor in keys if monitor is None)
        wanted = {monitor for _, monitor in keys}
        return names, tuple(monitor for monitor in self.model.monitors if monitor.name in wanted)

    def _compile(self, names=(), when="end", monitors=()):
        """A step that records these variables and what these monitors do, compiled once."""
        key = names, when, monitors
        if key not in self._compiled:
            program = with_records(self.program, self._live, names, when, [m for m in monitors if m.active])
            self._compiled[key] = CompiledStep(program, self.ops, self.model.functions)
        return self._compiled[key]

    def _start(self, compiled, inputs, duration, initial, noise, batch, seed):
        """Everything that a simulation reads, checked; and its state at the start."""
        inputs, noise = given_inputs(self.model, inputs or {}), given_noise(noise)
        batch = self._batch_size(inputs, initial, noise, batch)
        first = initial.step if isinstance(initial, State) else self.program.start
        values = self._inputs(inputs)
        run = Run(
            inputs=values,
            rows=self._rows(values),
            parameters=self._arrays(compiled),
            gradients=self._gradients(compiled),
            state=self._default_state(compiled, batch),
            batch=batch,
            first=first,
            steps=self._steps(duration, inputs, first),
            generator=self._generator(seed, initial),
        )
        self._set_initial(run, initial)
        run.noise = self._noise(compiled, run, noise)
        return run

    def _generator(self, seed, initial):
        """Source of random numbers: of the seed, or that of an earlier simulation; None for torch's own."""
        if isinstance(seed, torch.Generator):
            return seed
        if seed is not None:
            return torch.Generator(self.device).manual_seed(int(seed))
        if isinstance(initial, State) and initial.random is not None:
            generator = torch.Generator(self.device)
            generator.set_state(initial.random)
            return generator
        return None

    def _default_state(self, compiled, batch):
        """Values of the model, or the trained ones."""
        arrays = compiled.program.arrays
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
        return state

    def _gradients(self, compiled):
        """Spike gradient of every comparison in a threshold; None where it compares another quantity."""
        chosen = {}
        for key, (group, dimensions) in compiled.rendered.comparisons.items():
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
        for (group, variable), value in chosen.items():
            key = f"{group}.{variable}"
            if key not in run.state:
                raise ValueError(
                    f"{key} is not a state that the equations change: it cannot have an initial value for "
                    "each trial. Assign it before wrapping the network, or make it a TimedArray."
                )
            if isinstance(value, str):
                value = self._evaluate(group, value, run)
            else:
                value = si_tensor(value, self._dimensions(group, variable), key)
            try:
                run.state[key] = value.to(run.state[key]).expand_as(run.state[key])
            except RuntimeError:
                raise ValueError(
                    f"The initial values of {key} have the shape {tuple(value.shape)}; expected one number, "
                    f"({run.state[key].shape[1]},) or {tuple(run.state[key].shape)}, (batch, n)."
                ) from None

    def _evaluate(self, group, expression, run):
        """Value of an expression of a group's variables, one draw of its random numbers for each trial."""
        if (group, expression) not in self._compiled:
            program = with_expression(self.program, self._live, group, expression)
            self._compiled[group, expression] = CompiledStep(program, self.ops, self.model.functions)
        compiled = self._compiled[group, expression]
        places = {
            key: (self.program.samplers.get(key, function), size, 1)
            for key, (function, size, _) in compiled.rendered.noise.items()
        }
        noise = draw_noise(places, 0, 1, run.batch, run.generator, self.ops.dtype, self.device)
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
        kept = array.key, wide, self.device
        if kept not in self._constants:
            dtype = torch.float64 if wide and array.kind == "float" else self._type(array)
            value = torch.as_tensor(np.array(array.value)).to(self.device, dtype)
            self._constants[kept] = value
        return self._constants[kept]

    def _type(self, array):
        if array.role == "index":
            return torch.int64
        if array.kind != "float":
            whole = torch.int64 if array.value.dtype.itemsize > 4 else torch.int32
            return torch.bool if array.kind == "boolean" else whole
        return (
            torch.float64 if array.key.rpartition(".")[2] in ("lastspike", "lastupdate") else self.ops.dtype
        )

    def _route(self, key):
        """What describes the routing of a pathway, see `Rendered.routes`; kept, since it is large."""
        kept = key, self.device
        if kept not in self._constants:
            value = route(key, self.program)
            self._constants[kept] = value if value is None else torch.as_tensor(value, device=self.device)
        return self._constants[kept]

    def _noise_places(self, compiled):
        """Where random numbers are drawn: sampler, number of elements, steps between two draws."""
        blocks = {block.name: block for block in self.program.blocks}
        return {
            key: (self.program.samplers.get(key, function), size, self.program.every(blocks[name].dt))
            for key, (function, size, name) in compiled.rendered.noise.items()
        }

    def _noise(self, compiled, run, given):
        """Random numbers for every step, drawn once so that segments can be recomputed."""
        places = self._noise_places(compiled)
        firsts = {key: -(-run.first // every) for key, (_, _, every) in places.items()}
        unknown = set(given) - set(places)
        if unknown:
            raise ValueError(
                f"noise= holds {', '.join(sorted(unknown))}, but the network draws "
                f"{', '.join(places) or 'none'}."
            )
        drawn = {key: place for key, place in places.items() if key not in given}
        noise = draw_noise(drawn, run.first, run.steps, run.batch, run.generator, self.ops.dtype, self.device)
        for key, value in given.items():
            _, size, every = places[key]
            rows = -(-(run.first + run.steps) // every) - firsts[key]
            if value.shape[0] < rows or value.shape[2] != size:
                raise ValueError(
                    f"The noise {key} has the shape {tuple(value.shape)}, but ({rows}, {run.batch}, {size}) "
                    "is needed."
                )
            noise[key] = value.to(self.device, self.ops.dtype)
        run.first_rows = firsts
        return noise

    def _advance(self, compiled, run):
        """Take all steps."""
        constants = compiled.prelude(run.parameters, self.ops.dtype)
        self._check_constants(compiled, constants)
        return self._backend.advance(compiled, run, constants)

    def _check_constants(self, compiled, constants):
        """A singular exact integrator shows as a NaN in what is computed once from the parameters."""
        for name, value in zip(compiled.rendered.constants, constants, strict=True):
            if not (torch.is_tensor(value) and value.is_floating_point()):
                continue
            if torch.isnan(value).any() or (name in compiled.rendered.divisors and (value == 0).any()):
                raise FloatingPointError(
                    "A coefficient that depends on the parameters only is not a number, or it is zero and "
                    f"something is divided by it: {compiled.origin(name)}. "
                    "With method='exact' this happens where two time constants are equal, as in Brian2. "
                    "Keep them apart by their bounds, or choose method='exponential_euler' or 'rk4'."
                )

    def _dimensions(self, group, variable):
        if f"{group}.{variable}" in self.program.events:
            return DIMENSIONLESS
        return self._live[group].variables[variable].dim


def _listed(record):
    """What to record as a list, where one variable or group was given alone."""
    alone = isinstance(record, str | VariableView) or hasattr(record, "variables")
    return [record] if alone else list(record)
