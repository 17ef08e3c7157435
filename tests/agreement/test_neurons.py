"""Neuron models and integrators: the surrogate takes Brian2's own steps."""

# ruff: noqa: F841 - equations use names that the linter does not see

import numpy as np
import pytest
from brian2 import *

from tests.agreement.comparison import agree


@pytest.mark.agrees("Neurons: thresholds and resets")
def test_leaky_integrate_and_fire():
    tau = 10 * ms
    cells = NeuronGroup(
        20,
        """dv/dt = (v_rest - v + R*I)/tau_m : volt
        v_rest : volt (constant)
        R : ohm (constant)
        tau_m : second (constant)
        I : amp (constant)
        theta : volt (constant)""",
        threshold="v > theta",
        reset="v = v_rest",
        method="euler",
    )
    cells.v_rest, cells.R, cells.theta = "-70*mV + rand()*mV", "rand()*40*Mohm", "-50*mV + rand()*mV"
    cells.tau_m, cells.I = "tau + rand()*10*ms", "rand()*2*nA"
    cells.v = cells.v_rest
    result = agree(Network(cells))
    assert result.bit_equal
    assert result.total_spikes > 50


@pytest.mark.agrees("Neurons: parameters written by resets")
def test_adaptive_exponential():
    C, gL, EL, VT, DeltaT = 281 * pF, 30 * nS, -70.6 * mV, -50.4 * mV, 2 * mV
    tauw, a, b, Vr, Vcut = 144 * ms, 4 * nS, 80.5 * pA, -70.6 * mV, -40.4 * mV
    cells = NeuronGroup(
        10,
        """dvm/dt = (gL*(EL - vm) + gL*DeltaT*exp((vm - VT)/DeltaT) + I - w)/C : volt
        dw/dt = (a*(vm - EL) - w)/tauw : amp
        I : amp""",
        threshold="vm > Vcut",
        reset="vm = Vr; w += b",
        method="euler",
    )
    cells.vm, cells.I = EL, "(0.6 + 0.1*i)*nA"
    result = agree(Network(cells), 2000)
    assert result.total_spikes > 50


def hodgkin_huxley():
    area = 20000 * umetre**2
    return NeuronGroup(
        5,
        """dv/dt = (gl*(El - v) - g_na*(m*m*m)*h*(v - ENa) - g_kd*(n*n*n*n)*(v - EK) + I)/Cm : volt
        dm/dt = 0.32*(mV**-1)*4*mV/exprel((13*mV - v + VT)/(4*mV))/ms*(1 - m)
              - 0.28*(mV**-1)*5*mV/exprel((v - VT - 40*mV)/(5*mV))/ms*m : 1
        dn/dt = 0.032*(mV**-1)*5*mV/exprel((15*mV - v + VT)/(5*mV))/ms*(1. - n)
              - .5*exp((10*mV - v + VT)/(40*mV))/ms*n : 1
        dh/dt = 0.128*exp((17*mV - v + VT)/(18*mV))/ms*(1. - h)
              - 4./(1 + exp((40*mV - v + VT)/(5*mV)))/ms*h : 1
        I : amp (constant)""",
        threshold="v > -40*mV",
        refractory="v > -40*mV",
        method="exponential_euler",
        namespace=dict(
            Cm=1 * ufarad * cm**-2 * area,
            gl=5e-5 * siemens * cm**-2 * area,
            El=-65 * mV,
            EK=-90 * mV,
            ENa=50 * mV,
            g_na=100 * msiemens * cm**-2 * area,
            g_kd=30 * msiemens * cm**-2 * area,
            VT=-63 * mV,
        ),
        dt=0.02 * ms,
    )


def test_hodgkin_huxley():
    cells = hodgkin_huxley()
    cells.v, cells.I = -65 * mV, "(0.2 + 0.3*i)*nA"
    result = agree(Network(cells), 1000)
    assert result.total_spikes >= 4


def test_izhikevich_with_noise_from_brian2s_random_numbers():
    cells = NeuronGroup(
        20,
        """dv/dt = (0.04*v**2 + 5*v + 140 - u + I)/ms : 1
        du/dt = a*(b*v - u)/ms : 1
        I = 5*randn() : 1 (constant over dt)
        a : 1 (constant)
        b : 1 (constant)
        c : 1 (constant)
        d : 1 (constant)""",
        threshold="v >= 30",
        reset="v = c; u += d",
        method="euler",
        dt=0.5 * ms,
    )
    cells.a, cells.b, cells.c, cells.d = 0.02, 0.2, "-65 + 15*rand()**2", "8 - 6*rand()**2"
    cells.v, cells.u = -65, "b*v"
    result = agree(Network(cells))
    assert result.bit_equal
    assert result.total_spikes > 10


EXPLICIT = ["euler", "rk2", "rk4"]


@pytest.mark.parametrize("method", EXPLICIT)
@pytest.mark.agrees("State updaters: euler, rk2, rk4, exponential_euler")
def test_explicit_methods_on_a_nonlinear_model(method):
    tau = 10 * ms
    drive = TimedArray(np.random.rand(20, 3), dt=3 * ms)
    cells = NeuronGroup(
        6,
        """dv/dt = (v*(1 - v)*(v + 2) - u + 2*drive(t, i % 3)*gain)/tau : 1
        du/dt = (0.7*v**3 - sin(u) + exp(-u**2))/(2*tau) : 1
        gain : 1 (constant)""",
        threshold="v > 1.2",
        reset="v -= 1.5",
        method=method,
    )
    cells.v, cells.u, cells.gain = "rand()", "rand()", "rand() + 1"
    result = agree(Network(cells))
    assert result.total_spikes > 0


@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.agrees("State updaters: euler and heun with additive noise", "Randomness: xi")
def test_stochastic_methods_with_additive_noise(method):
    tau, sigma = 10 * ms, 5 * mV
    cells = NeuronGroup(
        8,
        """dv/dt = (I - v)/tau + sigma*sqrt(2/tau)*xi_1 + 0.2*sigma*xi_shared*tau**-0.5 : volt
        dI/dt = -I/(3*tau) + sigma*xi_shared*tau**-0.5 : volt""",
        threshold="v > 5*mV",
        reset="v = 0*mV",
        method=method,
    )
    result = agree(Network(cells))
    assert result.total_spikes > 0
    assert len(result.records.noise) == 2


@pytest.mark.parametrize("method", ["heun", "milstein"])
@pytest.mark.agrees("State updaters: heun and milstein with multiplicative noise")
def test_stochastic_methods_with_multiplicative_noise(method):
    tau = 10 * ms
    cells = NeuronGroup(
        8,
        """dx/dt = (1 - x)/tau + 0.3*x*xi*tau**-0.5 : 1
        dy/dt = (x - y)/tau : 1""",
        threshold="y > 1.05",
        reset="y -= 0.5",
        method=method,
    )
    cells.x = "rand()"
    result = agree(Network(cells))
    assert result.total_spikes > 0


@pytest.mark.parametrize("method", ["exact", "linear", "independent", "exponential_euler"])
@pytest.mark.agrees("State updaters: exact, linear, independent")
def test_exact_methods(method):
    tau_s, tau_m = 5 * ms, 10 * ms
    coupled = "" if method == "independent" else "+ g"
    cells = NeuronGroup(
        8,
        f"""dv/dt = (I - v {coupled})/tau : volt
        dg/dt = -g/tau_s : volt
        I : volt (constant)
        tau : second (constant)""",
        threshold="v > 10*mV",
        reset="v = 0*mV; g += 3*mV",
        method=method,
    )
    cells.I, cells.tau, cells.g = "15*mV + rand()*5*mV", "tau_m*(1 + rand())", "rand()*10*mV"
    result = agree(Network(cells))
    assert result.total_spikes > 20


@pytest.mark.agrees("State updaters: a list of candidates")
def test_method_chosen_from_brian2s_list():
    cells = NeuronGroup(3, "dv/dt = (1.5 - v)/(10*ms) : 1", threshold="v > 1", reset="v = 0")
    assert agree(Network(cells)).total_spikes > 0


@pytest.mark.parametrize("n", [1, 7])
def test_powers_to_the_last_bit(n):
    # numpy takes powers of arrays, also of one element, in another way than powers of numbers
    tau, q10 = 10 * ms, 2.3
    cells = NeuronGroup(
        n,
        """dv/dt = (2**v - v + i**0.5 + 2**i*0.01 + kind**v + q10**(q/10) + v**3 + 0.1*s**2.5)/tau : 1
        dw/dt = (v**0.3 - w + int(v > 1)**2 + (s*t/ms)**1.5)/tau : 1
        kind : integer
        q : 1
        s : 1 (shared)""",
        threshold="v > 1.5",
        reset="v = q**3.7",
        method="euler",
    )
    cells.kind, cells.q, cells.s, cells.v = "i + 1", "rand()", 1.7, "rand()"
    result = agree(Network(cells))
    assert result.bit_equal
    assert result.total_spikes > 3


def test_infinite_bounds():
    ceiling = inf
    cells = NeuronGroup(
        3,
        """dv/dt = (clip(v, -inf*mV, inf*mV) + clip(I, 0*mV, ceiling*mV) - 2*v)/(10*ms) : volt
        dw/dt = (int(v < inf*mV) - w)/(5*ms) : 1
        I : volt""",
        threshold="v > 1*mV and v < ceiling*mV",
        reset="v = 0*mV",
        method="euler",
    )
    cells.I = "i*2*mV"
    result = agree(Network(cells), 300)
    assert result.bit_equal
    assert result.total_spikes > 3


@pytest.mark.agrees("Randomness: randn()", "Randomness: rand()")
def test_noise_in_reset_and_threshold():
    cells = NeuronGroup(
        10,
        "dv/dt = (2 - v)/(10*ms) : 1",
        threshold="v > 1 and rand() < 0.3",
        reset="v = 0.5*rand() - 0.1*rand() + 0.01*randn()",
        method="exact",
    )
    result = agree(Network(cells), 600)
    assert result.bit_equal
    assert result.total_spikes > 20
    assert len(result.records.noise) == 4


def test_spontaneous_firing_by_probability():
    cells = NeuronGroup(10, "rates : Hz (constant)", threshold="rand() < rates*dt")
    cells.rates = "100*Hz + 10*i*Hz"
    result = agree(Network(cells), 600)
    assert result.total_spikes > 20
