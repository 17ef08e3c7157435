"""Every published task against numbers and closed forms written out by hand from the papers."""

import itertools
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from brian2.units import Hz, ms, second
from numpy.testing import assert_allclose, assert_array_equal

import brianbridge
from brianbridge import tasks
from brianbridge.tasks.arguments import read_duration
from brianbridge.tasks.conditions import size
from brianbridge.tasks.decisions import accuracy_by_condition, mean_square_error
from brianbridge.tasks.durations import TruncatedExponential, Uniform, draw, read_random_duration

PUBLISHED = [(name, preset) for name, task in tasks.TASKS.items() for preset in task.presets]
IMAGES = 40


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty images of 3 × 4 pixels: image n has the intensity 5 n and shows the digit n modulo 10."""
    place = tmp_path_factory.mktemp("idx")
    number = np.arange(IMAGES)
    for split in ("train", "t10k"):
        write_idx(place / f"{split}-images-idx3-ubyte", np.tile(5 * number[:, None, None], (1, 3, 4)))
        write_idx(place / f"{split}-labels-idx1-ubyte", number % 10)
    return place


@pytest.fixture
def published(folder):
    def make(name, preset, **changes):
        files = {"folder": folder, "checksums": False} if name == "digits" else {}
        task = tasks.make(name, preset, **files, **changes)
        return task, read_duration("dt", task.presets[preset].dt)

    return make


def without_catch(task):
    return {"catch": False} if "catch" in task.conditions else {}


# -- all tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_batches_seeds_and_conditions(published, name, preset):
    task, dt = published(name, preset)
    assert isinstance(task, tasks.Task)
    for batch in (1, 7):
        trials = task.trials(rng=3, batch=batch, dt=dt)
        assert len(trials) == batch and trials.targets.shape[0] == trials.lengths.max() == trials.steps
        for name_, labels in trials.channels.items():
            signal = trials.targets if name_ == "target" else trials.inputs[name_]
            assert len(labels) == signal.shape[2]
        assert_array_equal(trials.mask[trials.lengths.min() :, trials.lengths.argmin()], 0)
    first, again, other = (task.trials(seed, 20, dt) for seed in (3, np.random.default_rng(3), 4))
    for source, values in first.inputs.items():
        assert_array_equal(values, again.inputs[source])
        assert not np.array_equal(values, other.inputs[source])
    table = task.conditions
    count = size(table)
    wanted = {key: values[count - 1] for key, values in table.items() if values.dtype.kind != "f"}
    only = task.trials(5, 3, dt, **wanted)
    for key, value in wanted.items():
        assert_array_equal(only.conditions[key], [value] * 3)


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_epochs_cover_each_trial_without_a_gap(published, name, preset):
    task, dt = published(name, preset)
    trials = task.trials(rng=6, batch=12, dt=dt)
    covered = sum(trials.during(epoch).astype(int) for epoch in trials.epochs)
    assert_array_equal(covered, np.arange(trials.steps)[:, np.newaxis] < trials.lengths)
    for epoch, steps in trials.epochs.items():
        assert_allclose(np.asarray(trials.times(epoch) / second), steps * trials.dt)


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_perfect_and_silent_outputs(published, name, preset):
    task, dt = published(name, preset)
    trials = task.trials(rng=7, batch=24, dt=dt, **without_catch(task))
    assert task.outcomes(trials.targets, trials).tolist() == ["correct"] * 24
    assert task.score(trials.targets, trials).all()
    silent = task.outcomes(np.zeros_like(trials.targets), trials)
    if name == "go_nogo":  # silence is the answer NoGo
        assert_array_equal(silent, np.where(trials.conditions["target"] == 1, "incorrect", "correct"))
    else:
        assert set(silent) == {"none"}


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_opposite_outputs(published, name, preset):
    task, dt = published(name, preset)
    trials = task.trials(rng=8, batch=24, dt=dt, **without_catch(task))
    wrong = trials.targets[..., ::-1] if trials.targets.shape[2] == 2 else -trials.targets
    if name == "digits":
        wrong = np.roll(trials.targets, 1, axis=2)
    if name == "go_nogo":
        wrong = trials.during("response")[..., np.newaxis] - trials.targets
    if name == "eye_movement_sequence":  # half-turn: dot 3 instead of 5 and so on
        wrong = -trials.targets
    assert set(task.outcomes(wrong, trials)) == {"incorrect"}
    assert not task.score(wrong, trials).any()


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_arguments_rebuild_the_task(published, name, preset):
    task, dt = published(name, preset)
    again = tasks.make(name, **json.loads(json.dumps(task.arguments)))
    assert again == task and hash(again) == hash(task)
    assert eval(repr(task), {type(task).__name__: type(task)}) == task
    source = next(iter(task.trials(1, 2, dt).inputs), None)
    if source:
        assert_array_equal(again.trials(1, 2, dt).inputs[source], task.trials(1, 2, dt).inputs[source])


# Epochs in ms and conditions of every task, from the papers' tables; a range where they are random.
EPOCHS = {
    ("context_integration", "li2020"): (dict(fixation=300, stimulus=150, response=300), 8),
    ("context_integration", "li2020_delayed"): (dict(fixation=300, stimulus=150, delay=300, response=300), 8),
    ("context_integration", "kim2019_pnas"): (dict(fixation=250, stimulus=1000, response=1250), 8),
    ("context_integration", "lin2024"): (dict(fixation=10, stimulus=40, response=50), 8),
    ("context_integration", "lin2024_code"): (dict(fixation=100, stimulus=400, response=500), 8),
    ("context_switch", "lin2024"): (dict(fixation=10, stimulus=40, response=50), 4),
    ("context_switch", "lin2024_code"): (dict(fixation=100, stimulus=400, response=500), 4),
    ("delayed_match", "li2020"): (dict(fixation=300, sample=150, delay=300, test=150, response=300), 4),
    ("delayed_match", "kim2019"): (
        dict(fixation=250, sample=250, delay=50, test=250, gap=50, response=500, end=150),
        4,
    ),
    ("delayed_match", "kim2019_analysis"): (
        dict(fixation=1000, sample=250, delay=750, test=250, gap=50, response=500, end=150),
        4,
    ),
    ("frequency_discrimination", "li2020"): (
        dict(fixation=300, first=500, delay=300, second=500, response=300),
        10,
    ),
    ("signed_go_nogo", "kim2019"): (dict(fixation=250, cue=125, response=625), 2),
    ("signed_go_nogo", "kim2019_analysis"): (dict(fixation=1000, cue=125, response=625), 2),
    ("go_nogo", "kim2019_pnas"): (dict(fixation=250, cue=125, response=625), 2),
    ("perceptual_decision", "song2016"): (dict(fixation=100, stimulus=800, decision=300), 10),
    ("perceptual_decision", "song2016_variable"): (dict(fixation=100, stimulus=(80, 1500), decision=300), 10),
    ("reaction_time", "song2016"): (dict(fixation=100, stimulus=800), 10),
    ("motion_or_colour", "song2016"): (dict(fixation=100, stimulus=800, decision=300), 72),
    ("multisensory_integration", "song2016"): (dict(fixation=100, stimulus=1000, decision=300), 24),
    ("parametric_working_memory", "song2016"): (
        dict(fixation=100, first=500, delay=(2500, 3500), second=500, decision=300),
        10,
    ),
    ("eye_movement_sequence", "song2016"): (
        {"pause": 1000, "fixation": 1000} | {f"movement {n}": 500 for n in (1, 2, 3)},
        8,
    ),
    ("digits", "lin2024"): (dict(stimulus=20), IMAGES),
    ("digits", "lin2024_code"): (dict(stimulus=200), IMAGES),
    ("oscillation", "depasquale2016"): (dict(oscillation=1000), 1),
    ("temporal_xor", "depasquale2016"): (
        {"pause": (300, 1500), "pulse 1": (100, 300), "gap": 300, "pulse 2": (100, 300), "delay": 300}
        | {"response": 500},
        4,
    ),
    ("emg_reaching", "depasquale2016"): (dict(pause=(300, 1500), cue=500, movement=810), 8),
}


def test_every_published_task_is_in_the_table_of_epochs():
    assert set(EPOCHS) == set(PUBLISHED)


@pytest.mark.parametrize("name, preset", PUBLISHED)
def test_epochs_last_as_published(published, name, preset):
    task, dt = published(name, preset)
    expected, conditions = EPOCHS[name, preset]
    trials = task.trials(rng=9, batch=30, dt=dt, **without_catch(task))
    assert list(trials.epochs) == list(expected)
    for epoch, wanted in expected.items():
        lasted = np.diff(np.asarray(trials.times(epoch) / ms), axis=1)
        shortest, longest = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        assert lasted.min() >= shortest - 1e-6 and lasted.max() <= longest + 1e-6
    assert size(task.conditions) - any(task.conditions.get("catch", [False])) == conditions


# -- signs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["li2020", "kim2019", "kim2019_analysis"])
def test_delayed_match_wants_the_product_of_the_pulses(published, preset):
    task, dt = published("delayed_match", preset)
    trials = task.trials(rng=10, batch=9, dt=dt)
    stimulus = trials.inputs["stimulus"]
    for trial in range(9):
        pulses = []
        for epoch, channel in (("sample", 0), ("test", -1)):
            start, stop = trials.epochs[epoch][trial]
            pulse = stimulus[start:stop, trial, channel]
            assert set(np.abs(pulse)) == {1.0} and len(set(pulse)) == 1
            pulses.append(pulse[0])
        start, stop = trials.epochs["response"][trial]
        expected = np.zeros(trials.steps)
        expected[start:stop] = pulses[0] * pulses[1]
        assert_array_equal(trials.targets[:, trial, 0], expected)
    shown = trials.during("sample") | trials.during("test")
    assert_array_equal(np.abs(stimulus).sum(axis=2), shown)
    assert stimulus.shape[2] == (1 if preset == "li2020" else 2) and trials.mask.all()


def test_delayed_match_of_kim_is_judged_from_1000_ms_on(published):
    task, dt = published("delayed_match", "kim2019")  # 5 ms
    trial = task.trials(rng=11, batch=1, dt=dt, target=1)
    assert_array_equal(trial.epochs["response"], [[170, 270]])  # from 850 ms, 50 ms after the test
    for step, value, expected in [
        (199, 0.71, "none"),
        (200, 0.71, "correct"),
        (200, 0.69, "none"),
        (299, 0.71, "correct"),
        (250, -0.71, "incorrect"),
    ]:
        output = np.zeros((300, 1, 1))
        output[step] = value
        assert task.outcomes(output, trial).tolist() == [expected]
    output = np.zeros((300, 1, 1))
    output[210], output[220] = -0.9, 0.9  # a wrong crossing first: the maximum decides
    assert task.outcomes(output, trial).tolist() == ["correct"]


@pytest.mark.parametrize(
    "target, value, expected", [(1, 0.5, "none"), (0, 0.5, "none"), (0, 0.29, "correct")]
)
def test_go_nogo_between_its_bounds(target, value, expected):
    task = tasks.GoNoGo()
    trial = task.trials(rng=1, batch=1, dt=5 * ms, target=target)
    output = np.zeros((200, 1, 1))
    output[100] = value
    assert task.outcomes(output, trial).tolist() == [expected]


def test_frequencies_are_discriminated():
    trials = tasks.FrequencyDiscrimination().trials(rng=12, batch=10, dt=1 * ms)
    assert set(zip(trials.conditions["f1"], trials.conditions["f2"])) == {
        pair for low in (10, 14, 18, 22, 26) for pair in ((low, low + 8), (low + 8, low))
    }
    time = np.arange(500) * 1e-3
    for trial in range(10):
        f1, f2 = trials.conditions["f1"][trial], trials.conditions["f2"][trial]
        stimulus = trials.inputs["stimulus"][:, trial, 0]
        assert_allclose(stimulus[300:800], np.sin(2 * np.pi * f1 * time), atol=1e-9)
        assert_allclose(stimulus[1100:1600], np.sin(2 * np.pi * f2 * time), atol=1e-9)
        assert not stimulus[:300].any() and not stimulus[800:1100].any() and not stimulus[1600:].any()
        assert set(trials.targets[1600:, trial, 0]) == {np.sign(f1 - f2)}
    with pytest.raises(ValueError, match=r"frequency_discrimination: dt=20\*ms cannot show 34\*Hz"):
        tasks.FrequencyDiscrimination().trials(rng=1, batch=1, dt=20 * ms)


@pytest.mark.parametrize("signed, cues", [(True, {-1, 1}), (False, {0, 1})])
def test_go_nogo_repeats_the_cue(signed, cues):
    task = tasks.SignedGoNoGo() if signed else tasks.GoNoGo()
    trials = task.trials(rng=13, batch=6, dt=5 * ms)
    cue = trials.inputs["stimulus"][50, :, 0]
    assert set(cue) == cues
    assert_array_equal(trials.inputs["stimulus"][..., 0], np.where(trials.during("cue"), cue, 0))
    assert_array_equal(trials.targets[..., 0], np.where(np.arange(200)[:, None] >= 75, cue, 0))


@pytest.mark.parametrize(
    "preset, dt, switch, response, change",
    [("lin2024", 0.2 * ms, 150, 250, 250), ("lin2024_code", 2 * ms, 300, 250, 300)],
)
def test_the_answer_follows_the_new_context(preset, dt, switch, response, change):
    trials = tasks.ContextSwitch.preset(preset).trials(rng=14, batch=8, dt=dt)
    stimulus = trials.inputs["stimulus"]
    for trial in range(8):
        context = trials.conditions["context"][trial]
        cued = stimulus[:, trial, 2 + context]
        assert_array_equal(cued, np.arange(500) < switch)
        assert_array_equal(stimulus[:, trial, 3 - context], 1 - cued)
        old, new = (
            trials.conditions[f"sign_{context}"][trial],
            trials.conditions[f"sign_{1 - context}"][trial],
        )
        assert old == -new == -trials.conditions["target"][trial]
        assert_array_equal(
            trials.targets[:, trial, 0], [0] * response + [old] * (change - response) + [new] * (500 - change)
        )


def test_some_trials_switch():
    task = tasks.ContextSwitch(switched=0.25, opposite=False)
    trials = task.trials(rng=15, batch=2000, dt=1 * ms)
    switched = trials.conditions["switched"]
    assert switched.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 2000))
    last = trials.inputs["stimulus"][-1, :, 2:].argmax(axis=1)
    assert_array_equal(last, trials.conditions["context"] ^ switched)
    assert_array_equal(trials.targets[-1, :, 0], trials.conditions["target"])
    assert size(task.conditions) == 16
    assert task.trials(1, 5, 1 * ms, switched=True).conditions["switched"].all()


# -- noise ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, preset, dt, sd",
    [
        # N(0, 1) a step at the published step: power held (Li, Kim), or the same in each step (Lin)
        ("context_integration", "li2020", 1 * ms, 1.0),
        ("context_integration", "li2020", 0.25 * ms, 2.0),
        ("context_integration", "kim2019_pnas", 5 * ms, 1.0),
        ("context_integration", "kim2019_pnas", 1.25 * ms, 2.0),
        ("context_integration", "lin2024", 0.2 * ms, 1.0),
        ("context_integration", "lin2024", 0.05 * ms, 1.0),
        ("context_switch", "lin2024_code", 2 * ms, 1.0),
    ],
)
def test_noise_of_streams(published, name, preset, dt, sd):
    task, _ = published(name, preset)
    trials = task.trials(rng=16, batch=8, dt=dt)
    while trials.inputs["stimulus"].shape[0] * len(trials) < 4000:  # enough samples
        trials = task.trials(rng=16, batch=2 * len(trials), dt=dt)
    shown = trials.during("stimulus")[:, 0]
    noise = trials.inputs["stimulus"][shown][..., 0] - 0.5 * trials.conditions["sign_0"]
    assert noise.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * noise.size))


@pytest.mark.parametrize(
    "name",
    [
        "perceptual_decision",
        "reaction_time",
        "motion_or_colour",
        "multisensory_integration",
        "parametric_working_memory",
        "eye_movement_sequence",
    ],
)
@pytest.mark.parametrize("dt, sd", [(20 * ms, 0.0316), (1 * ms, np.sqrt(0.02))])
def test_noise_of_song_is_scaled_with_the_time_step(published, name, dt, sd):
    # sqrt(2*100 ms/dt)*0.01 before the rectification: 0.0316 at 20 ms (table of the paper)
    task, _ = published(name, "song2016", baseline=10.0)  # far from zero: nothing is cut
    trials = task.trials(rng=17, batch=400 if dt == 20 * ms else 10, dt=dt)
    silent = trials.inputs["stimulus"][: int(80 * ms / dt), :, 0] - 10.0  # before any stimulus
    assert silent.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * silent.size))
    assert abs(silent.mean()) < 5 * sd / np.sqrt(silent.size)


def test_rectification_raises_the_baseline_at_small_time_steps():
    # N(0.2, 0.2) cut at 0 at 0.5 ms: mean 0.2*(Phi(1) + phi(1)) = 0.2167; at 20 ms nothing is cut
    fine = tasks.PerceptualDecision(catch=0).trials(rng=19, batch=20, dt=0.5 * ms)
    base = fine.inputs["stimulus"][: 2 * 100]
    assert base.min() == 0 and base.mean() == pytest.approx(0.2167, abs=0.007)
    assert np.mean(base == 0) == pytest.approx(0.159, abs=0.02)
    coarse = tasks.PerceptualDecision(catch=0).trials(rng=19, batch=200, dt=20 * ms)
    assert coarse.inputs["stimulus"][:5].min() > 0


@pytest.mark.parametrize("max_rate, dt, probability", [("1/dt", 2 * ms, 1.0), (100 * Hz, 2 * ms, 0.2)])
def test_pixels_spike_with_their_intensity(folder, max_rate, dt, probability):
    task = tasks.Digits(folder=folder, checksums=False, max_rate=max_rate, stimulus=200 * ms)
    trials = task.trials(rng=20, batch=IMAGES, dt=dt)
    spikes = trials.inputs["stimulus"]
    assert set(np.unique(spikes)) == {0, 1}
    expected = probability * 5 * trials.conditions["image"] / 255
    assert_allclose(spikes.mean(axis=(0, 2)), expected, atol=5 * 0.5 / np.sqrt(100 * 12))
    assert not spikes[:, trials.conditions["image"] == 0].any()


# -- random durations and catch trials ----------------------------------------------------------------


def test_truncated_exponential():
    # Mean of an exponential of mean m between a and b: m + a - (b - a)/(exp((b - a)/m) - 1)
    mean, low, high = 330, 80, 1500
    expected = mean + low - (high - low) / np.expm1((high - low) / mean)
    drawn = draw(
        TruncatedExponential(mean * ms, low * ms, high * ms), np.random.default_rng(1), 20000, 1 * ms
    )
    values = np.asarray(drawn / ms)
    assert values.min() >= low and values.max() < high
    assert_allclose(values, np.rint(values))
    assert values.mean() + 0.5 == pytest.approx(expected, abs=5 * 270 / np.sqrt(20000))  # rounded down
    assert np.mean(values < 400) == pytest.approx(
        (1 - np.exp(-320 / 330)) / (1 - np.exp(-1420 / 330)), abs=0.02
    )


def test_uniform_durations_in_whole_steps():
    values = np.asarray(draw(Uniform("2500 ms", "3500 ms"), np.random.default_rng(2), 5000, 20 * ms) / ms)
    assert values.min() >= 2500 and values.max() <= 3500 and not np.any(np.rint(values) % 20)
    assert values.mean() == pytest.approx(3000 - 10, abs=5 * 289 / np.sqrt(5000))


@pytest.mark.parametrize(
    "text", ["uniform(100 ms, 0.2 second)", " uniform ( 100*ms , 200 ms ) ", Uniform(100 * ms, 200 * ms)]
)
def test_distributions_are_read_and_written(text):
    assert str(read_random_duration("delay", text)) == "uniform(100 ms, 200 ms)"


@pytest.mark.parametrize(
    "text, message",
    [
        ("unifrom(1 ms, 2 ms)", "no distribution 'unifrom'; did you mean 'uniform'"),
        ("uniform(1 ms)", "uniform takes low, high; write delay='uniform"),
        ("uniform(2 ms, 1 ms)", r"low=2\*ms must be shorter than high=1\*ms"),
        ("uniform(1, 2 ms)", "low='1' is not a number followed by a unit"),
        ("truncated_exponential(0 ms, 1 ms, 2 ms)", "mean=.* must be longer than zero"),
        ("__import__('os').system('true')", "no distribution '__import__'"),
        ("exec(1 ms, 2 ms)", "no distribution 'exec'"),
    ],
)
def test_what_is_no_distribution(text, message):
    with pytest.raises(ValueError, match=message):
        tasks.ParametricWorkingMemory(delay=text)


@pytest.mark.parametrize(
    "name, preset, probability",
    [
        ("perceptual_decision", "song2016_variable", 1 / 11),
        ("reaction_time", "song2016", 5 / 11),
        ("motion_or_colour", "song2016", 1 / 73),
        ("multisensory_integration", "song2016", 5 / 25),
        ("parametric_working_memory", "song2016", 1 / 11),
    ],
)
def test_catch_trials(published, name, preset, probability):
    task, dt = published(name, preset)
    assert task.catch == pytest.approx(probability)
    catch = task.draw_conditions(np.random.default_rng(21), 20000, {})["catch"]
    assert catch.mean() == pytest.approx(probability, abs=5 * np.sqrt(probability / 20000))
    trials = task.trials(rng=22, batch=6, dt=dt, catch=True)
    assert_array_equal(trials.targets, 0.2)
    within = np.arange(trials.steps)[:, None] < trials.lengths
    assert_array_equal(trials.mask[..., 0], within)
    assert list(trials.epochs) == ["catch"] and (trials.lengths * dt >= 1980 * ms).all()
    assert (trials.conditions["target"] == -1).all()
    # No stimulus: baseline and noise alone, also in the padding
    assert trials.inputs["stimulus"].mean() == pytest.approx(0.2, abs=0.005)
    assert task.score(trials.targets, trials).all()
    choice = trials.targets + [0, 1.2]
    assert set(task.outcomes(choice, trials)) == {"incorrect"}
    regular = task.trials(rng=22, batch=6, dt=dt, catch=False)
    assert "catch" not in regular.epochs


# -- Song, Yang & Wang ---------------------------------------------------------------------------------


def signal(task, dt, **wanted):
    """One trial's inputs without noise and baseline."""
    quiet = type(task)(**(task.arguments | dict(noise=0, baseline=0)))
    return quiet.trials(rng=1, batch=1, dt=dt, **wanted)


@pytest.mark.parametrize("cue, task", [(False, tasks.PerceptualDecision()), (True, tasks.ReactionTime())])
def test_evidence(cue, task):
    for coherence, choice in itertools.product((3.2, 51.2), (0, 1)):
        trial = signal(task, 20 * ms, coherence=coherence, target=choice)
        shown = trial.inputs["stimulus"][5:45, 0]
        assert_allclose(shown[:, choice], (1 + coherence / 100) / 2)
        assert_allclose(shown[:, 1 - choice], (1 - coherence / 100) / 2)
        assert shown.shape[1] == 2 + cue and (not cue or (shown[:, 2] == 1).all())
        assert not trial.inputs["stimulus"][:5].any() and not trial.inputs["stimulus"][45:].any()


def test_fixation_and_decision_count():
    trial = signal(tasks.PerceptualDecision(), 20 * ms, target=1)
    assert_array_equal(trial.mask[:, 0], [[1, 1]] * 5 + [[0, 0]] * 40 + [[1, 1]] * 15)
    assert_allclose(trial.targets[45:, 0], [[0.2, 1.0]] * 15)
    assert_allclose(trial.targets[:45, 0], 0.2)


def test_the_last_step_of_each_trials_own_length_decides():
    task = tasks.PerceptualDecision.preset("song2016_variable")
    trials = task.trials(rng=23, batch=9, dt=20 * ms, catch=False)
    assert len(set(trials.lengths)) > 1
    output = -trials.targets.copy()
    output[trials.lengths - 1, np.arange(9)] *= -1
    assert task.score(output, trials).all()


def test_reaction_times():
    task = tasks.ReactionTime()
    trials = task.trials(rng=24, batch=4, dt=20 * ms, catch=False, target=0)
    assert_array_equal(trials.mask[:, 0, 0], [1] * 5 + [0] * 15 + [1] * 25)  # free until 300 ms after onset
    assert_allclose(trials.targets[20:, 0], [[1.2, 0.2]] * 25)
    output = np.full((45, 4, 2), 0.2)
    output[12, 0, 0] = 1.01  # 13 steps end with this one, 5 of them before the onset
    output[15, 1] = [1.1, 1.2]  # both at once: the larger
    output[:, 2] = 1.0  # reached, not exceeded
    output[2, 3, 0] = 1.5  # before the onset
    assert task.outcomes(output, trials).tolist() == ["correct", "incorrect", "none", "none"]
    times = task.reaction_times(output, trials) / ms
    assert_allclose(times, [160, 220, np.nan, np.nan])


def test_motion_or_colour():
    task = tasks.MotionOrColour()
    shown = dict(context=1, motion=50.0, motion_choice=0, colour=5.0, colour_choice=1)
    trial = signal(task, 20 * ms, **shown)
    assert_allclose(trial.inputs["stimulus"][5:45, 0], [[0, 1, 0.75, 0.25, 0.475, 0.525]] * 40)
    assert not trial.inputs["stimulus"][:5].any() and trial.conditions["target"].tolist() == [1]


@pytest.mark.parametrize(
    "modality, present", [("v", [1, 0, 1, 0]), ("a", [0, 1, 0, 1]), ("va", [1, 1, 1, 1])]
)
def test_multisensory_rates(modality, present):
    task = tasks.MultisensoryIntegration()
    for rate in (9.0, 12.0, 13.0, 16.0):
        trial = signal(task, 20 * ms, rate=rate, modality=modality)
        up, down = 0.4 + 0.8 * (rate - 9) / 7, 0.4 + 0.8 * (16 - rate) / 7
        assert_allclose(
            trial.inputs["stimulus"][5:55, 0, :4], [np.array([up, up, down, down]) * present] * 50
        )
        assert_array_equal(trial.inputs["stimulus"][:, 0, 4], [0] * 5 + [1] * 65)
        assert trial.conditions["target"].tolist() == [0 if rate > 12.5 else 1]


def test_parametric_working_memory():
    task = tasks.ParametricWorkingMemory()
    trial = signal(task, 20 * ms, f1=18.0, f2=10.0)
    first, second_ = trial.epochs["first"][0], trial.epochs["second"][0]
    up = 0.4 + 0.8 * 8 / 24
    assert_allclose(trial.inputs["stimulus"][slice(*first), 0], [[up, 1.6 - up]] * 25)
    assert_allclose(trial.inputs["stimulus"][slice(*second_), 0], [[0.4, 1.2]] * 25)
    assert trial.conditions["target"].tolist() == [0]
    shown = trial.during("first") | trial.during("second")
    assert not trial.inputs["stimulus"][~shown].any()


def test_worst_condition():
    conditions = {"f1": np.array([18, 18, 10]), "f2": np.array([10, 10, 18])}
    found = accuracy_by_condition(np.array([True, False, True]), conditions, "f1", "f2")
    assert found == {(10, 18): 1.0, (18, 10): 0.5}


def test_eye_movements():
    position = {0: (-0.5, 0.5), 1: (0, 0.5), 2: (0.5, 0.5), 3: (-0.5, 0), 4: (0, 0), 5: (0.5, 0)}
    position |= {6: (-0.5, -0.5), 7: (0, -0.5), 8: (0.5, -0.5)}
    options = {4: {3, 5}, 3: {1, 7}, 5: {1, 7}, 1: {0, 2}, 7: {6, 8}}
    published = ["510", "312", "378", "576", "512", "310", "376", "578"]
    task = tasks.EyeMovementSequence()
    for number, sequence in enumerate(published):
        trial = signal(task, 10 * ms, sequence=number)
        stimulus, targets = trial.inputs["stimulus"][:, 0], trial.targets[:, 0]
        assert_array_equal(stimulus[:, 9:], [np.eye(8)[number]] * 350)
        assert not stimulus[:100, :9].any() and not trial.mask[:100].any() and trial.mask[100:].all()
        assert_array_equal(stimulus[100:200, :9], [np.eye(9)[4]] * 100)
        assert_array_equal(targets[100:200], [[0, 0]] * 100)
        path = [4, *map(int, sequence)]
        for move in range(3):
            during = slice(200 + 50 * move, 250 + 50 * move)
            shown = {path[move]} | options[path[move]]
            assert path[move + 1] in shown
            assert_array_equal(stimulus[during, :9], [[float(dot in shown) for dot in range(9)]] * 50)
            assert_array_equal(targets[during], [position[path[move + 1]]] * 50)


def test_movements_that_end_nowhere():
    task = tasks.EyeMovementSequence()
    trial = task.trials(rng=1, batch=1, dt=10 * ms, sequence=0)
    near = trial.targets + [0.1, 0.1]  # 0.141 away, closer than 0.15
    assert task.outcomes(near, trial).tolist() == ["correct"]
    assert task.outcomes(trial.targets + [0.2, 0.0], trial).tolist() == ["none"]


# -- waveforms -----------------------------------------------------------------------------------------


def test_oscillation_is_a_sum_of_sines():
    task = tasks.Oscillation(oscillation=2 * second)
    trials = task.trials(rng=1, batch=2, dt=1 * ms)
    assert trials.inputs == {} and trials.targets.max() == pytest.approx(1.5, rel=1e-4)
    power = np.abs(np.fft.rfft(trials.targets[:, 0, 0])) ** 2
    assert_array_equal(np.flatnonzero(power > 1e-6 * power.max()), [2, 4, 6, 10])  # 1, 2, 3, 5 Hz in 2 s
    assert_allclose(power[[2, 4, 6, 10]], power[2])


def test_oscillation_may_drift_in_phase():
    task = tasks.Oscillation(oscillation=3 * second)
    trials = task.trials(rng=1, batch=1, dt=1 * ms)
    shifted = np.roll(trials.targets, 137, axis=0)
    assert_allclose(task.errors(shifted + 5, trials), 0, atol=1e-12)  # about its own mean
    assert_allclose(task.errors(0.9 * shifted, trials), 0.01, atol=1e-12)
    noisy = shifted + 0.4 * shifted.std() * np.random.default_rng(1).standard_normal(shifted.shape)
    assert task.outcomes(noisy, trials).tolist() == ["incorrect"]  # 16 %
    assert task.errors(noisy, trials).shape == (3, 1)


def test_temporal_xor():
    task = tasks.TemporalXOR()
    trials = task.trials(rng=25, batch=8, dt=1 * ms)
    for trial in range(8):
        lengths = [int(np.diff(trials.epochs[f"pulse {number}"][trial])[0]) for number in (1, 2)]
        pulses = np.flatnonzero(np.diff(trials.inputs["stimulus"][:, trial, 0]))
        assert_array_equal(np.diff(pulses), [lengths[0], 300, lengths[1]])
        assert set(trials.inputs["stimulus"][:, trial, 0]) == {0, 0.3}
        begin, end = trials.epochs["response"][trial]
        assert begin - pulses[-1] - 1 == 300 and end == trials.lengths[trial]
        sign = 1 if lengths[0] != lengths[1] else -1
        expected = np.zeros(trials.steps)
        expected[begin:end] = sign * np.sin(np.pi * np.arange(500) / 500)
        assert_allclose(trials.targets[:, trial, 0], expected, atol=1e-9)


def test_temporal_xor_needs_the_shape():
    task = tasks.TemporalXOR()
    trials = task.trials(rng=26, batch=4, dt=1 * ms)
    constant = np.sign(trials.targets.sum(axis=0)) * trials.during("response")[..., None]
    assert set(task.outcomes(constant, trials)) == {"none"}
    assert task.score(
        0.1 * trials.targets + np.random.default_rng(1).normal(0, 0.05, trials.targets.shape), trials
    ).all()


def test_emg_directions():
    task = tasks.EMGReaching()
    trials = task.trials(rng=27, batch=8, dt=1 * ms)
    for trial in range(8):
        angle = trials.conditions["direction"][trial] * np.pi / 4
        begin, end = trials.epochs["cue"][trial]
        assert_allclose(
            trials.inputs["stimulus"][begin:end, trial], [[2 * np.cos(angle), 2 * np.sin(angle)]] * 500
        )
        assert not trials.inputs["stimulus"][end:, trial].any()
        start, stop = trials.epochs["movement"][trial]
        assert start == end and stop - start == 810
        wave = task.waveforms[trials.conditions["direction"][trial]]
        assert_allclose(trials.targets[start:stop:10, trial], wave, atol=1e-9)
        assert_allclose(
            trials.targets[start + 5 : stop - 10 : 10, trial], (wave[1:] + wave[:-1]) / 2, atol=1e-9
        )
        assert not trials.targets[stop:, trial].any() and not trials.targets[:start, trial].any()
    assert task.waveforms.min() >= 0 and task.waveforms.max() <= 1


# -- decisions and errors -----------------------------------------------------------------------------


def test_mean_square_error_counts_what_is_not_masked():
    trials = tasks.PerceptualDecision().trials(rng=1, batch=3, dt=20 * ms)
    off = trials.targets + 0.5 * trials.mask + 9 * (1 - trials.mask)
    assert_allclose(mean_square_error(off, trials), 0.25)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tasks.DelayedMatch(grace=300 * ms), r"delayed_match: grace=300\*ms leaves nothing of"),
        (
            lambda: tasks.DelayedMatch(rule="last"),
            "delayed_match: rule='last' is unknown; known: any crossing",
        ),
        (lambda: tasks.DelayedMatch(two_channels=1), "two_channels=1 must be True or False"),
        (lambda: tasks.DelayedMatch.preset("kim2020"), "has no preset 'kim2020'; did you mean"),
        (lambda: tasks.GoNoGo(rest=0.8), "go_nogo: rest=0.8 must not be above bound=0.7"),
        (lambda: tasks.PerceptualDecision(coherences=[]), "perceptual_decision: coherences is empty"),
        (lambda: tasks.PerceptualDecision(coherences=[120]), "percentages, at most 100"),
        (lambda: tasks.PerceptualDecision(coherences="5"), "coherences='5' must be a list"),
        (lambda: tasks.PerceptualDecision(catch=1.5), "catch=1.5 is a fraction of trials, from 0 to 1"),
        (lambda: tasks.PerceptualDecision(high=0.1), "high=0.1 must be above low=0.2"),
        (lambda: tasks.ParametricWorkingMemory(pairs=[[1, 2, 3]]), "must hold pairs of different numbers"),
        (lambda: tasks.MultisensoryIntegration(boundary=9), "none of them boundary=9"),
        (lambda: tasks.ContextSwitch(switch=100 * ms), r"context_switch: switch=100\*ms must come before"),
        (lambda: tasks.Oscillation(oscillation=1500 * ms), "must be a whole number of periods"),
        (lambda: tasks.Oscillation(harmonics=[1.5]), "must be whole numbers"),
        (lambda: tasks.TemporalXOR(short=300 * ms), "must be shorter than long=300"),
        (lambda: tasks.Digits(max_rate="200"), "digits: max_rate='200' is not a number followed by a unit"),
        (lambda: tasks.Digits(folder=3), "digits: folder=3 must be text"),
        (
            lambda: tasks.DelayedMatch().trials(1, 2, 1 * ms, frist=1),
            "no condition 'frist'; did you mean 'first'",
        ),
        (lambda: tasks.DelayedMatch().trials(1, 2, 1 * ms, first=0), "first=0; first is one of -1, 1"),
    ],
)
def test_arguments_that_make_no_task(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_one_condition_or_several():
    task = tasks.MotionOrColour()
    trials = task.trials(rng=1, batch=20, dt=20 * ms, context=0, motion=[5, 50], catch=False)
    assert set(trials.conditions["context"]) == {0} and set(trials.conditions["motion"]) == {5, 50}
    row = {name: values[17] for name, values in task.conditions.items()}
    assert {n: v[0] for n, v in task.trials(1, 1, 20 * ms, **row).conditions.items()} == row


# -- the manual ----------------------------------------------------------------------------------------


def test_the_task_of_the_manual(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[-1]
    names = {"bb": brianbridge}
    exec(code, names)
    task = names["RememberSign"](delay=50 * ms)
    trials = task.trials(rng=1, batch=4, dt=1 * ms)
    assert trials.steps == 250 and task.score(trials.targets, trials).all()


def test_the_table_of_the_manual_has_every_version(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "docs")
    import task_table

    table = task_table.table()
    for name, preset in PUBLISHED:
        assert f"| `{name}` | `{preset}`: " in table
    assert "| pause: 1000, fixation: 1000, movement 1: 500, movement 2: 500, movement 3: 500 |" in table


def test_a_field_needs_a_kind():
    class Careless(tasks.BuiltInTask):
        height: float = 1.0
        name = "careless"

    with pytest.raises(TypeError, match="careless: height: .*float.* is no kind of argument"):
        Careless()
