"""`Surrogate`: the torch module generated from a `Model`."""

from dataclasses import replace

import numpy as np
import torch
from brian2.core.variables import VariableView
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity
from torch import nn

from brianbridge.generation.records import with_expression, with_records
from brianbridge.generation.schedule import program_of
from brianbridge.model.naming import monitor_name, variable_name
from brianbridge.model.quantities import seconds_of
from brianbridge.model.rebuild import rebuild, set_aside
from brianbridge.surrogate.backends import Backend
from brianbridge.surrogate.execution import CompiledStep, Run
from brianbridge.surrogate.feeding import (
    SECOND,
    SpikeRows,
    State,
    events_under_way,
    given_inputs,
    input_step,
    rows_of,
    si_tensor,
    steps_until,
)
from brianbridge.surrogate.monitoring import monitor_records
from brianbridge.surrogate.noise import DrawnNoise, GivenNoise, given_noise
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.parameters import named_tensors, parameter_of
from brianbridge.surrogate.recording import Records
from brianbridge.surrogate.routing import route
from brianbridge.surrogate.stepping import Stepper
from brianbridge.surrogate.thresholds import spike_gradients_of

__all__ = ["Surrogate"]

INITIAL = 2**31  # numbers from here on are places in expressions of initial values


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
        self.parameter = nn.ModuleList(parameter_of(t, model) for t in model.trainable)
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
        model = self.model.with_values({k: v.detach().cpu().numpy() for k, v in self.values().items()})
        return replace(model, trainable=tuple(p.present() for p in self.parameter))

    def named_values(self):
        """Names and unconstrained tensors, for optimisers: ``{'cells.tau_m': Parameter, ...}``.

        Those that are frozen are left out. Weights of low rank have three: ``'rec.w.xi_in'``,
        ``'rec.w.scores'`` and ``'rec.w.xi_out'``.
        """
        return {name: tensor for name, tensor in self._tensors().items() if tensor.requires_grad}

    def parameter_groups(self, learning_rate, learning_rates=None):
        """Parameter groups of an optimiser of torch.

        Parameters
        ----------
        learning_rate : float
            In the units of the parameters (mV, pA, ...; for bounded ones of the logit).
        learning_rates : dict, optional
            Other learning rates for some: ``{rec.w: 0.1, 'tau_syn': 0.001}``; for weights of low rank also
            for one factor, ``{'rec.w.scores': 0.1}``.

        Returns
        -------
        list of dict
            One for each tensor that is not frozen, with ``'params'``, ``'lr'`` and ``'name'``.

        Raises
        ------
        UnknownName
            If something is named that is not trained.
        ValueError
            If something is named that is frozen, or a rate is not a number.
        """
        rates = dict.fromkeys(self.named_values(), learning_rate)
        for key, rate in (learning_rates or {}).items():
            named = [name for name in self._named(key) if name in rates]
            if not named:
                frozen = ", ".join(self._named(key))
                raise ValueError(f"{frozen} is frozen, but has the learning rate {rate}: unfreeze it.")
            rates |= dict.fromkeys(named, rate)
        for name, rate in rates.items():
            if not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
                raise ValueError(f"The learning rate of {name} is {rate!r}; expected a number from 0 on.")
        tensors = self._tensors()
        return [{"params": [tensors[name]], "lr": rate, "name": name} for name, rate in rates.items()]

    def freeze(self, *names):
        """Keep parameters as they are: no gradient is computed for them, optimisers are not given them.

        Parameters
        ----------
        *names : VariableView, TimedArray or str
            Trained parameters, named as in ``wrap(train=...)``, or factors (``'rec.w.xi_in'``). Without names
            all of them: ``surrogate.freeze()``, then ``surrogate.unfreeze(w_out.w)`` to train the readout.

        Raises
        ------
        UnknownName
            If something is named that is not trained.
        """
        self._set_trained(names, False)

    def unfreeze(self, *names):
        """Train again what was frozen; names are those of `freeze`."""
        self._set_trained(names, True)

    def _set_trained(self, names, trained):
        chosen = [self._named(key) for key in names] if names else [self._tensors()]
        for tensors in chosen:
            for tensor in tensors.values():
                tensor.requires_grad_(trained)

    def _tensors(self):
        return {name: tensor for p in self.parameter for name, tensor in p.tensors().items()}

    def _named(self, key):
        return named_tensors(key, self.parameter, self.model)

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
            self.model if dt is None else self.model.with_dt(seconds_of(dt)),
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
        with torch.no_grad():
            run = self._start(self._compile(), None, duration, None, None, batch, seed)
        return {key: drawn.rows for key, drawn in run.noise.items()}

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
            All others are drawn step by step and not kept.
        batch : int, optional
            Number of trials where no input says it.
        seed : int or torch.Generator, optional
            For the noise and for random numbers in `initial`: each number depends on the seed, the place in
            the code, the step, the trial and the element alone. A generator, by default that of torch, draws
            a seed.

        Returns
        -------
        Records
        """
        names, monitors = self._wanted(record)
        compiled = self._compile(names, when, monitors)
        run = self._start(compiled, inputs, duration, initial, noise, batch, seed)
        recorded, carried = self._advance(compiled, run)
        given = seed is not None or getattr(initial, "seed", None) is not None
        final = zip(compiled.carried, carried, strict=True)
        return Records(
            model=self.model,
            values={".".join(name): value for name, value in zip(names, recorded)},
            dimensions={".".join(name): self._dimensions(*name) for name in names},
            monitors=monitor_records(self._live, compiled.program, run, recorded[len(names) :], monitors),
            dt=self.dt,
            first=run.first,
            when=when,
            final=State(final, run.first + run.steps, run.seed if given else None),
            noise=run.noise,
        )

    def stepper(self, steps, inputs=None, initial=None, noise=None, batch=None, seed=None):
        """Start a simulation that is advanced one time step at a time, without gradient.

        Parameters
        ----------
        steps : int
            For how many steps `Stepper.noise` has random numbers.
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
            seed=_seed(seed, initial),
        )
        self._set_initial(run, initial)
        run.noise = self._noise(compiled, run, noise)
        return run

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
                value = si_tensor(value, self._dimensions(group, variable), key)
            try:
                run.state[key] = value.to(run.state[key]).expand_as(run.state[key])
            except RuntimeError:
                raise ValueError(
                    f"The initial values of {key} have the shape {tuple(value.shape)}; expected one number, "
                    f"({run.state[key].shape[1]},) or {tuple(run.state[key].shape)}, (batch, n)."
                ) from None

    def _evaluate(self, group, expression, run, number):
        """Value of an expression of a group's variables, one draw of its random numbers for each trial."""
        if (group, expression) not in self._compiled:
            program = with_expression(self.program, self._live, group, expression)
            self._compiled[group, expression] = CompiledStep(program, self.ops, self.model.functions)
        compiled = self._compiled[group, expression]
        first = INITIAL + (number << 16)
        noise = {
            key: self._drawn(run, key, function, first + place, range(1), size)
            for place, (key, (function, size, _)) in enumerate(compiled.rendered.noise.items())
        }
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

    def _noise(self, compiled, run, given):
        """Random numbers of every place in the step."""
        blocks = {block.name: block for block in self.program.blocks}
        unknown = set(given) - set(compiled.rendered.noise)
        if unknown:
            raise ValueError(
                f"noise= holds {', '.join(sorted(unknown))}, but the network draws "
                f"{', '.join(compiled.rendered.noise) or 'none'}."
            )
        noise = {}
        for place, (key, (function, size, name)) in enumerate(compiled.rendered.noise.items()):
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


def _seed(given, initial):
    """Of the random numbers: the given one, that of an earlier simulation, or one drawn by a generator."""
    if given is None and isinstance(initial, State) and initial.seed is not None:
        return initial.seed
    if given is None or isinstance(given, torch.Generator):
        device = "cpu" if given is None else given.device
        return int(torch.randint(2**63 - 1, (), generator=given, device=device))
    return int(given) % 2**64
