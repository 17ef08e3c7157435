"""Gradients of random networks, by all that can be trained: both back ends give the same."""

from dataclasses import replace

import brian2
import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from brianbridge.model.capture import capture
from brianbridge.model.constraints import Free, Trainable
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import Box, FastSigmoid
from tests.agreement.backends import assert_gradients_agree
from tests.agreement.comparison import recordable
from tests.agreement.random_scripts import RANDOM
from tests.agreement.test_random_models import scripts as models
from tests.agreement.test_random_networks import scripts as networks

STEPS = 40
GRADIENTS = [FastSigmoid(width=0.3, height=0.3), Box(width=0.5, height=0.3)]


def check_gradients(script, gradient):
    """Execute a script that makes a ``network``, and train every floating-point number in it."""
    note(script)
    brian2.start_scope()
    namespace = {"np": np}
    exec("from brian2 import *", namespace)
    exec(script, namespace)
    model = with_everything_trained(capture(namespace["network"], namespace))
    program = Surrogate(model).program
    states = [key for key in recordable(program, model) if is_differentiable(key, program)]
    assert_gradients_agree(model, gradient, [*states, *program.events], STEPS, batch=2)


def with_everything_trained(model):
    targets = [
        (group.name, variable)
        for group in model.groups
        for variable, values in getattr(group, "values", {}).items()
        if values.dtype.kind == "f" and values.size and variable not in ("lastspike", "lastupdate", "delay")
    ]
    return replace(
        model, trainable=tuple(Trainable((target,), Free(), model.dimensions(target)) for target in targets)
    )


def is_differentiable(key, program):
    array = program.arrays.get(key)
    whole = array is not None and (array.kind != "float" or not array.value.size)
    return not (whole or key.endswith(("lastspike", "lastupdate")))


@settings(**RANDOM, max_examples=7, derandomize=True)
@given(models() | networks(), st.sampled_from(GRADIENTS))
def test_random_gradients(script, gradient):
    check_gradients(script, gradient)


@pytest.mark.slow
@settings(**RANDOM, max_examples=300)
@given(models() | networks(), st.sampled_from(GRADIENTS))
def test_many_random_gradients(script, gradient):
    check_gradients(script, gradient)
