"""Check short Brian2 scripts that a property test has made up; a failing one is shrunk and printed."""

import brian2
import numpy as np
from hypothesis import HealthCheck, note

from tests.agreement.comparison import compare

#: Settings of all tests that make scripts.
RANDOM = dict(deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)


def check(script, steps):
    """Execute a script that makes a ``network``, and insist that the surrogate agrees with it."""
    note(script)
    brian2.start_scope()
    namespace = {"np": np}
    exec("from brian2 import *", namespace)
    exec(script, namespace)
    compare(namespace["network"], steps, namespace=namespace).assert_agrees()
