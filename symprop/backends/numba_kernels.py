"""How kernels are compiled: once, and knowing that their arrays lie in different places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numba
from llvmlite.binding import Linkage
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering


class _PlainLibrary(JITCodeLibrary):  # type: ignore[misc, unused-ignore]
    """Code that is optimized once, when it is complete."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout


class _KernelLibrary(_PlainLibrary):  # type: ignore[misc, unused-ignore]
    """The code of a kernel, which is only ever part of an entry: optimized and turned into machine
    code there, and not by itself before.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _EntryLibrary(_PlainLibrary):  # type: ignore[misc, unused-ignore]
    """The code of an entry with all kernels. They are called from here only, so that LLVM may drop
    arguments that they do not use and fill in those that are always the same; and they are
    private, for the linker takes even what is internal for a function of that name elsewhere.
    """

    def _optimize_final_module(self) -> None:
        for library in self._kernels(self._linking_libraries):
            for function in library.get_defined_functions():
                self._final_module.get_function(function.name).linkage = Linkage.private
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)

    def _kernels(self, libraries: Iterable[Any]) -> Iterator[_KernelLibrary]:
        for library in libraries:
            if isinstance(library, _KernelLibrary):
                yield library
                yield from self._kernels(library._linking_libraries)


class _KernelLower(Lower):  # type: ignore[misc, unused-ignore]
    """Lowers a kernel as a function of its own."""

    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):  # type: ignore[misc, unused-ignore]
    """Lowers what is only called by compiled code; nothing in memory stands for it but a key."""

    _name = "symprop_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        super().run_pass(state)
        lowered = state["cr"]
        key: Any = [].append  # Numba asks for a built-in function
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=key)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(_PartLowering):
    _name = "symprop_kernel_lowering"

    @property
    def lowering_class(self) -> Any:
        return _KernelLower


@register_pass(mutates_CFG=True, analysis_only=False)
class _EntryLowering(NativeLowering):  # type: ignore[misc, unused-ignore]
    """Lowers what Python calls."""

    _name = "symprop_entry_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class Entry(CompilerBase):  # type: ignore[misc, unused-ignore]
    """Compiles an entry."""

    def define_pipelines(self) -> list[Any]:
        return [_with_lowering(self.state, _EntryLowering)]


def _with_lowering(state: Any, lowering: type[NativeLowering]) -> Any:
    """Numba's passes with another one for lowering."""
    pipeline = DefaultPassBuilder.define_nopython_pipeline(state)
    pipeline.passes = [
        (lowering if found is NativeLowering else found, text) for found, text in pipeline.passes
    ]
    return pipeline


class Apart(CompilerBase):  # type: ignore[misc, unused-ignore]
    """Compiles a kernel that may suppose its arrays to be in different places."""

    lowering: type[NativeLowering] = _PartLowering
    noalias = True

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = self.noalias
        self.state.flags.no_compile = True
        return [_with_lowering(self.state, self.lowering)]


class Alone(Apart):
    """Compiles such a kernel as a function that stays one: of what is inlined LLVM knows less, and
    leaves its loops to scalar code.
    """

    lowering = _KernelLowering


class Sequence(Alone):
    """Compiles calls of kernels: arrays that are needed one after the other may share memory."""

    noalias = False


njit: Any = numba.njit  # its types know neither of the two options


def inlined(function: Callable[..., Any], pipeline: Any = Apart) -> Any:
    """A function for generated code, compiled once for all whole numbers that it is called with:
    Numba would compile it anew for each number that stands in the text.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    made = njit(pipeline_class=pipeline, _nrt=False, **options)(function)
    template = made.get_call_template
    made.get_call_template = lambda given, named: template(
        tuple(map(types.unliteral, given)), named
    )
    return made


def compiled(function: Callable[..., Any]) -> Any:
    """The same for a function that is long enough to stay one."""
    return inlined(function, Alone)


@inlined
def least(a, b):  # type: ignore[no-untyped-def]
    """The smaller of two whole numbers."""
    return a if a < b else b
