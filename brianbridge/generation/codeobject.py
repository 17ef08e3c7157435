"""A Brian2 code generation target that keeps the optimised statements.

Registering a real target makes Brian2 itself resolve names, check units, look up functions, substitute
subexpressions and optimise; what comes back is not program text but the list of its `Statement` objects.
"""

from brian2.codegen.codeobject import CodeObject
from brian2.codegen.generators.base import CodeGenerator
from brian2.codegen.permutation_analysis import check_for_order_independence
from brian2.core.functions import DEFAULT_FUNCTIONS
from brian2.input.timedarray import TimedArray

__all__ = ["FUNCTIONS", "StatementsCodeObject"]

#: Brian2's own functions that the surrogate knows.
FUNCTIONS = frozenset(
    "abs arccos arcsin arctan ceil clip cos cosh exp exprel expm1 floor int log log10 log1p sign sin sinh "
    "sqrt tan tanh timestep".split()
)


class _StatementsGenerator(CodeGenerator):
    """Hands the statements on as they are, after Brian2's checks."""

    class_name = "torch"

    def translate_one_statement_sequence(self, statements, scalar=False):
        self.arrays_helper(statements)  # refuses writes to shared variables where Brian2 does
        if not scalar and self.has_repeated_indices(statements):
            check_for_order_independence(statements, self.variables, self.variable_indices)
        return statements

    def determine_keywords(self):
        return {"gates": self.get_conditional_write_vars()}


class _Template:
    """Stands where a Jinja template would: Brian2 asks it for declarations and calls it with the code."""

    # name: (indices that run over all elements, shared variables may be written)
    DECLARED = {
        "stateupdate": ({"_idx"}, True),
        "threshold": ({"_idx"}, False),
        "summed_variable": ({"_idx"}, False),
        "spikegenerator": (set(), False),
        "reset": (set(), False),
        "synapses": (set(), False),
        "statemonitor": (set(), False),
        "spikemonitor": (set(), False),
        "ratemonitor": (set(), False),
    }

    def __init__(self, name):
        if name not in self.DECLARED:
            raise AttributeError(name)
        self.iterate_all, self.allows_scalar_write = self.DECLARED[name]
        self.variables = set()
        self.template_source = ""

    def __call__(self, scalar_code, vector_code, **keywords):
        return {"statements": scalar_code[None] + vector_code[None], **keywords}


class _Templates:
    def __getattr__(self, name):
        return _Template(name)


class StatementsCodeObject(CodeObject):
    """Code object of the target ``'torch'``; users add functions with ``@implementation('torch', f)``."""

    class_name = "torch"
    generator_class = _StatementsGenerator
    templater = _Templates()

    def compile_block(self, block):
        return None

    def run_block(self, block):
        raise NotImplementedError("Statements are rendered and fused by a back end, not run one by one.")


for _name in FUNCTIONS:
    DEFAULT_FUNCTIONS[_name].implementations.add_implementation(_StatementsGenerator, code=None)
# TimedArray asks this table, when it is made, for a generator of code; the back ends read the values instead.
TimedArray.implementations["torch"] = ((lambda values, dt, name: lambda owner: None),) * 2
