"""Random numbers by their place alone: both implementations, distributions, and what may not change them."""

import ctypes
import itertools

import numpy as np
import pytest
import torch
from brian2 import *
from scipy import stats

from brianbridge.generation.random_numbers import poisson_quantile
from brianbridge.kernels import compiler, random_rows
from brianbridge.kernels.call import Call
from brianbridge.surrogate import philox
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.noise import DrawnNoise
from brianbridge.surrogate.spike_gradients import FastSigmoid
from tests.agreement.differentiation import trained

WORDS = 2**32 - 1
#: Counter, key and result, from Random123 by Salmon et al.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORDS,) * 4, (WORDS,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
BACKENDS = pytest.mark.parametrize("backend", ["compiled", "eager"])
SEED = 0xFEDC_BA98_7654_3210
FUNCTIONS = {"rand": philox.uniform, "randn": philox.normal}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# -- the numbers themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_known_answers(counter, key, expected):
    assert tuple(int(x) for x in philox.philox4x32(map(torch.tensor, counter), key)) == expected
    words, keys = (ctypes.c_uint32 * 4)(*counter), (ctypes.c_uint32 * 2)(*key)
    random_rows.random_library(torch.float32).philox4x32(words, keys)
    assert tuple(words) == expected


def drawn(function, dtype, n, steps=range(1), trials=1, seed=SEED, place=7):
    return FUNCTIONS[function](seed, place, steps, trials, n, dtype, torch.device("cpu"))


def row_in_c(function, dtype, n, step, trial, first=0):
    words = [ctypes.c_uint32] * 3
    draw = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, *words)
    row = torch.zeros(n + 64, dtype=dtype)
    draw(random_rows.row_function(function, dtype))(row.data_ptr(), first, n, SEED, 7, step, trial)
    return row[:n]


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
@FLOATS
@pytest.mark.parametrize("function", ["rand", "randn"])
def test_c_and_pytorch_draw_the_same_bits(function, dtype, optimisation, monkeypatch):
    monkeypatch.setattr(compiler, "OPTIMISATION", optimisation)
    random_rows.random_library.cache_clear()
    for n in (1, 5, 16, 17, 64, 1000, 100_000):
        expected = drawn(function, dtype, n, range(2**32 - 1, 2**32 + 1), 2)
        for row, trial in itertools.product(range(2), range(2)):
            step = (2**32 - 1 + row) & WORDS
            assert torch.equal(row_in_c(function, dtype, n, step, trial), expected[row, trial])
    part = row_in_c(function, dtype, 1000, 0, 1, first=640)
    assert not part[:640].any() and torch.equal(part[640:], row_in_c(function, dtype, 1000, 0, 1)[640:])


@FLOATS
def test_distributions(dtype):
    uniform, normal = (drawn(f, dtype, 1000, range(20), 10).double() for f in ("rand", "randn"))
    assert uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.flatten(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.flatten(), "norm").pvalue > 0.01
    assert abs((normal**4).mean() - 3) < 5 * (96 / normal.numel()) ** 0.5
    assert 4 < normal.abs().max() < 6.5


@FLOATS
def test_neighbours_have_nothing_in_common(dtype):
    n = 10_000
    x = drawn("randn", dtype, n, range(2), 2).double()
    others = [x[0, 1], x[1, 0], x[0, 0].roll(1), x[0, 0].roll(16)]
    others += [
        drawn("randn", dtype, n, **change)[0, 0].double() for change in ({"seed": SEED + 1}, {"place": 8})
    ]
    for other in others:
        assert abs((x[0, 0] * other).mean()) < 4 / n**0.5
        assert abs((x[0, 0] ** 2 * other**2).mean() - 1) < 4 * (8 / n) ** 0.5


def test_numbers_do_not_depend_on_how_many_there_are():
    many = drawn("randn", torch.float32, 1000, range(3, 9), 5)
    for n in (1, 15, 16, 63, 65):
        assert torch.equal(drawn("randn", torch.float32, n, range(4, 6), 2), many[1:3, :2, :n])


def test_double_precision_uses_all_its_bits():
    numbers = drawn("rand", torch.float64, 1000)
    assert (numbers * 2**53 % 2 == 1).any() and torch.equal(numbers * 2**53, (numbers * 2**53).round())


# -- simulations ----------------------------------------------------------------------------------------


def noisy(n=70):
    """Random numbers in every kind of code: neurons and synapses of a grid, of a list, and of sorted ones."""
    cells = NeuronGroup(
        n,
        """dv/dt = (drive - v + s + g)/tau + sigma*(1 + v)*xi : 1
        s : 1
        g : 1
        count : 1
        drive : 1 (constant)
        tau : second (constant)
        sigma : second**-0.5 (constant)""",
        threshold="v > 1 + 0.1*rand()",
        reset="v = 0.1*randn()",
        method="milstein",
        name="cells",
    )
    cells.drive, cells.tau, cells.sigma = 1.1, 8 * ms, 2 * Hz**0.5
    cells.run_regularly("s = 0.05*poisson(clip(3*(1 + v), 0, 10)) - 0.1; count = s", dt=0.5 * ms)
    dense = Synapses(cells, cells, "w : 1 (constant)", on_pre="v_post += w*(rand() < 0.7)", name="dense")
    dense.connect()
    few = Synapses(cells, cells, "w : 1 (constant)", on_pre="v_post += w*randn()", delay=0.3 * ms, name="few")
    few.connect(j="(7*i + 3) % N_post")
    model = """dx/dt = (w - x)/(3*ms) + 0.2*xi*Hz**0.5 : 1 (clock-driven)
    w : 1 (constant)
    g_post = 0.1*x : 1 (summed)"""
    slow = Synapses(cells, cells, model, on_pre="x += 0.3*rand()", method="euler", name="slow")
    slow.connect(condition="(i + 2*j) % 11 == 0")
    dense.w, few.w, slow.w = "0.02*(rand() - 0.4)", 0.2, "rand() - 0.5"
    network = Network(cells, dense, few, slow)
    return trained(
        network, *(("cells", name) for name in ("drive", "tau", "sigma")), ("dense", "w"), ("slow", "w")
    )


RECORD = ["cells.v", "cells", "cells.count", "slow.x"]


@pytest.fixture(scope="module")
def model():
    start_scope()
    defaultclock.dt = 0.1 * ms
    return noisy()


def surrogate_of(model, **options):
    return Surrogate(model, FastSigmoid(width=0.3, height=0.3), **{"backend": "compiled", **options})


def run(surrogate, batch=3, steps=60, **options):
    options = {"seed": 3, "batch": batch, "initial": {"cells.v": "rand()"}, **options}
    return surrogate(duration=steps * surrogate.dt, record=RECORD, **options)


def gradients(surrogate, records):
    loss = torch.stack([(records[name].double() ** 2).mean() for name in RECORD]).sum()
    named = surrogate.named_values()
    return dict(zip(named, torch.autograd.grad(loss, list(named.values()))))


def assert_equal_records(found, expected):
    assert all([torch.equal(found[name], expected[name]) for name in RECORD])


def test_both_back_ends_draw_the_same(model):
    compiled, eager = (surrogate_of(model, dtype=torch.float64, backend=b) for b in ("compiled", "eager"))
    ours, theirs = run(compiled), run(eager)
    assert ours["cells"].sum() > 100 and ours["cells.count"].std() > 0.05
    assert torch.equal(ours["cells"], theirs["cells"]) and torch.equal(
        ours["cells.count"], theirs["cells.count"]
    )
    for name in RECORD:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-10, atol=1e-10)
    found, expected = gradients(compiled, ours), gradients(eager, theirs)
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-10 * value.abs().max()


@FLOATS
@BACKENDS
def test_noise_is_replayed(model, backend, dtype):
    surrogate = surrogate_of(model, backend=backend, dtype=dtype)
    with torch.no_grad():
        records = run(surrogate)
        again = run(surrogate, noise=records.noise, initial=None)
        expected = run(surrogate, initial=None)
        assert len(records.noise) == 8
        assert all([noise.shape[1] == 3 for noise in records.noise.values()])
        assert_equal_records(again, expected)
        assert all([torch.equal(again.noise[key], value) for key, value in records.noise.items()])


@BACKENDS
def test_a_part_of_the_trials_and_of_the_steps(model, backend):
    surrogate = surrogate_of(model, backend=backend)
    with torch.no_grad():
        all_trials, some = run(surrogate, 5), run(surrogate, 2, 30)
        rest = run(surrogate, None, 30, initial=some.final, seed=None)
    for name in RECORD:
        both = torch.cat([some[name], rest[name]])
        assert torch.equal(both, all_trials[name][:, :2])


def test_threads_and_segments_change_nothing(model):
    expected, reference = None, None
    for threads, segment in itertools.product((1, 2, 3), (None, 7)):
        torch.set_num_threads(threads)
        surrogate = surrogate_of(model, segment=segment, dtype=torch.float64)
        records = run(surrogate, 5)
        found = gradients(surrogate, records)
        expected, reference = expected or records, reference or found
        assert_equal_records(records, expected)
        for name, value in reference.items():
            assert (found[name] - value).abs().max() <= 1e-12 * value.abs().max()


@BACKENDS
def test_where_seeds_come_from(model, backend):
    surrogate = surrogate_of(model, backend=backend)

    def first(**options):
        with torch.no_grad():
            return run(surrogate, 1, 3, **options)["cells.v"]

    def from_generator(number):
        return first(seed=torch.Generator().manual_seed(number))

    torch.manual_seed(1)
    one, other = first(seed=None), first(seed=None)
    torch.manual_seed(1)
    assert torch.equal(first(seed=None), one) and not torch.equal(one, other)
    assert torch.equal(from_generator(1), from_generator(1))
    assert not torch.equal(from_generator(1), from_generator(2))
    assert torch.equal(first(seed=2**64 - 1), first(seed=-1)) and not torch.equal(
        first(seed=1), first(seed=2**32 + 1)
    )


def test_a_simulation_holds_no_noise(model, monkeypatch):
    """Neither back end has an array of all steps, unless it is asked for."""
    sizes, given = [], []
    draw, describe = DrawnNoise._drawn, Call._describe_draws

    def watched(self, draws):
        numbers = draw(self, draws)
        sizes.append((numbers.numel(), len(draws)))
        return numbers

    def described(self):
        given.extend(tensor.numel() for tensor, drawn in zip(self.noise, self.feed.draws) if drawn)
        describe(self)

    monkeypatch.setattr(DrawnNoise, "_drawn", watched)
    monkeypatch.setattr(Call, "_describe_draws", described)
    with torch.no_grad():
        records = run(surrogate_of(model), initial=None)
        assert given == [0] * 8 and not sizes
        run(surrogate_of(model, backend="eager"), 100, initial=None)
    assert max(size for size, steps in sizes if steps > 1) <= 2**16
    sizes.clear()
    assert records.noise is records.noise and len(sizes) >= 8


def test_gradients_to_given_noise(model):
    found = {}
    for backend in ("compiled", "eager"):
        surrogate = surrogate_of(model, backend=backend, dtype=torch.float64)
        with torch.no_grad():
            noise = run(surrogate, 2, 20, initial=None).noise
        key = "cells_stateupdater/0"
        noise[key] = noise[key].requires_grad_()
        records = run(surrogate, 2, 20, initial=None, noise=noise)
        (found[backend],) = torch.autograd.grad((records["cells.v"] ** 2).sum(), noise[key])
    torch.testing.assert_close(found["compiled"], found["eager"], rtol=1e-10, atol=1e-10)
    assert found["eager"].abs().max() > 0


# -- counts ---------------------------------------------------------------------------------------------


MEANS = [0, 1e-9, 0.02, 1, 7.3, 29.999, 30.5, 123.4, 5e3, 1e6]


@BACKENDS
def test_poisson_counts(backend):
    cells = NeuronGroup(len(MEANS) * 40, "mean : 1 (constant)\ncount : 1", name="cells")
    cells.mean = np.repeat(MEANS, 40)
    cells.run_regularly("count = poisson(mean)")
    network = Network(cells)
    surrogate = Surrogate(trained(network, ("cells", "mean")), dtype=torch.float64, backend=backend)
    with torch.no_grad():
        records = surrogate(duration=5 * ms, record="cells.count", seed=3, batch=10)
    (probability,) = records.noise.values()
    counts = records["cells.count"].numpy()
    assert np.array_equal(counts, poisson_quantile(probability.numpy(), np.repeat(MEANS, 40)))
    for mean, values in zip(MEANS, np.split(counts, len(MEANS), axis=2)):
        assert abs(values.mean() - mean) <= 4 * (mean / values.size) ** 0.5
        assert mean < 1 or abs(values.var() / mean - 1) < 4 * (3 / values.size) ** 0.5


def test_poisson_counts_that_do_not_exist():
    cells = NeuronGroup(3, "mean : 1 (constant)\ncount : integer", name="cells")
    cells.mean = [-1, 1e12, 2]
    cells.run_regularly("count = poisson(mean)")
    model = trained(Network(cells), ("cells", "mean"))
    counts = [
        Surrogate(model, backend=backend)(duration=1 * ms, record="cells.count", seed=1)["cells.count"]
        for backend in ("compiled", "eager")
    ]
    assert torch.equal(*counts) and (counts[0][..., :2] == np.iinfo(np.int32).min).all()


def test_poisson_numbers_have_53_bits_in_single_precision():
    cells = NeuronGroup(3, "count : integer", name="cells")
    cells.run_regularly("count = poisson(2.5)")
    surrogate = Surrogate(trained(Network(cells)), backend="compiled")
    records = surrogate(duration=5 * ms, record="cells.count", seed=3)
    (noise,) = records.noise.values()
    assert noise.dtype == torch.float64 and (noise != noise.float()).any()
    assert np.array_equal(records["cells.count"], poisson_quantile(noise, 2.5))
