"""`Surrogate`: the torch module generated from a `Model`."""

from dataclasses import replace

import torch
from brian2.core.variables import VariableView
from brian2.units.fundamentalunits import Quantity
from torch import nn

from brianbridge.generation.records import with_records
from brianbridge.generation.schedule import program_of
from brianbridge.model.naming import monitor_name, variable_name
from brianbridge.model.quantities import seconds_of
from brianbridge.model.rebuild import unrun
from brianbridge.surrogate.backends import BACKENDS, Backend
from brianbridge.surrogate.execution import GeneratedStep
from brianbridge.surrogate.feeding import SECOND
from brianbridge.surrogate.monitoring import monitor_records
from brianbridge.surrogate.operations import Operations
from brianbridge.surrogate.parameters import named_tensors, parameter_of
from brianbridge.surrogate.recording import Records
from brianbridge.surrogate.starting import Start, dimensions_of
from brianbridge.surrogate.state import State
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
        self._backend = Backend(backend, self.ops, segment)
        self._backend.check(device)
        self._live = unrun(model)
        self.program = program_of(model, self._live)
        self.spike_gradients = spike_gradients_of(model, self._live, spike_gradient)
        self.parameter = nn.ModuleList(parameter_of(t, model) for t in model.trainable)
        self._generated = {}
        self._kept = {}  # by `Start`
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
        """Who takes the steps: ``'compiled'`` or ``'eager'``; after a simulation, who took its steps."""
        return "compiled" if self._backend.is_compiled(self.device) else "eager"

    def source(self, backend=None):
        """The step that was generated from the network, as text to read.

        Parameters
        ----------
        backend : {'eager', 'compiled'}, optional
            Python that calls PyTorch, or C together with its adjoint. Default: that of `backend`.

        Returns
        -------
        str
            In C, the kernel of the last simulation; before the first one, of a simulation of one step.

        Raises
        ------
        ValueError
            If there is no such back end, or it cannot take this network's steps.
        """
        backend = backend or self.backend
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r} is not one of 'compiled' and 'eager'.")
        if backend == "eager":
            return self._generate().rendered.source
        if self._backend.kernel is None:
            self(duration=self.dt)
        if self._backend.kernel is None:
            raise ValueError("PyTorch takes the steps of this surrogate: there is no step in C.")
        return self._backend.kernel.source.text

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
            In the units of the parameters (mV, pA, ...; for `Bounds` of the logit, for `Positive` of the
            logarithm).
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
            backend=None if self._backend.in_c(self.device) else "eager",
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
            run = self._start(self._generate(), None, duration, None, None, batch, seed)
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
        self._backend.check(self.device)
        names, monitors = self._wanted(record)
        generated = self._generate(names, when, monitors)
        run = self._start(generated, inputs, duration, initial, noise, batch, seed)
        recorded, carried = self._advance(generated, run)
        given = seed is not None or getattr(initial, "seed", None) is not None
        final = zip(generated.carried, carried, strict=True)
        return Records(
            model=self.model,
            values={".".join(name): value for name, value in zip(names, recorded)},
            dimensions={".".join(name): dimensions_of(*name, self.program, self._live) for name in names},
            monitors=monitor_records(self._live, generated.program, run, recorded[len(names) :], monitors),
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
        self._backend.leave("has no stepper", "Surrogate.stepper runs in PyTorch")
        generated = self._generate()
        with torch.no_grad():
            run = self._start(generated, inputs, steps * self.dt, initial, noise, batch, seed)
            return Stepper(generated, run, generated.prelude(run.parameters, self.ops.dtype))

    def _wanted(self, record):
        """What to record: variables by group and name, and descriptions of monitors."""
        keys = [(key, monitor_name(key, self.model)) for key in _listed(record)]
        names = tuple(variable_name(key, self.model) for key, monitor in keys if monitor is None)
        wanted = {monitor for _, monitor in keys}
        return names, tuple(monitor for monitor in self.model.monitors if monitor.name in wanted)

    def _generate(self, names=(), when="end", monitors=()):
        """A step that records these variables and what these monitors do, generated once."""
        key = names, when, monitors
        if key not in self._generated:
            program = with_records(self.program, self._live, names, when, [m for m in monitors if m.active])
            self._generated[key] = GeneratedStep(program, self.ops, self.model.functions)
        return self._generated[key]

    def _start(self, generated, *arguments):
        start = Start(
            self.model,
            self._live,
            self.program,
            self.ops,
            self.spike_gradients,
            self.device,
            self.values(),
            self._kept,
        )
        return start.run(generated, *arguments)

    def _advance(self, generated, run):
        """Take all steps."""
        constants = generated.prelude(run.parameters, self.ops.dtype)
        self._check_constants(generated, constants)
        return self._backend.advance(generated, run, constants, self.device)

    def _check_constants(self, generated, constants):
        """A singular exact integrator shows as a NaN in what is computed once from the parameters."""
        for name, value in zip(generated.rendered.constants, constants, strict=True):
            if not (torch.is_tensor(value) and value.is_floating_point()):
                continue
            if torch.isnan(value).any() or (name in generated.rendered.divisors and (value == 0).any()):
                raise FloatingPointError(
                    "A coefficient that depends on the parameters only is not a number, or it is zero and "
                    f"something is divided by it: {generated.origin(name)}. "
                    "With method='exact' this happens where two time constants are equal, as in Brian2. "
                    "Keep them apart by their bounds, or choose method='exponential_euler' or 'rk4'."
                )


def _listed(record):
    """What to record as a list, where one variable or group was given alone."""
    alone = isinstance(record, str | VariableView) or hasattr(record, "variables")
    return [record] if alone else list(record)
