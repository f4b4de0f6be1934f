"""How kernels are compiled: once, and knowing that their arrays lie in different places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering


class _KernelLower(Lower):  # type: ignore[misc, unused-ignore]
    """Lowers a kernel as a function of its own."""

    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):  # type: ignore[misc, unused-ignore]
    _name = "symprop_kernel_lowering"

    @property
    def lowering_class(self) -> Any:
        return _KernelLower


class Apart(CompilerBase):  # type: ignore[misc, unused-ignore]
    """Compiles a kernel that may suppose its arrays to be in different places."""

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class Alone(Apart):
    """Compiles such a kernel as a function that stays one: of what is inlined LLVM knows less, and
    leaves its loops to scalar code.
    """

    def define_pipelines(self) -> list[Any]:
        (pipeline,) = super().define_pipelines()
        pipeline.passes = [
            (_KernelLowering, text) if found is NativeLowering else (found, text)
            for found, text in pipeline.passes
        ]
        return [pipeline]


njit: Any = numba.njit  # its types know neither of the two options


def inlined(function: Callable[..., Any], pipeline: Any = Apart) -> Any:
    """A function for generated code, compiled once for all whole numbers that it is called with:
    Numba would compile it anew for each number that stands in the text.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    made = njit(pipeline_class=pipeline, **options)(function)
    template = made.get_call_template
    made.get_call_template = lambda given, named: template(
        tuple(map(types.unliteral, given)), named
    )
    return made


def compiled(function: Callable[..., Any]) -> Any:
    """The same for a function that is long enough to stay one."""
    return inlined(function, Alone)
