"""Neuron groups: odd arithmetic, odd refractoriness, linked variables, code at regular times."""

# ruff: noqa: F841 - equations use names that the linter does not see

import numpy as np
import pytest
from brian2 import *

from brianbridge import Refused, wrap
from tests.agreement.comparison import agree


@pytest.mark.agrees("Equations: division and remainder of whole numbers and others")
def test_whole_and_fractional_division_of_either_sign():
    cells = NeuronGroup(
        40,
        """dv/dt = (column + row/3 + v % (i + 1) - v % (2*v) - v)/(5*ms) : 1
        column = i % 7 : integer
        row = i // 7 : integer
        n : integer (constant)
        x : 1 (constant)
        whole : integer
        rest : integer
        ratio : 1
        floored : 1
        remainder : 1
        mixed : 1""",
        method="euler",
    )
    cells.v, cells.n, cells.x = "0.3 + 0.1*i", "(i - 20)*37 + 1", "(i - 20)*17.3 + 1"
    cells.run_regularly("""whole = n // 98
    rest = n % 98
    ratio = n/3
    floored = x // 9.8
    remainder = x % 9.8
    mixed = x // n + n % x""")
    assert agree(Network(cells), 30).bit_equal


def test_multiples_that_rounding_hides():
    """0.5 // 0.1 is 4: the rounded quotient is 5, but the number that 0.1 stands for is a little larger."""
    cells = NeuronGroup(41, "x : 1\nfloored : 1\nbelow : 1\nremainder : 1\nby_time : 1", dt=100 * ms)
    cells.x = "0.1*(i - 20)"
    cells.run_regularly("""floored = x // 0.1
    below = x // -0.1
    remainder = x % 0.1
    by_time = (t/second) // 0.1 + i*((t/second) % 0.1)""")
    assert agree(Network(cells), 30).bit_equal


def test_division_by_zero_and_infinite_numbers():
    limit, nowhere = inf, -np.inf
    cells = NeuronGroup(
        5,
        """quotient = n // k : integer
        rest = n % k : integer
        n : integer
        k : integer (constant)
        x : 1
        y : 1
        z = clip(x, nowhere, limit) : 1""",
        threshold="x < inf and timestep(t, dt) % 2 == 0",
        reset="n += 1; x = z/k; y = x // k + x % k",
    )
    cells.n, cells.k, cells.x = "2*i", "i - 2", "i - 1.5"
    with np.errstate(all="ignore"):
        assert agree(Network(cells), 10).total_spikes > 10


@pytest.mark.agrees("Neurons: variables of other types, dtype=")
def test_whole_numbers_of_64_bits():
    cells = NeuronGroup(
        4,
        "count : integer\nsmall = count % 1000 : integer",
        threshold="count % 2 == 0",
        reset="count += 4 + 2*i",
        dtype={"count": np.int64},
    )
    cells.count = 2**40 + np.arange(4)
    assert agree(Network(cells), 30).total_spikes > 10


def test_values_held_over_a_step_follow_from_each_other():
    cells = NeuronGroup(
        8,
        """dv/dt = (later + draw - v*held)/(5*ms) : 1
        later = 2*between : 1 (constant over dt)
        between = 1 + held : 1 (constant over dt)
        held = v : 1 (constant over dt)
        draw = rand() - 0.5 : 1 (constant over dt)
        du/dt = (free - u**2)/(5*ms) : 1
        free = u : 1""",
        threshold="v > 1.5",
        reset="v = 0",
        method="rk2",
    )
    cells.v, cells.u = "rand()", "i/N"
    assert agree(Network(cells), 200).total_spikes > 10


def test_names_that_are_known_late_or_mean_the_groups_own():
    cells = NeuronGroup(
        3,
        "dv/dt = (gain*level - v)/tau : 1\nlevel : 1",
        threshold="v > theta",
        reset="v = 0.1*i/N",
        method="exact",
        namespace={},
    )
    later = NeuronGroup(3, "dv/dt = (gain - v)/tau : 1", method="exact")
    cells.namespace.update(tau=5 * ms, gain=1.5, theta=1)
    cells.level = "1 + i/N"
    tau, gain, level, i, N, dt = 7 * ms, 0.8, 100, 5, 30, 1 * second  # the last four are not meant
    assert agree(Network(cells, later), 300).total_spikes > 5


def test_events_without_condition_and_resets_in_several_lines():
    always = NeuronGroup(2, "v : 1", threshold="True", reset="v += 1")
    never = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", threshold="False", reset="v = 7", method="exact")
    empty = NeuronGroup(3, "", threshold="i < 2 and timestep(t, dt) % 3 == i", name="empty")
    several = NeuronGroup(
        4,
        "dv/dt = 100*Hz : 1\nw : 1",
        threshold="v > 1",
        reset="""half = v/2

        w += half  # a local name is no variable
        v -= 2*half
        w /= 1.5""",
        method="euler",
    )
    several.v = "i*0.25"
    result = agree(Network(always, never, empty, several), 200)
    assert result.spikes["empty.spike"] == 134


@pytest.mark.agrees("Neurons: custom events in a slot and order of their own")
def test_events_in_a_slot_and_order_of_their_own():
    cells = NeuronGroup(
        4,
        "dv/dt = 200*Hz : 1\nseen : second\nx : 1\ny : 1",
        threshold="v > 1",
        reset="v = 0; y = x",
        events={"marked": "x > 0", "due": "timestep(t, dt) % 20 == 5*i"},
        method="euler",
    )
    cells.set_event_schedule("marked", when="after_resets", order=1)
    cells.run_on_event("due", "x = 1 + v")
    cells.run_on_event("marked", "seen = t; x = 0", when="after_resets", order=2)
    cells.v = "0.25*i"
    result = agree(Network(cells), 200)
    assert result.spikes["neurongroup.marked"] == result.spikes["neurongroup.due"] == 40


def test_values_assigned_in_pieces_by_condition_and_by_text():
    cells = NeuronGroup(
        10,
        "dv/dt = (I - v)/(5*ms) : volt\nI : volt\nscale : 1 (shared)",
        threshold="v > mV",
        reset="v = 0*mV",
    )
    extra = 2 * mV
    cells.I = np.arange(10)[::-1] * 0.2 * mV
    cells.I[:3] = "I + extra + (N + i)*0.1*mV"
    cells.I["i >= 7 and I < extra"] = "(1 + rand())*mV"
    cells.I[5] = "3*mV"
    cells.I *= 1.1
    cells[2:4].I += 0.1 * mV
    cells.v["rand() < 0.5"] = 0.3 * mV
    cells.v_[4] = 2e-4
    cells.scale = "scale + 2"
    cells.set_states({"v": np.array(cells.v) + 1e-5}, units=False)
    assert agree(Network(cells), 200).total_spikes > 10


# -- refractoriness -------------------------------------------------------------------------------------

PERIODS = [
    "(t - lastspike + 1e-3*dt) < 2*ms",
    "timestep(t - lastspike, dt) < timestep(period, dt)",
    "number*ms",
    "recent",
    "since + 1e-3*dt < period",
]


@pytest.mark.agrees("Neurons: refractoriness by lastspike, t and timestep()")
def test_refractoriness_written_out():
    def cells(refractory):
        group = NeuronGroup(
            4,
            """dv/dt = 250*Hz : 1 (unless refractory)
            dw/dt = 250*Hz : 1
            period : second
            number : 1
            since = t - lastspike : second
            recent = timestep(since, dt) < timestep(period, dt) : boolean""",
            threshold="v > 1",
            reset="v = 0; w = 0",
            refractory=refractory,
            method="euler",
        )
        group.v, group.period, group.number = "0.2*i", "(1 + i)*ms", "1 + 0.5*i"
        return group

    result = agree(Network([cells(period) for period in PERIODS]), 200)
    assert min(result.spikes.values()) >= 10


@pytest.mark.parametrize("legacy", [False, True])
def test_refractory_steps_are_counted_as_brian2_counts_them(legacy):
    before, prefs.legacy.refractory_timing = prefs.legacy.refractory_timing, legacy
    try:
        cells = NeuronGroup(1, "", threshold="True", refractory=10 * defaultclock.dt)
        result = agree(Network(cells), 500)
    finally:
        prefs.legacy.refractory_timing = before
    assert result.total_spikes == (48 if legacy else 50)


def test_refractory_for_one_step_only():
    drive = NeuronGroup(1, "", threshold="True")
    cells = NeuronGroup(
        3,
        "dv/dt = 0/ms : 1 (unless refractory)\ndw/dt = 0/ms : 1",
        threshold="timestep(t, dt) % 4 == i",
        refractory="False",
        method="euler",
    )
    synapses = Synapses(drive, cells, on_pre="v_post += 1; w_post += int(not_refractory_post)")
    synapses.connect()
    result = agree(Network(drive, cells, synapses), 40)
    np.testing.assert_array_equal(result.records[f"{cells.name}.v"], result.records[f"{cells.name}.w"])


def test_flag_without_a_refractory_period_and_period_without_a_threshold():
    flagged = NeuronGroup(
        3,
        "dv/dt = (1.5 - v)/(5*ms) : 1 (unless refractory)",
        threshold="v > 1",
        reset="v = 0",
        method="exact",
    )
    silent = NeuronGroup(3, "dv/dt = -v/(5*ms) : 1 (unless refractory)", refractory=2 * ms, method="exact")
    flagged.v, silent.v = "rand()", "rand()"
    assert agree(Network(flagged, silent), 200).total_spikes > 5


# -- linked variables -----------------------------------------------------------------------------------


def test_linked_variables():
    source = NeuronGroup(
        6,
        "dv/dt = (1.2 + 0.1*i - v)/(5*ms) : 1\nrate = clip(v, 0.2, inf)*2 : 1",
        threshold="v > 1",
        reset="v = 0",
        method="exact",
        name="source",
    )
    single = NeuronGroup(1, "dx/dt = -x/(10*ms) : 1", method="exact", name="single")
    common = NeuronGroup(3, "level : 1 (shared)", name="common")
    reader = NeuronGroup(
        12,
        """dy/dt = (doubled + chosen + x + level - y)/(8*ms) : 1
        whole : 1 (linked)
        mirrored : 1 (linked)
        chosen : 1 (linked)
        part : 1 (linked)
        rates : 1 (linked)
        x : 1 (linked)
        level : 1 (linked)
        doubled = whole + clip(mirrored, 0, 0.8) + part + rates : 1
        which : integer (constant)""",
        threshold="y > 2 and whole < 0.9",
        reset="y = x",
        method="euler",
        name="reader",
    )
    copied = NeuronGroup(6, "rate : 1 (linked)\ndu/dt = (rate - u)/ms : 1", method="exact", name="copied")
    chained = NeuronGroup(12, "z : 1 (linked)\nalso = z + 1 : 1", name="chained")
    last = NeuronGroup(24, "z : 1 (linked)\ndu/dt = (z - u)/ms : 1", method="euler", name="last")
    middle = source[2:5]
    copied.rate = linked_var(source.rate)
    reader.whole = linked_var(source, "v", index=np.arange(6).repeat(2))
    reader.mirrored = linked_var(source.v, index=np.arange(12)[::-1] // 2)
    reader.chosen = linked_var(source.v, index="which")
    reader.part = linked_var(middle.v, index=np.arange(12) % 3)
    reader.rates = linked_var(source.rate, index=np.arange(12) % 6)
    reader.x, reader.level = linked_var(single.x), linked_var(common, "level")
    chained.z = linked_var(reader.mirrored, index=(np.arange(12) + 5) % 12)
    last.z = linked_var(chained.z, index=np.arange(12).repeat(2))
    reader.which, single.x, common.level = "(5*i) % 6", 1, 0.3
    synapses = Synapses(reader, reader, on_pre="y_post += 0.1")
    synapses.connect(j="(i + 1) % N_post")
    network = Network(source, single, common, reader, copied, chained, last, synapses)
    assert agree(network, 200).spikes["reader.spike"] > 5


def test_linked_variables_are_written_through():
    counters, one = NeuronGroup(4, "n : 1", name="counters"), NeuronGroup(1, "n : 1", name="one")
    cells = NeuronGroup(
        4,
        "dv/dt = 300*Hz : 1\nspikes : 1 (linked)",
        threshold="v > 1",
        reset="v = 0.1*spikes; spikes += 1",
        method="euler",
        name="cells",
    )
    alone = NeuronGroup(
        1, "dv/dt = 300*Hz : 1\nn : 1 (linked)", threshold="v > 1", reset="v = 0; n += 2", method="euler"
    )
    cells.spikes, alone.n = linked_var(counters, "n"), linked_var(one, "n")
    cells.v = "0.2*i"
    result = agree(Network(counters, one, cells, alone), 200)
    assert result.records["counters.n"][-1].min() > 3


@pytest.mark.refused("Neurons: variables.add_reference()", why="Brian2 does not keep what it refers to")
def test_variables_shared_by_reference_are_refused():
    source = NeuronGroup(5, "out = sin(2*pi*t*freq) + x : 1\nx : 1\nfreq : Hz (shared)", name="source")
    reader = NeuronGroup(5, "dy/dt = (out - y)/ms : 1", method="euler", name="reader")
    reader.variables.add_reference("out", source)
    with pytest.raises(Refused, match="reader.*out"):
        wrap(Network(source, reader))


# -- code at regular times ------------------------------------------------------------------------------


def test_regular_code_in_its_slot_and_order():
    cells = NeuronGroup(
        3, "a : 1\nb : 1\nc : 1\nd : 1\nx_0 : 1\nx_1 : 1\ndv/dt = (a + x_1 - v)/ms : 1", method="euler"
    )
    cells.run_regularly("c = a", order=-2)
    cells.run_regularly("a += 1 + i")
    cells.run_regularly("b = a", order=3)
    cells.run_regularly("d = a + v", when="before_start")
    cells.run_regularly("x_1 = x_0\nx_0 = -a", when="end")
    result = agree(Network(cells), 30)
    assert (result.records[f"{cells.name}.b"] > result.records[f"{cells.name}.c"]).all()


def test_regular_code_at_its_own_time_step():
    cells = NeuronGroup(
        4, "dv/dt = (1.5 - v)/(5*ms) + 0.1*xi*ms**-0.5 : 1\nkick : 1", threshold="v > 1", reset="v = 0"
    )
    network = Network(cells)  # what is added to the group later belongs to it all the same
    cells.run_regularly("kick = 0.1*rand()", dt=1 * ms)
    cells.run_regularly("v += kick", dt=0.5 * ms, when="after_thresholds")
    assert agree(network, 200).total_spikes > 5


def test_regular_code_writes_shared_variables():
    cells = NeuronGroup(
        5,
        """level : 1 (shared)
        number : integer (shared)
        flag : boolean (shared)
        own : 1
        k : integer
        b : boolean""",
    )
    cells.run_regularly(
        """level = level + 0.5
        number = number + 2
        flag = not flag
        own = level*i
        k = 2
        b = own > 2""",
        dt=0.2 * ms,
    )
    assert agree(Network(cells), 30).records[f"{cells.name}.level"][-1].max() == 7.5


@pytest.mark.parametrize("code", ["w = v; v += 1", "w = v; w += 1; u = v", "old = v; v -= 1; w += old"])
@pytest.mark.refused(
    "Equations: an array changed under two names", why="Brian2's targets do not agree about it"
)
def test_two_names_for_one_array_are_refused(code):
    """Brian2's numpy target changes both, its other targets do not."""
    cells = NeuronGroup(3, "v : 1\nw : 1\nu : 1", threshold="i > 0", reset=code, name="cells")
    cells.v = "i"
    with pytest.raises(Refused, match=r"clip\(v, -inf, inf\)"):
        wrap(Network(cells))
    cells.event_codes["spike"] = code.replace("= v", "= clip(v, -inf, inf)", 1)
    agree(Network(cells), 5)
