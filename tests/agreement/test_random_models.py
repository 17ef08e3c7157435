"""Random models: whatever Brian2 runs, the surrogate runs in the same steps.

Every example is a short Brian2 script; a failing one is shrunk and printed as such.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agreement.random_scripts import RANDOM, check

STEPS = 80
VARIABLES = "abc"
COEFFICIENTS = ["0.3", "-0.5", "g", "-0.4*g", "h"]
NONLINEAR = ["tanh({0})", "sin({0})*{1}", "exp(-{0}**2)", "clip({0}, -1, 1)", "{0}*(1 - {1})/(1 + {1}**2)"]
RESETS = ["a = 0", "a = r", "a -= 0.8", "a = 0.3*a; {last} += 0.2", "{last} = g*a; a = -0.1"]
REFRACTORY = [None, "2*ms", "t_ref", "a > 0.2", "2*ms*(1 + g)"]
EXPLICIT = ["euler", "rk2", "rk4"]
KINDS = ["delta", "assign", "decay", "summed", "plastic", "short term"]


@st.composite
def equations(draw, names, method, noise, flag):
    """One line for each variable, with the time constants of an exactly solvable system all different."""
    triangular = method in ("exact", "independent")
    lines = []
    for k, name in enumerate(names):
        others = names[:k] if triangular else [n for n in names if n != name]
        others = [] if method == "independent" else others
        terms = [f"{draw(st.sampled_from(COEFFICIENTS))}*{other}" for other in others if draw(st.booleans())]
        terms.append(draw(st.sampled_from(["1.5", "drive", "2*drive + g", "h"])))
        if method in EXPLICIT and draw(st.booleans()):
            form = draw(st.sampled_from(NONLINEAR))
            terms.append("0.5*" + form.format(*draw(st.permutations(names + names))[:2]))
        if name == "a":
            terms.append("I")
        random = draw(st.sampled_from([f"0.3*xi_{name}", "0.2*xi_all", "0.1*g*xi_all"]))
        random = f" + {random}*(5*ms)**-0.5" if noise else ""
        lines.append(
            f"d{name}/dt = ({' + '.join(terms)} - {name})/tau_{name}{random} : 1{flag if k == 0 else ''}"
        )
        lines.append(f"tau_{name} : second (constant{draw(st.sampled_from(['', ', shared']))})")
    return lines


@st.composite
def groups(draw):
    noise = draw(st.booleans())
    exact = ["exact", "exponential_euler", "independent"]
    method = draw(st.sampled_from(["euler", "heun"] if noise else EXPLICIT + exact))
    count = draw(
        st.integers(1, 2 if method in ("exact", "independent") else 3)
    )  # sympy takes seconds for three
    names = list(VARIABLES[:count])
    threshold = draw(
        st.sampled_from([None, "a > 0.7", "a > theta", "a > theta and not (b < -1)"][: 3 + (count > 1)])
    )
    refractory = draw(st.sampled_from(REFRACTORY)) if threshold else None
    flag = " (unless refractory)" if refractory and draw(st.booleans()) else ""
    lines = draw(equations(names, method, noise, flag))
    lines += [
        "g : 1 (constant)",
        "h : 1 (shared)",
        "drive : 1 (constant)",
        "theta : 1",
        "r : 1",
        "t_ref : second",
        "I : 1",
    ]
    options = [f"threshold={threshold!r}"] if threshold else []
    if threshold and draw(st.booleans()):
        reset = draw(st.sampled_from(RESETS)).format(last=names[-1])
        options.append(f"reset={reset!r}")
    options += [f"refractory={refractory!r}"] if refractory else []
    text = "\n    ".join(lines)
    n = draw(st.integers(1, 8))
    options += [f"method={method!r}", 'name="cells"']
    script = [f'cells = NeuronGroup({n}, """\n    {text}""", {", ".join(options)})']
    for name, (low, high) in zip(names, [(4, 9), (10, 20), (25, 40)]):
        shared = f"tau_{name} : second (constant, shared)" in lines
        value = f"{low}*ms" if shared else f"({low} + {high - low}*rng.random({n}))*ms"
        script.append(f"cells.tau_{name} = {value}")
        script.append(f"cells.{name} = rng.random({n})")
    script.append("cells.h = 0.4")
    script += [f"cells.{name} = rng.random({n})" for name in ("g", "theta", "r")]
    script += [f"cells.drive = 0.5 + rng.random({n})", f"cells.t_ref = 3*rng.random({n})*ms"]
    return script, n, bool(threshold), flag != ""


@st.composite
def synapses(draw, n, name, flagged):
    kind = draw(st.sampled_from([k for k in KINDS if not (flagged and k == "assign")]))
    target = draw(st.sampled_from(["a", "I"])) if kind != "summed" else "I"
    models = {
        "delta": ("w : 1", f"{target}_post += w", None),
        "assign": ("w : 1", f"w *= 0.9; {target}_post = 0.5*g_post", None),
        "decay": (
            "ds/dt = -s/tau : 1 (clock-driven)\nw : 1\ntau : second\nI_post = s : 1 (summed)",
            "s += w",
            None,
        ),
        "summed": ("w : 1\nI_post = w*tanh(a_pre - a_post) : 1 (summed)", None, None),
        "plastic": (
            "w : 1\ndx/dt = -x/tau : 1 (event-driven)\ndy/dt = -y/(8*ms) : 1 (event-driven)\ntau : second",
            f"{target}_post += w; x += 0.1; w = clip(w - y, -1, 1)",
            "y += 0.1; w = clip(w + x, -1, 1)",
        ),
        "short term": (
            "w : 1\ndx/dt = (1 - x)/tau : 1 (event-driven)\ntau : second",
            f"{target}_post += w*x; x *= 0.6",
            None,
        ),
    }
    model, on_pre, on_post = models[kind]
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12))
    delay = draw(st.sampled_from([None, "0.5*ms", "each"])) if on_pre else None
    options = [f"on_pre={on_pre!r}"] if on_pre else []
    options += [f"on_post={on_post!r}"] if on_post else []
    options += [f"delay={delay}"] if delay == "0.5*ms" else []
    options += ["method='exact'"] if kind == "decay" else []
    script = [f'{name} = Synapses(cells, cells, """{model}""", {", ".join([*options, ""])}name="{name}")']
    if not pairs:
        return [*script, f"{name}.connect(False)"]
    script.append(f"{name}.connect(i={[i for i, _ in pairs]}, j={[j for _, j in pairs]})")
    script.append(f"{name}.w = rng.random({len(pairs)}) - 0.4")
    if "tau : second" in model:
        script.append(f"{name}.tau = (3 + 9*rng.random({len(pairs)}))*ms")
    if delay == "each":
        script.append(f"{name}.delay = 2*rng.random({len(pairs)})*ms")
    return script


@st.composite
def scripts(draw):
    script, n, spiking, flagged = draw(groups())
    script = [f"rng = np.random.default_rng({draw(st.integers(0, 99))})", *script]
    names = ["cells"]
    for name in ("first", "second")[: draw(st.integers(0, 2)) if spiking else 0]:
        one = draw(synapses(n, name, flagged))
        if any("(summed)" in line for line in one) and any("(summed)" in line for line in script):
            continue  # Brian2 allows one sum for each variable
        script += one
        names.append(name)
    return "\n".join([*script, f"network = Network({', '.join(names)})"])


@settings(**RANDOM, max_examples=15, derandomize=True)
@given(scripts())
def test_random_models(script):
    check(script, STEPS)


@pytest.mark.slow
@settings(**RANDOM, max_examples=300)
@given(scripts())
def test_many_random_models(script):
    check(script, STEPS)
