"""Integration methods: as text, object, function or list; names, noise and times that are easily lost."""

# ruff: noqa: F841 - equations use names that the linter does not see

import pytest
from brian2 import *
from brian2.stateupdaters.base import StateUpdateMethod

from brianbridge.comparison.side_by_side import Brian2Failed
from brianbridge.comparison.side_by_side import compare as compare_live
from tests.agreement.comparison import agree


def pendulum(method, extra="", **options):
    return NeuronGroup(
        3,
        f"dx/dt = y : 1\ndy/dt = -0.5*ms**-1*y - sin(x)*4*ms**-2 {extra} : Hz",
        threshold="x > 1",
        reset="x = 0.5*x",
        method=method,
        **options,
    )


RALSTON = """k1 = dt*f(x, t)
k2 = dt*f(x + 2*k1/3, t + 2*dt/3)
x_new = x + k1/4 + 3*k2/4"""
NOISY = """x_support = x + dt*f(x, t) + dt**.5*g(x, t)
g_support = g(x_support, t)
k = 1/(2*dt**.5)*(g_support - g(x, t))*(dW**2)
x_new = x + dt*f(x, t) + g(x, t)*dW + k"""


@pytest.mark.agrees("State updaters: objects, also ExplicitStateUpdater")
def test_methods_given_as_objects():
    cells = [pendulum(method) for method in (euler, rk4, ExplicitStateUpdater(RALSTON))]
    for group in cells:
        group.x, group.y = "0.4 + 0.3*i", "100*i*Hz"
    assert agree(Network(cells), 100).total_spikes > 2


@pytest.mark.agrees("State updaters: registered by name")
def test_registered_methods():
    StateUpdateMethod.register("ralston_", ExplicitStateUpdater(RALSTON))
    StateUpdateMethod.register("noisy_", ExplicitStateUpdater(NOISY, stochastic="multiplicative"))
    try:
        cells = NeuronGroup(3, "dx/dt = (t/ms - x**2)/ms : 1", method="ralston_")
        noisy = NeuronGroup(3, "dx/dt = -x/(9*ms) + 0.3*x*xi*ms**-0.5 : 1", method="noisy_")
        noisy.x = "1 + i"
        assert len(agree(Network(cells, noisy), 100).records.noise) == 1
    finally:
        del StateUpdateMethod.stateupdaters["ralston_"], StateUpdateMethod.stateupdaters["noisy_"]


def test_a_method_without_a_name_for_noise():
    cells = NeuronGroup(
        3,
        "dx/dt = -x/(9*ms) + 0.3*x*xi*ms**-0.5 : 1",
        method=ExplicitStateUpdater(NOISY, stochastic="multiplicative"),
    )
    cells.x = "1 + i"
    agree(Network(cells), 100)


@pytest.mark.agrees("State updaters: a function of your own")
def test_a_method_that_is_a_function():
    def halving(equations, variables, options=None):
        return "\n".join(f"{name} = 0.5*{name} + dt*{name}*i/ms" for name in equations.diff_eq_names)

    cells = NeuronGroup(3, "dv/dt = -v/ms : 1", threshold="v < 0.1", reset="v += 2", method=halving)
    cells.v = "1 + i"
    agree(Network(cells), 50)


def test_names_that_descriptions_of_methods_use_themselves():
    k, k_1, k_2, dW = 5, 0.3, 0.7, 0.4
    tau = 10 * ms
    cells = NeuronGroup(
        3,
        """dx/dt = (k - k_1*x - f)/tau : 1
        df/dt = (g - k_2*f)/tau : 1
        dg/dt = (x - g)/tau : 1""",
        method="rk4",
    )
    noisy = NeuronGroup(3, "dg/dt = -g/tau + k*xi*tau**-0.5*0.1 : 1\nf : 1", method="milstein")
    cells.x, cells.f, cells.g = "0.1*i", "0.2*i", "0.3*i"
    assert agree(Network(cells, noisy), 100).records.noise


@pytest.mark.parametrize("method", [("exact", "exponential_euler", "rk4"), None])
def test_the_first_method_that_works(method):
    options = {} if method is None else {"method": method}
    linear = NeuronGroup(2, "dv/dt = (1 - v)/(10*ms) : 1", **options)
    conditional = NeuronGroup(2, "dv/dt = -(v + w**2)/(10*ms) : 1\ndw/dt = -w/(9*ms) : 1", **options)
    free = NeuronGroup(2, "dv/dt = -sqrt(v)/(10*ms) : 1", **options)
    groups = [linear, conditional, free]
    conditional.w = free.v = "1 + i"
    if method is None:
        additive = NeuronGroup(2, "dv/dt = -v/(10*ms) + xi*(9*ms)**-0.5 : 1")
        multiplied = NeuronGroup(2, "dv/dt = -v/(10*ms) + 0.1*v*xi*(9*ms)**-0.5 : 1")
        additive.v = multiplied.v = "1 + i"
        groups += [additive, multiplied]
    agree(Network(groups), 50)


def test_several_noise_variables():
    own, shared = "0.3*ms**-1.5*xi_2", "0.5*ms**-1.5*xi_1 + 0.2*ms**-1.5*xi_2"
    variants = [("euler", 0, shared), ("heun", 0, shared), ("euler", 0.5, own), ("heun", 0.5, own)]
    groups = [
        NeuronGroup(
            2,
            f"dx/dt = y + {first}*ms**-0.5*xi_1 : 1\ndy/dt = {second} - y/(9*ms) - x*ms**-2 : Hz",
            method=method,
        )
        for method, first, second in [*variants, ("milstein", 0.5, "0*ms**-2")]
    ]
    result = agree(Network(groups), 60)
    assert len(result.records.noise) == 9
    x = result.records[f"{groups[0].name}.x"][-1, 0]
    assert x[0] != x[1]  # every neuron draws its own numbers


def test_noise_of_an_amplitude_that_changes_between_steps():
    amplitude = TimedArray([0, 1, 0.3], dt=10 * defaultclock.dt)
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) + amplitude(t)*xi*(5*ms)**-0.5 : 1", method="euler")
    agree(Network(cells), 40)


def test_exact_methods_take_timed_inputs_for_constant_during_a_step():
    slow, even = TimedArray([1, 0.2, 2], dt=3 * defaultclock.dt), TimedArray([1, 2, 0.5], dt=defaultclock.dt)
    scaled = NeuronGroup(2, "dv/dt = -v*even(t)/(10*ms) : 1", method="exact")
    driven = NeuronGroup(
        2, "dv/dt = -v/(10*ms) + slow(t)*Hz + sin(2*pi*100*Hz*5*second)*Hz : 1", method="exact"
    )
    scaled.v = driven.v = "1 + i"
    agree(Network(scaled, driven), 20)


def test_methods_while_refractory_and_through_subexpressions():
    def cells(method):
        group = NeuronGroup(
            4,
            """dv/dt = current/tau : 1 (unless refractory)
            current = -v + drive : 1
            drive = 1.2 + 0.1*i : 1
            tau = 5*ms*(1 + scale) : second (shared)
            scale : 1 (shared)""",
            threshold="v > 1",
            reset="v = 0",
            refractory=1 * ms,
            method=method,
            method_options={"simplify": False} if method == "exact" else None,
        )
        group.scale = 0.2
        return group

    methods = ["exact", "exponential_euler", "rk2"]
    assert min(agree(Network([cells(method) for method in methods]), 200).spikes.values()) > 4


def test_noisy_methods_while_refractory():
    groups = [
        NeuronGroup(
            4,
            "dv/dt = (1.2 - v)/(5*ms) + 0.2*xi*(5*ms)**-0.5 : 1 (unless refractory)",
            threshold="v > 1",
            reset="v = 0",
            refractory=1 * ms,
            method=method,
        )
        for method in ("euler", "heun", "milstein")
    ]
    assert min(agree(Network(groups), 200).spikes.values()) > 4


@pytest.mark.parametrize(
    "equations, method, said",
    [
        ("dv/dt = -v/ms + v*xi*ms**-0.5 : 1", "euler", "multiplicative noise"),
        ("dv/dt = -v/ms + xi*ms**-0.5 : 1", "rk4", "stochastic equations"),
        ("dv/dt = -v/ms + sin(2*pi*100*Hz*t)*Hz : 1", "exact", "constant over a time step"),
        ("dv/dt = -v/ms + rand()*Hz : 1", "exact", "rand()"),
        ("dv/dt = -sqrt(v)/ms : 1", "exponential_euler", "conditionally linear"),
        ("dv/dt = -v/ms : 1", "does_not_exist", "No state updater"),
    ],
)
def test_what_brian2_does_not_integrate_is_said_in_its_words(equations, method, said):
    cells = NeuronGroup(1, equations, method=method, name="cells")
    with pytest.raises(Brian2Failed, match="cells_stateupdater") as failed:
        compare_live(Network(cells), {}, 10)
    assert said in str(failed.value)
