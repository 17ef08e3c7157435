"""Tasks against definitions written out by hand: epochs, streams, conditions, outcomes, files, errors."""

import doctest
import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from brian2.units import Hz, Quantity, ms, mV, second, us
from numpy.testing import assert_array_equal

import brianbridge.tasks.integration
import brianbridge.tasks.registry
import brianbridge.tasks.task
from brianbridge import tasks
from brianbridge.tasks.arguments import read_quantity, write_quantity
from brianbridge.tasks.conditions import balanced
from brianbridge.tasks.decisions import first_crossing
from brianbridge.tasks.epochs import during, last_step, lay_out
from brianbridge.tasks.streams import one_hot
from brianbridge.tasks.task import Task
from brianbridge.tasks.trials import Trials

INTEGRATION = tasks.ContextIntegration()
DELAYED = tasks.ContextIntegration(delay=300 * ms)


def small_trials(**changes):
    """Two trials of four steps, one input of three channels, one output."""
    parts = {
        "inputs": {"stimulus": np.arange(24.0).reshape(4, 2, 3)},
        "targets": np.zeros((4, 2, 1)),
        "mask": np.ones((4, 2, 1)),
        "epochs": {"response": np.array([[2, 4], [1, 3]])},
        "conditions": {"sign": np.array([-1, 1])},
        "dt": 0.001,
    }
    return Trials(**(parts | changes))


# Course of a trial


@pytest.mark.parametrize(
    "task, dt, expected",
    [
        (INTEGRATION, 1 * ms, {"fixation": [0, 300], "stimulus": [300, 450], "response": [450, 750]}),
        (
            DELAYED,
            1 * ms,
            {"fixation": [0, 300], "stimulus": [300, 450], "delay": [450, 750], "response": [750, 1050]},
        ),
        (
            DELAYED,
            0.1 * ms,
            {
                "fixation": [0, 3000],
                "stimulus": [3000, 4500],
                "delay": [4500, 7500],
                "response": [7500, 10500],
            },
        ),
        (tasks.ContextIntegration(fixation=0 * ms), 5 * ms, {"stimulus": [0, 30], "response": [30, 90]}),
    ],
)
def test_epochs_follow_each_other_in_whole_steps(task, dt, expected):
    trials = task.trials(rng=1, batch=3, dt=dt)
    assert list(trials.epochs) == list(expected)
    for name, interval in expected.items():
        assert_array_equal(trials.epochs[name], [interval] * 3)
    assert trials.steps == expected["response"][1]
    assert trials.duration == pytest.approx(float(expected["response"][1] * dt))


def test_durations_may_differ_between_trials():
    epochs = lay_out({"delay": [2, 4] * ms, "response": 3 * ms}, batch=2, dt=1 * ms)
    assert_array_equal(epochs["delay"], [[0, 2], [0, 4]])
    assert_array_equal(epochs["response"], [[2, 5], [4, 7]])
    assert last_step(epochs) == 7
    assert_array_equal(during(epochs["response"], 7).T, [[0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]])


# Inputs and targets


def test_streams_are_silent_outside_the_stimulus():
    stimulus = DELAYED.trials(rng=1, batch=8, dt=1 * ms).inputs["stimulus"]
    assert not stimulus[:300, :, :2].any()
    assert not stimulus[450:, :, :2].any()
    assert stimulus[300:450, :, :2].all()


def test_streams_are_unit_noise_around_signed_offsets():
    trials = INTEGRATION.trials(rng=2, batch=400, dt=1 * ms)
    streams = trials.inputs["stimulus"][300:450, :, :2]
    signs = np.stack([trials.conditions["sign_0"], trials.conditions["sign_1"]], axis=1)
    noise = streams - 0.5 * signs
    # 120 000 samples: standard errors 0.003 of the mean, 0.002 of the SD; means of 150 steps have SD 0.082
    assert abs(noise.mean()) < 0.015
    assert abs(noise.std() - 1) < 0.01
    assert abs(noise.mean(axis=0).std() - 1 / np.sqrt(150)) < 0.01
    assert_array_equal(np.sign(streams.mean(axis=0)), signs)  # 6 standard deviations off zero
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < 0.015


@pytest.mark.parametrize("offset, noise", [(0.2, 0.0), (0.0, 3.0)])
def test_offset_and_noise_scale_the_streams(offset, noise):
    task = tasks.ContextIntegration(offset=offset, noise=noise)
    trials = task.trials(rng=3, batch=80, dt=1 * ms)
    stream = trials.inputs["stimulus"][300:450, :, 0]
    assert stream.std(axis=0).mean() == pytest.approx(noise, rel=0.03)
    assert (stream * trials.conditions["sign_0"]).mean() == pytest.approx(
        offset, abs=0.15 if noise else 1e-12
    )


@pytest.mark.parametrize("dt", [0.25 * ms, 1 * ms, 5 * ms])
def test_noise_power_does_not_depend_on_the_time_step(dt):
    trials = INTEGRATION.trials(rng=4, batch=2000 if dt == 5 * ms else 400, dt=dt)
    shown = trials.during("stimulus")[:, 0]
    noise = trials.inputs["stimulus"][shown][..., 0] - 0.5 * trials.conditions["sign_0"]
    assert noise.std() == pytest.approx(np.sqrt(float(1 * ms / dt)), rel=0.02)
    # What an integrator collects over the stimulus: 150 ms of noise of 1 per sqrt(ms), whatever the step
    collected = noise.sum(axis=0) * float(dt / ms)
    assert collected.std() == pytest.approx(np.sqrt(150), rel=0.15)  # 400 trials: standard error 3.5 %


def test_context_is_one_hot_throughout_and_cues_the_target():
    trials = DELAYED.trials(rng=5, batch=16, dt=1 * ms)
    for trial in range(16):
        context = trials.conditions["context"][trial]
        assert_array_equal(trials.inputs["stimulus"][:, trial, 2:], [[[1, 0], [0, 1]][context]] * 1050)
        sign = trials.conditions[f"sign_{context}"][trial]
        assert trials.conditions["target"][trial] == sign
        assert_array_equal(trials.targets[:, trial, 0], [0] * 750 + [sign] * 300)
    assert trials.mask.shape == trials.targets.shape and trials.mask.all()


def test_one_hot_counts_from_zero():
    assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])


# Conditions


def combinations(trials):
    return [
        tuple(int(trials.conditions[name][k]) for name in ("context", "sign_0", "sign_1"))
        for k in range(len(trials))
    ]


@pytest.mark.parametrize("batch", [5, 8, 10, 80])
def test_conditions_are_balanced_as_far_as_the_batch_allows(batch):
    drawn = combinations(INTEGRATION.trials(rng=6, batch=batch, dt=5 * ms))
    counts = [drawn.count(combination) for combination in itertools.product((0, 1), (-1, 1), (-1, 1))]
    assert sum(counts) == batch
    assert max(counts) - min(counts) <= (0 if batch % 8 == 0 else 1)


def test_conditions_come_in_random_order_and_leftovers_change():
    rng = np.random.default_rng(7)
    assert len({tuple(balanced(rng, 8, level=range(8))["level"]) for _ in range(20)}) > 15
    single = [int(balanced(rng, 1, level=range(8))["level"][0]) for _ in range(800)]
    counts = np.bincount(single, minlength=8)
    assert counts.min() > 60 and counts.max() < 145  # 100 +- 9.4 expected


# Seeds


def test_same_seed_same_trials():
    first, again = (DELAYED.trials(rng=8, batch=10, dt=1 * ms) for _ in range(2))
    generator = DELAYED.trials(rng=np.random.default_rng(8), batch=10, dt=1 * ms)
    other = DELAYED.trials(rng=9, batch=10, dt=1 * ms)
    assert_array_equal(first.inputs["stimulus"], again.inputs["stimulus"])
    assert_array_equal(first.inputs["stimulus"], generator.inputs["stimulus"])
    assert_array_equal(first.conditions["context"], again.conditions["context"])
    assert not np.array_equal(first.inputs["stimulus"], other.inputs["stimulus"])


def test_a_generator_moves_on():
    rng = np.random.default_rng(8)
    first, second_ = (DELAYED.trials(rng, batch=10, dt=1 * ms) for _ in range(2))
    assert not np.array_equal(first.inputs["stimulus"], second_.inputs["stimulus"])


# Outcomes. Columns of an output are trials; +1 is the wanted answer in all of them.


@pytest.fixture
def positive_trials():
    trials = INTEGRATION.trials(rng=10, batch=32, dt=1 * ms)
    return trials[trials.conditions["target"] == 1]


@pytest.mark.parametrize(
    "course, expected",
    [
        ([(450, 0.81)], "correct"),
        ([(749, 0.81)], "correct"),
        ([(500, -0.81)], "incorrect"),
        ([(500, 0.79)], "none"),
        ([(500, 0.8), (501, -0.8)], "none"),  # the bound is reached, not exceeded
        ([], "none"),
        ([(449, 2.0)], "none"),  # before the response
        ([(300, -2.0), (600, 0.9)], "correct"),
        ([(500, 0.9), (501, -5.0)], "correct"),  # both: the first crossing is the answer
        ([(500, -0.9), (501, 5.0)], "incorrect"),
    ],
)
def test_outcome_of_one_trial(positive_trials, course, expected):
    trial = positive_trials[0]
    output = np.zeros((750, 1, 1))
    for step, value in course:
        output[step] = value
    assert INTEGRATION.outcomes(output, trial).tolist() == [expected]
    assert INTEGRATION.score(output, trial).tolist() == [expected == "correct"]
    mirrored = Trials(trial.inputs, -trial.targets, trial.mask, trial.epochs, trial.conditions, trial.dt)
    assert INTEGRATION.outcomes(-output, mirrored).tolist() == [expected]


def test_trials_are_judged_one_by_one():
    trials = DELAYED.trials(rng=11, batch=9, dt=1 * ms)
    answers = np.array([1, -1, 0] * 3)  # right, opposite, silent
    output = trials.targets * answers[:, np.newaxis]
    assert DELAYED.outcomes(output, trials).tolist() == ["correct", "incorrect", "none"] * 3
    assert DELAYED.score(output, trials).dtype == bool
    assert_array_equal(DELAYED.score(output, trials), answers == 1)
    assert DELAYED.score(output.astype(np.float32), trials).sum() == 3


def test_bound_is_an_argument(positive_trials):
    output = 0.5 * positive_trials.targets
    assert not INTEGRATION.score(output, positive_trials).any()
    assert tasks.ContextIntegration(bound=0.4).score(output, positive_trials).all()


def test_first_crossing_within_windows_of_their_own():
    output = np.array([[2.0, -2.0, 0.5], [-2.0, 2.0, 0.5], [0.0, 0.0, -1.0]])
    window = np.array([[True, False, True], [True, True, True], [True, True, True]])
    assert first_crossing(output, window, 1.0).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda output: output[:-1], r"\(749, 4, 1\).*\(750, 4, 1\)"),
        (lambda output: output.swapaxes(0, 1), r"swapaxes"),
        (lambda output: output[:, :, 0], r"newaxis"),
        (lambda output: output * mV, r"output has the unit"),
        (lambda output: output + [[0], [0], [np.nan], [0]], r"1 of 4 trials \(first: trial 2\)"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(spoil, message):
    trials = INTEGRATION.trials(rng=1, batch=4, dt=1 * ms)
    with pytest.raises(ValueError, match=message):
        INTEGRATION.score(spoil(np.zeros((750, 4, 1))), trials)


# Trials


def test_trials_know_their_size():
    trials = small_trials()
    assert (len(trials), trials.steps) == (2, 4)
    assert trials.duration == pytest.approx(0.004) and trials.duration.dim is second.dim
    assert "2 of 4*ms" in repr(trials) and "stimulus (3)" in repr(trials)
    assert_array_equal(trials.during("response").T, [[0, 0, 1, 1], [0, 1, 1, 0]])
    assert small_trials(dt=1 * ms).dt == 0.001


@pytest.mark.parametrize(
    "index, chosen",
    [
        (3, [3]),
        (-1, [9]),
        (slice(2, 8, 3), [2, 5]),
        ([4, 0, 4], [4, 0, 4]),
        (np.array([1, 7]), [1, 7]),
        (np.arange(10) > 7, [8, 9]),
        (np.int64(2), [2]),
        ([], []),
    ],
)
def test_an_index_selects_trials(index, chosen):
    trials = DELAYED.trials(rng=12, batch=10, dt=5 * ms)
    selected = trials[index]
    assert isinstance(selected, Trials) and len(selected) == len(chosen)
    for k, original in enumerate(chosen):
        assert_array_equal(selected.inputs["stimulus"][:, k], trials.inputs["stimulus"][:, original])
        assert_array_equal(selected.targets[:, k], trials.targets[:, original])
        assert_array_equal(selected.mask[:, k], trials.mask[:, original])
        assert_array_equal(selected.epochs["delay"][k], trials.epochs["delay"][original])
        assert selected.conditions["target"][k] == trials.conditions["target"][original]
    assert selected.dt == trials.dt


def test_iteration_gives_single_trials():
    assert [int(trial.conditions["sign"][0]) for trial in small_trials()] == [-1, 1]


def test_indices_that_select_nothing_sensible_are_refused():
    with pytest.raises(IndexError):
        small_trials()[2]
    with pytest.raises(IndexError, match="one index"):
        small_trials()[np.array([[0, 1]])]
    with pytest.raises(TypeError, match=r"trials.inputs\['stimulus'\]"):
        small_trials()["stimulus"]


def test_trials_are_frozen_and_survive_pickling():
    trials = small_trials()
    with pytest.raises(AttributeError):
        trials.dt = 0.002
    again = pickle.loads(pickle.dumps(trials))
    assert_array_equal(again.inputs["stimulus"], trials.inputs["stimulus"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"targets": np.zeros((4, 2))}, r"targets has shape \(4, 2\)"),
        ({"targets": np.full((4, 2, 1), np.inf)}, r"targets is not finite at step 0, trial 0"),
        ({"targets": np.zeros((4, 2, 1)) * mV}, r"targets has the unit"),
        ({"targets": "abc"}, r"targets is not an array of numbers"),
        ({"inputs": {"stimulus": np.zeros((2, 4, 3))}}, r"inputs\['stimulus'\] has shape \(2, 4, 3\)"),
        ({"inputs": {"cue": np.full((4, 2, 3), np.nan)}}, r"inputs\['cue'\] is not finite"),
        ({"mask": np.ones((4, 2, 2))}, r"mask has shape \(4, 2, 2\)"),
        ({"mask": np.full((4, 2, 1), 0.5)}, r"mask holds 0.5"),
        ({"epochs": {"delay": np.array([0, 4])}}, r"epochs\['delay'\] has shape \(2,\)"),
        ({"epochs": {"delay": np.array([[0.0, 4.0]] * 2)}}, r"expected integers"),
        ({"epochs": {"delay": np.array([[0, 4], [0, 5]])}}, r"trial 1 is \[0, 5\)"),
        ({"epochs": {"delay": np.array([[3, 2], [0, 4]])}}, r"trial 0 is \[3, 2\)"),
        ({"conditions": {"sign": np.ones(3)}}, r"conditions\['sign'\] has shape \(3,\)"),
        ({"dt": 0}, r"dt=.*longer than zero"),
        ({"dt": 3 * mV}, r"dt=3\*mV has the wrong dimension"),
    ],
)
def test_trials_that_disagree_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_trials(**changes)


def test_values_at_the_ends_of_the_steps_of_trials():
    trials = small_trials()
    values = np.arange(4 * trials.steps)
    assert_array_equal(trials.at_steps(values, trials.dt / 4), [3, 7, 11, 15])
    assert_array_equal(trials.at_steps(values[:4], trials.dt), [0, 1, 2, 3])
    assert_array_equal(trials.at_steps(values[:2], 2 * trials.dt), [0, 1])


def test_unknown_epoch_suggests_one():
    with pytest.raises(ValueError, match="'respons'; did you mean 'response'"):
        small_trials().during("respons")


# Names and arguments, as in files


@pytest.mark.parametrize(
    "task",
    [
        INTEGRATION,
        DELAYED,
        tasks.ContextIntegration(
            fixation=0.1 * second,
            stimulus=33.3 * ms,
            delay=1 / 3 * second,
            response=1500 * ms,
            offset=0.1,
            noise=2,
            bound=0.7,
        ),
    ],
)
def test_arguments_rebuild_the_task(task):
    again = tasks.make(task.name, **json.loads(json.dumps(task.arguments)))
    assert again.arguments == task.arguments
    for name in ("fixation", "stimulus", "delay", "response", "offset", "noise", "bound"):
        assert float(getattr(again, name)) == float(getattr(task, name))
    assert eval(repr(task), {"ContextIntegration": tasks.ContextIntegration}).arguments == task.arguments


def test_arguments_are_written_for_readers():
    assert DELAYED.arguments == {
        "fixation": "300 ms",
        "stimulus": "150 ms",
        "delay": "300 ms",
        "response": "300 ms",
        "offset": 0.5,
        "noise": 1.0,
        "noise_step": "1 ms",
        "bound": 0.8,
        "rule": "first crossing",
        "grace": "0 second",
    }
    assert INTEGRATION.arguments["delay"] == "0 second"


def test_written_quantities_read_back_to_the_same_value():
    rng = np.random.default_rng(13)
    for value in [*10 ** rng.uniform(-7, 3, 300), *(np.arange(1, 300) * 1e-4), 0.1 + 0.2]:
        duration = Quantity(value) * second
        assert float(read_quantity("duration", write_quantity(duration), ms)) == value
    assert write_quantity(100 * us) == "100 us"
    assert read_quantity("frequency", write_quantity(14 * Hz), Hz) == 14 * Hz


@pytest.mark.parametrize(
    "text", ["300 ms", "300*ms", "300ms", " 300.0 * ms ", "3e2 msecond", ".3 second", "+0.3*second"]
)
def test_spellings_of_a_quantity(text):
    assert float(tasks.ContextIntegration(delay=text).delay) == 0.3


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"delay": -5 * ms}, ValueError, r"delay=-5\*ms must not be negative"),
        ({"delay": "-5 ms"}, ValueError, r"delay='-5 ms' must not be negative"),
        ({"stimulus": 0 * ms}, ValueError, r"stimulus=.* must be longer than zero"),
        ({"response": "0 ms"}, ValueError, r"response='0 ms' must be longer than zero"),
        ({"delay": 300}, ValueError, r"delay=300 has no unit; write delay=300\*ms"),
        ({"delay": "300"}, ValueError, r"delay='300' is not a number followed by a unit"),
        ({"delay": "1+1 ms"}, ValueError, r"delay='1\+1 ms' is not a number"),
        ({"delay": '__import__("os").system("true")'}, ValueError, r"__import__.* is not a number"),
        ({"delay": "3 sec"}, ValueError, r"no unit 'sec'; did you mean 'second'"),
        ({"delay": "3 s"}, ValueError, r"no unit 's'; did you mean 'second'"),
        ({"delay": "3 mV"}, ValueError, r"delay='3 mV' has the wrong dimension"),
        ({"delay": "1e999 ms"}, ValueError, r"not finite"),
        ({"delay": [1, 2] * ms}, ValueError, r"delay=.* is not one value"),
        ({"delay": None}, TypeError, r"delay=None is not a quantity"),
        ({"offset": -0.5}, ValueError, r"offset=-0.5 must be a finite number of at least 0"),
        ({"noise": float("nan")}, ValueError, r"noise=nan"),
        ({"bound": 0}, ValueError, r"bound=0 must be a finite number above 0"),
        ({"bound": "0.8"}, TypeError, r"bound='0.8' must be a number"),
        ({"offset": 1 * mV}, TypeError, r"offset=1\*mV must be a number without a unit"),
        (
            {"dellay": "300 ms"},
            TypeError,
            r"context_integration has no argument 'dellay'; did you mean 'delay'",
        ),
    ],
)
def test_arguments_that_make_no_task_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tasks.make("context_integration", **arguments)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"dt": 0.7 * ms},
            ValueError,
            r"dt=0.7\*ms does not divide fixation=300\*ms .* take fixation=300.3\*ms",
        ),
        ({"dt": 100 * ms}, ValueError, r"dt=100\*ms does not divide stimulus=150\*ms \(1.5 steps\)"),
        ({"dt": 0 * ms}, ValueError, r"dt=.* must be longer than zero"),
        ({"dt": 1}, ValueError, r"dt=1 has no unit; write dt=1\*ms"),
        ({"batch": 0}, ValueError, r"batch=0 must be at least 1"),
        ({"batch": 2.5}, TypeError, r"batch=2.5 must be a whole number"),
        ({"rng": None}, TypeError, r"rng=None must be"),
        ({"rng": -1}, TypeError, r"rng=-1 must be"),
    ],
)
def test_trials_that_cannot_be_drawn_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        INTEGRATION.trials(**({"rng": 1, "batch": 2, "dt": 1 * ms} | changes))


def test_registry_knows_names():
    assert "context_integration" in tasks.names() and tasks.names() == sorted(tasks.TASKS)
    assert type(tasks.make("context_integration")) is tasks.ContextIntegration
    with pytest.raises(KeyError) as caught:
        tasks.make("context_integartion")
    assert str(caught.value).startswith(
        "no built-in task is called 'context_integartion'; did you mean 'context_integration'?"
    )


# Protocol, figure, imports


def test_built_in_task_keeps_the_protocol():
    assert isinstance(INTEGRATION, Task)
    assert not isinstance(object(), Task)


@pytest.mark.parametrize(
    "module", [tasks, brianbridge.tasks.task, brianbridge.tasks.registry, brianbridge.tasks.integration]
)
def test_examples_in_docstrings(module):
    failed, attempted = doctest.testmod(module)
    assert attempted and not failed


def test_figure_shows_inputs_targets_mask_and_epochs():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    trials = DELAYED.trials(rng=14, batch=6, dt=5 * ms)
    figure = tasks.plot_trials(trials)
    columns = 4
    assert len(figure.axes) == 3 * columns
    assert [axis.get_ylabel() for axis in figure.axes[::columns]] == ["stimulus", "target", "mask"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["fixation", "stimulus", "delay", "response"]
    shaded = [patch for patch in figure.axes[0].patches if isinstance(patch, matplotlib.patches.Rectangle)]
    assert [patch.get_x() for patch in shaded] == pytest.approx([0, 300, 450, 750])
    assert [patch.get_width() for patch in shaded] == pytest.approx([300, 150, 300, 300])
    time, target = figure.axes[columns].lines[0].get_data()
    assert_array_equal(target[:-1], trials.targets[:, 0, 0])
    assert time[-1] == pytest.approx(1050)
    with pytest.raises(ValueError, match="nothing to plot"):
        tasks.plot_trials(trials[[]])


def test_tasks_need_no_torch():
    code = "import sys, brianbridge.tasks; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
