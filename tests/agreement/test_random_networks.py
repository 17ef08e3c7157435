"""Random networks over the whole language: inputs, operations, links, events, clocks, and runs in a row.

Every example is a short Brian2 script; a failing one is shrunk and printed as such.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agreement.random_scripts import RANDOM, check

STEPS = 60
OPERATIONS = [
    "x = rand()",
    "x = v + 0.1*i; k += 1",
    "v += 0.05*randn()",
    "x = clip(x + poisson(0.3*(1 + x)), 0, 5)",
    "calm = v < 0.5; x = int(calm)*0.3",
    "level = 0.1*randn()",
]
ON_PRE = [
    "v_post += w",
    "x_post += w*rand(); w *= 0.95",
    "x_post = 0.4",
    "x_post *= 0.5",
    "v_post += w*s; s = s + 0.3*(1 - s)",
    "v_pre -= 0.02*w; k_post += 1",
    "v_post += w*poisson(1.5)",
]
ON_POST = [None, "w = clip(w + 0.05*s, 0, 1)", "s *= 0.5", "x_pre += 0.1*randn()"]
SYNAPSE_EQUATIONS = [
    "ds/dt = -s/(4*ms) : 1 (event-driven)",
    "ds/dt = -s/(4*ms) : 1 (clock-driven)",
    "ds/dt = -s/(4*ms) + 0.2*xi*(4*ms)**-0.5 : 1 (clock-driven)",
    "s : 1",
]
INPUTS = [
    "0.3",
    "0.2*level",
    "stimulus(t)",
    "patterns(t, i)",
    "0.4*sin(t/(2*ms))",
    "y",
    "0.1*(k % 3)",
    "current",
]


def pairs(draw, n, m):
    one = st.tuples(st.integers(0, n - 1), st.integers(0, m - 1))
    return draw(st.lists(one, min_size=1, max_size=10, unique=True))


def delay(draw, name, count):
    kind = draw(st.sampled_from(["", f"{name}.delay = 0.4*ms", f"{name}.delay = 3*rng.random({count})*ms"]))
    return [kind] if kind else []


@st.composite
def cells(draw):
    n = draw(st.integers(2, 5))
    dt = draw(st.sampled_from(["", ", dt=0.2*ms"]))
    refractory = draw(
        st.sampled_from(["", ", refractory=1.3*ms", ", refractory='v > 0.6'", ", refractory='hold'"])
    )
    flag = draw(st.sampled_from(["", " (unless refractory)"])) if refractory else ""
    reset = draw(st.sampled_from(["v = 0", "v -= 0.8; x += 0.2", "v = 0.1*rand()", "v = 0; hold *= 0.9"]))
    drive = " + ".join(draw(st.lists(st.sampled_from(INPUTS), min_size=1, max_size=3, unique=True)))
    lines = [
        f"dv/dt = (1.1 - v + x + {drive})/(6*ms) : 1{flag}",
        "dz/dt = (v - z)/(12*ms) : 1",
        f"current = 0.3*z : 1{draw(st.sampled_from(['', ' (constant over dt)']))}",
        "x : 1",
        "y : 1 (linked)",
        "level : 1 (shared)",
        "hold : second",
        "k : integer",
        "calm : boolean",
    ]
    text = "\n    ".join(lines)
    event = draw(st.booleans())
    options = ", events={'high': 'z > 0.7'}" if event else ""
    script = [
        f'cells = NeuronGroup({n}, """{text}""", threshold="v > 1", reset="{reset}"{refractory}{options}'
        f'{dt}, method="euler", name="cells")',
        f"cells.v = rng.random({n})",
        "cells.hold = 1*ms",
        f'other = NeuronGroup({n}, "du/dt = (0.5 - u)/(9*ms) : 1\\ntwice = 2*u : 1", method="exact", '
        'name="other")',
        f"other.u = rng.random({n})",
        f"cells.y = linked_var(other, '{draw(st.sampled_from(['u', 'twice']))}')",
    ]
    if event:
        script.append("cells.run_on_event('high', 'z -= 0.6; k -= 1')")
    for number in range(draw(st.integers(0, 2))):
        code = draw(st.sampled_from([op for op in OPERATIONS if not (flag and op.startswith("v"))]))
        part = draw(st.sampled_from(["", "[1:]"])) if "level" not in code else ""
        slot = draw(st.sampled_from(["start", "before_groups", "end"]))
        every = draw(st.sampled_from(["", ", dt=0.6*ms"]))
        script.append(f"cells{part}.run_regularly({code!r}, when={slot!r}, order={number}{every})")
    return script, n, flag != ""


@st.composite
def sources(draw, n):
    kind = draw(st.sampled_from(["poisson", "generator", "cells"]))
    if kind == "cells":
        return [], "cells", n
    m = draw(st.integers(1, 4))
    if kind == "poisson":
        rates = draw(st.sampled_from(["300*Hz", "'200*Hz*(1 + i)'", "'400*Hz*stimulus(t)'"]))
        return [f"source = PoissonGroup({m}, {rates}, name='source')"], "source", m
    spikes = draw(st.lists(st.tuples(st.integers(0, m - 1), st.integers(0, 40)), unique=True, max_size=12))
    period = draw(st.sampled_from(["", ", period=4.2*ms"]))
    indices, times = [i for i, _ in spikes], [k / 10 for _, k in spikes]
    return (
        [f"source = SpikeGeneratorGroup({m}, {indices}, {times}*ms{period}, name='source')"],
        "source",
        m,
    )


@st.composite
def synapses(draw, name, source, n, m, flagged):
    on_pre = draw(st.sampled_from([c for c in ON_PRE if not (source != "cells" and "_pre" in c)]))
    on_post = draw(st.sampled_from([c for c in ON_POST if not (source != "cells" and c and "_pre" in c)]))
    equations = draw(st.sampled_from(SYNAPSE_EQUATIONS))
    connected = pairs(draw, n, m)
    options = f", on_post={on_post!r}" if on_post else ""
    script = [
        f'{name} = Synapses({source}, cells, "w : 1\\n{equations}", on_pre={on_pre!r}{options}, '
        f'method="euler", name="{name}")',
        f"{name}.connect(i={[i for i, _ in connected]}, j={[j for _, j in connected]})",
        f"{name}.w = 0.4*rng.random({len(connected)})",
    ]
    if equations != "s : 1":
        script.append(f"{name}.s = rng.random({len(connected)})")
    return script + delay(draw, name, len(connected)), len(connected)


@st.composite
def scripts(draw):
    script, n, flagged = draw(cells())
    head = [
        f"rng = np.random.default_rng({draw(st.integers(0, 99))})",
        "stimulus = TimedArray(rng.random(4), dt=1*ms)",
        "patterns = TimedArray(rng.random((3, 5)), dt=2*ms)",
    ]
    inputs, source, m = draw(sources(n))
    script, names = [*head, *script, *inputs], ["cells", "other", *(["source"] if inputs else [])]
    first, count = draw(synapses("first", source, m, n, flagged))
    script += first
    names.append("first")
    if draw(st.booleans()):
        onto = pairs(draw, n, count)
        script += [
            "onto = Synapses(cells, first, on_pre='w_post += 0.02', name='onto')",
            f"onto.connect(i={[i for i, _ in onto]}, j={[j for _, j in onto]})",
        ]
        names.append("onto")
    if draw(st.booleans()):
        target = draw(st.sampled_from(["x", "z"]))
        script.append(f"drive = PoissonInput(cells, {target!r}, {draw(st.integers(1, 30))}, 100*Hz, 0.02)")
        names.append("drive")
    script.append(f"network = Network({', '.join(names)})")
    before = draw(st.sampled_from([None, 0.4, 2.6]))
    if before:
        script += [
            f"network.run({before}*ms)",
            draw(st.sampled_from(["cells.x += 0.1", "first.w *= 1.1", "pass"])),
        ]
    return "\n".join(script)


@settings(**RANDOM, max_examples=10, derandomize=True)
@given(scripts())
def test_random_networks(script):
    check(script, STEPS)


@pytest.mark.slow
@settings(**RANDOM, max_examples=300)
@given(scripts())
def test_many_random_networks(script):
    check(script, STEPS)
