"""Generated text as a module whose entries are compiled, once: numba_cache keeps machine code."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import itertools
import linecache
import logging
import os
import pickle
import secrets
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
import sympy
from numba.core import config
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

import symprop
from symprop.backends import in_another_thread, numba_cache, outcome
from symprop.loaded import SINCE

LOG = logging.getLogger(__name__)
SETTINGS = (
    "BOUNDSCHECK",
    "DEBUG_NRT",
    "DEBUGINFO_DEFAULT",
    "DISABLE_INTEL_SVML",
    "ENABLE_AVX",
    "ENABLE_PROFILING",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_PASS_TIMINGS",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "NRT_STATS",
    "OPT",
    "SLP_VECTORIZE",
    "USE_LLVMLITE_MEMORY_MANAGER",
)
"""Those of Numba that decide machine code, besides the processor's."""


class Compiled:
    """A generated text as a module; its entries are compiled when they are called first."""

    def __init__(self, text: str):
        self.text = text
        name = f"symprop_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        self.module = ModuleType(name)
        exec(compile(text, f"<{name}>", "exec"), vars(self.module))  # noqa: S102 (made by us)
        functions: list[Any] = [f for f in vars(self.module).values() if isinstance(f, Dispatcher)]
        for function in functions:
            if not function.targetoptions.get("no_cpython_wrapper"):  # an entry
                function._cache = Stored(self, function.__name__)

    def call(self, name: str, given: list[Any]) -> Any:
        """Call an entry by name."""
        self.prepare(name, given)
        return getattr(self.module, name)(*given)

    def prepare(self, name: str, given: list[Any]) -> None:
        """Compile an entry, or load it, if that was not done."""
        entry = getattr(self.module, name)
        if not entry.overloads:

            def work() -> None:
                entry.compile(tuple(map(numba.typeof, given)))

            outcome(in_another_thread(work))  # LLVM bears no Ctrl-C, nor do Numba's late imports

    def register(self) -> None:
        """Let Numba find the module, which names the symbols of its machine code, and its lines."""
        name, file = self.module.__name__, f"<{self.module.__name__}>"
        sys.modules[name] = self.module
        linecache.cache[file] = len(self.text), None, self.text.splitlines(keepends=True), file

    def forget(self) -> None:
        """Undo ``register``."""
        sys.modules.pop(self.module.__name__, None)
        linecache.cache.pop(f"<{self.module.__name__}>", None)


load = lru_cache(maxsize=64)(Compiled)
"""The compiled form of a text, kept for the next that has the same."""


class Stored(NullCache):  # type: ignore[misc, unused-ignore]
    """Where an entry finds its compiled forms, and leaves them: in a file for each.

    The key is a digest of all that decides the machine code; see numba_cache for the rest. Numba
    asks for a form first, compiles it if there is none, and has it saved, all under its own lock.
    """

    def __init__(self, compiled: Compiled, name: str):
        self._compiled, self._name = compiled, name

    @property
    def cache_path(self) -> str:
        return str(numba_cache.directory() or "")

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled form for a signature, or None."""
        self._compiled.register()
        content = numba_cache.read(self._key(signature, context))
        try:
            found = content and _rebuilt(content, context)
        except Exception:
            found = None
        if found:
            self._compiled.forget()
        else:
            LOG.info("%s: compiling", self._name)
        return found

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store a compiled form, if it does not hold addresses of this process."""
        self._compiled.forget()
        if not result.library.has_dynamic_globals and not result.lifted:
            with contextlib.suppress(Exception):  # it runs all the same
                content: Any = (_symbols(result.library), result._reduce())
                packed = dumps(content)  # type: ignore[no-untyped-call, unused-ignore]
                numba_cache.write(self._key(signature, result.target_context), packed)

    def _key(self, signature: Any, context: Any) -> bytes:
        settings = tuple(str(getattr(config, name, None)) for name in SETTINGS)
        processor = tuple(map(str, context.codegen().magic_tuple()))
        function = (str(signature), self._name, self._compiled.text)
        conditions = (*versions(), *settings, *processor, *function)
        return hashlib.sha256(repr(conditions).encode()).digest()


@cache
def versions() -> tuple[str, ...]:
    """Of what makes code: packages by version, our own files by content; where one of these was
    changed since it was read, what nobody else has.
    """
    packages = (symprop, sympy, numba, llvmlite, np)
    digest = hashlib.sha256()
    for file in _sources(importlib.resources.files(symprop)):
        digest.update(file.read_bytes())
        if isinstance(file, Path) and file.stat().st_ctime > SINCE - CLOCK:
            digest.update(secrets.token_bytes())
    found = (package.__version__ for package in packages)
    return (*found, sys.version, getattr(sys, "abiflags", ""), digest.hexdigest())


CLOCK = 0.02
"""Seconds by which the times of files may lag behind."""


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for found in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if found.is_dir():
            yield from _sources(found)
        elif found.name.endswith(".py"):
            yield found


def _symbols(library: Any) -> list[str]:
    """The names that machine code takes from its process."""
    module = library._final_module
    found = (*module.functions, *module.global_variables)
    return [f.name for f in found if f.is_declaration and not f.name.startswith("llvm.")]


def _rebuilt(content: bytes, context: Any) -> Any:
    """A compiled form. It needs little of Numba: all of it takes 0.25 s to set up."""
    symbols, reduced = pickle.loads(content)  # noqa: S301 (ours: see numba_cache)
    rtsys.initialize(context)
    if not all(map(llvm.address_of_symbol, symbols)):
        context.refresh()
    rebuild: Any = CompileResult._rebuild
    return rebuild(context, *reduced)


def number_apart() -> None:
    """Number functions as no other process does.

    Numba names machine code by a function's name and number. Two functions that one function made
    (the same name) and that two processes numbered alike would be one where both are loaded.
    """
    FunctionIdentity._unique_ids = itertools.count(secrets.randbits(62))


number_apart()
if hasattr(os, "register_at_fork"):
    # a child whose parent was compiling in another thread would wait for that thread for ever
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
    os.register_at_fork(after_in_child=number_apart)
