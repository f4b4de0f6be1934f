"""Compiled functions on disk: found again, or made again, and never a wrong number."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from symprop import Dense, Network
from symprop.backends import numba_cache
from symprop.backends import numba_compile as compiled

ROOT = Path(compiled.__file__).parents[2]
KEY, OTHER = bytes(range(32)), bytes(32)
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, of this test alone."""
    path = tmp_path / "cache"
    monkeypatch.setenv("SYMPROP_CACHE", str(path))
    return path


TEXT = """
import math
import numba
from symprop.backends.numba_math import exp

kernel = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
entry = numba.njit(nogil=True, no_cfunc_wrapper=True)

@kernel
def inner(x, y):
    for i in range(x.shape[0]):
        y[i] = exp(x[i]) - {number}

@entry
def run(x, y):
    inner(x, y)
    return x[0] + {number}

@entry
def other(x, y):
    inner(x, y)
    inner(y, x)
    return y[0]
"""


def use(number: float = 0.5, dtype: Any = np.float64) -> compiled.Compiled:
    """A module as a new process would have it, called, with right results."""
    module = compiled.Compiled(TEXT.format(number=number))
    x, y = np.linspace(-1, 1, 7).astype(dtype), np.empty(7, dtype)
    assert module.call("run", [x, y]) == x[0] + number
    np.testing.assert_allclose(y, np.exp(x) - number, rtol=4 * np.finfo(dtype).eps, atol=1e-7)
    return module


def hits(module: compiled.Compiled) -> tuple[int, int]:
    """How often the entry was found and not found; kernels are compiled only where it was not."""
    stats = module.module.run.stats
    found, missed = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
    assert bool(module.module.inner.overloads) == bool(missed)
    return found, missed


FOUND, COMPILED = (1, 0), (0, 1)


def only(folder: Path) -> Path:
    """The one file that there is."""
    (path,) = folder.iterdir()
    return path


def test_a_function_is_compiled_once(folder: Path) -> None:
    assert hits(use()) == COMPILED
    assert hits(use()) == FOUND
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_found_and_compiled_functions_of_a_module_work_together() -> None:
    use()
    module = use()
    x, y = np.linspace(-1, 1, 7), np.empty(7)
    expected = np.exp(x) - 0.5
    assert hits(module) == FOUND
    assert module.call("other", [x, y]) == expected[0]
    np.testing.assert_allclose(x, np.exp(expected) - 0.5, rtol=1e-14)


def test_machine_code_is_named_by_its_text(folder: Path) -> None:
    """Symbols of two modules, compiled in two processes, would else be the same in a third."""
    given = [[np.ones(3), np.ones(3)], [np.ones(6)[::2], np.ones(3)]]
    for found in (0, 2):
        module = compiled.Compiled(TEXT.format(number=0.5))
        for arrays in given:
            module.call("run", arrays)
        assert sum(module.module.run.stats.cache_hits.values()) == found
        for function in (module.module.run, module.module.inner):
            for form in function.overloads.values():
                assert form.fndesc.modname == module.module.__name__
        assert module.module.__name__ not in sys.modules


MADE = """
import sys
import numba
import numpy as np
from symprop.backends.numba_compile import Compiled
from symprop.backends.numba_kernels import Apart

def made(factor):
    @numba.njit(pipeline_class=Apart, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def scale(x):
        for i in range(x.shape[0]):
            x[i] *= factor
    return scale

sys.modules["made"] = sys.modules["__main__"]
twice, thrice = made(2.0), made(3.0)
for name in sys.argv[1:]:
    text = f"import numba\\nfrom made import {name}\\n@numba.njit\\ndef run(x): {name}(x)"
    module, x = Compiled(text), np.ones(3)
    module.call("run", [x])
    sys.stdout.write(f"{x[0]} {sum(module.module.run.stats.cache_hits.values())};")
"""


def test_functions_of_one_name_from_several_processes_stay_apart(folder: Path) -> None:
    def run(*names: str) -> str:
        command = [sys.executable, "-c", MADE, *names]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(  # noqa: S603 (our own script)
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    assert (run("twice"), run("thrice")) == ("2.0 0;", "3.0 0;")
    assert run("twice", "thrice") == "2.0 1;3.0 1;"


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_numbers_functions_on_its_own() -> None:
    expected = next(FunctionIdentity._unique_ids) + 1

    def check() -> None:
        assert abs(next(FunctionIdentity._unique_ids) - expected) > 2**32

    assert in_a_child(check) == 0
    assert next(FunctionIdentity._unique_ids) == expected


def test_text_signature_and_name_have_files_of_their_own(folder: Path) -> None:
    for number, dtype in ((0.5, np.float64), (0.25, np.float64), (0.5, np.float32)):
        assert hits(use(number, dtype)) == COMPILED
    module = use()
    module.call("other", [np.ones(3), np.ones(3)])
    module.call("run", [np.ones(6)[::2], np.ones(3)])  # another layout
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("what", ["package", "own file", "setting", "processor"])
def test_what_decides_machine_code_is_in_the_key(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    versions = compiled.versions()
    if what == "package":
        monkeypatch.setattr(compiled.numba, "__version__", "0.0")
    elif what == "own file":
        monkeypatch.setattr(
            compiled.importlib.resources, "files", lambda package: Path(__file__).parent
        )
    elif what == "setting":
        monkeypatch.setattr(compiled.config, "SLP_VECTORIZE", 1)
    else:
        kind = type(cpu_target.target_context.codegen())
        magic = ("x86_64-unknown-linux-gnu", "generic", "")
        monkeypatch.setattr(kind, "magic_tuple", lambda self: magic)
    if what in ("package", "own file"):
        monkeypatch.setattr(compiled, "versions", compiled.versions.__wrapped__)
        assert compiled.versions() != versions
    assert hits(use()) == COMPILED


def flipped(record: bytes, place: float) -> bytes:
    at = round(place * (len(record) - 1))
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


HEAD = numba_cache.HEAD.size + numba_cache.DIGEST
BROKEN = {
    "empty": lambda record: b"",
    "head only": lambda record: record[:HEAD],
    "within the head": lambda record: record[: HEAD // 2],
    "truncated": lambda record: record[: len(record) // 2],
    "last byte missing": lambda record: record[:-1],
    "longer": lambda record: record + b"\0",
    "zeros": lambda record: bytes(len(record)),
    "format": lambda record: record[:8] + b"\2" + record[9:],
    "key": lambda record: flipped(record, 13 / len(record)),
    "length": lambda record: flipped(record, 45 / len(record)),
    "digest": lambda record: flipped(record, 60 / len(record)),
    "pickle": lambda record: record[:HEAD] + b"cos\nsystem\n(S'false'\ntR.",
    **{f"bit at {n}/8": lambda record, n=n: flipped(record, n / 8) for n in range(9)},
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_never_looked_into_and_made_anew(
    how: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    path = only(folder)
    record = path.read_bytes()
    broken = BROKEN[how](record)
    assert broken != record
    path.write_bytes(broken)
    with monkeypatch.context() as patch:
        patch.setattr(compiled.pickle, "loads", lambda content: pytest.fail("read"))
        assert hits(use()) == COMPILED
    assert hits(use()) == FOUND


def test_a_file_of_another_key_is_refused(folder: Path) -> None:
    use(0.25)
    foreign = only(folder).read_bytes()
    use(0.5)
    for path in folder.iterdir():
        path.write_bytes(foreign)
    assert hits(use(0.5)) == COMPILED
    assert hits(use(0.25)) == FOUND


def test_a_file_that_cannot_be_rebuilt_is_made_anew(folder: Path) -> None:
    """Sound, of the right key, and yet not what this Numba unpickles."""
    use()
    path = only(folder)
    numba_cache.write(bytes.fromhex(path.stem), b"not a pickle")
    assert hits(use()) == COMPILED
    assert hits(use()) == FOUND


@posix
def test_a_directory_that_others_may_write_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    for mode in (0o777, 0o770, 0o702):
        folder.chmod(mode)
        assert numba_cache.directory() is None
        assert hits(use()) == COMPILED
    folder.chmod(0o755)
    assert hits(use()) == FOUND
    link = folder.with_name("link")
    link.symlink_to(folder)
    monkeypatch.setenv("SYMPROP_CACHE", str(link))
    assert hits(use()) == FOUND
    folder.chmod(0o777)
    assert hits(use()) == COMPILED


@posix
@root
@pytest.mark.parametrize("part", ["directory", "link", "file"])
def test_what_belongs_to_others_is_not_used(
    part: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    path = {"directory": folder, "link": folder.with_name("link"), "file": only(folder)}[part]
    if part == "link":
        path.symlink_to(folder)
        monkeypatch.setenv("SYMPROP_CACHE", str(path))
        assert hits(use()) == FOUND
    os.chown(path, 12345, -1, follow_symlinks=False)
    assert hits(use()) == COMPILED


@posix
def test_a_file_that_others_may_write_is_made_anew(folder: Path) -> None:
    use()
    path = only(folder)
    for mode in (0o666, 0o620):
        path.chmod(mode)
        assert hits(use()) == COMPILED
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_file_is_not_read(kind: str, folder: Path) -> None:
    use()
    path = only(folder)
    kept = path.rename(folder.parent / "kept")
    if kind == "link":
        path.symlink_to(kept)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert hits(use()) == COMPILED
    assert kept.exists()
    assert hits(use()) == (COMPILED if kind == "directory" else FOUND)


def test_where_nothing_can_be_written_all_is_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("a file, not a directory")
    assert hits(use()) == COMPILED
    assert hits(use()) == COMPILED
    assert folder.read_text() == "a file, not a directory"
    folder.unlink()
    monkeypatch.setattr(numba_cache.tempfile, "mkstemp", _refuse)
    assert hits(use()) == COMPILED
    assert not list(folder.iterdir())


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_cache.os, "replace", _refuse)
    assert hits(use()) == COMPILED
    assert not list(folder.iterdir())


def _refuse(*given: Any, **named: Any) -> Any:
    raise OSError(28, "No space left on device")


def test_what_was_used_least_recently_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [bytes([n]) * 32 for n in range(5)]
    monkeypatch.setattr(numba_cache, "LIMIT", 3 * (HEAD + 1000))
    for n, key in enumerate(keys[:3]):
        numba_cache.write(key, bytes(1000))
        os.utime(folder / f"{key.hex()}.compiled", (n, n))
    assert numba_cache.read(keys[0])
    for key in keys[3:]:
        numba_cache.write(key, bytes(1000))
    assert [bool(numba_cache.read(key)) for key in keys] == [True, False, False, True, True]


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    old, new, foreign = (folder / name for name in ("old.tmp", "new.tmp", "notes.txt"))
    for path in (old, new, foreign):
        path.write_text("half")
    for path in (old, foreign):
        os.utime(path, (0, 0))
    numba_cache.write(KEY, b"content")
    assert [path.exists() for path in (old, new, foreign)] == [False, True, True]


def test_content_comes_back_under_its_key_only() -> None:
    assert numba_cache.read(KEY) is None
    numba_cache.write(KEY, b"content")
    assert numba_cache.read(KEY) == b"content"
    assert numba_cache.read(OTHER) is None


def test_what_holds_addresses_of_this_process_is_not_stored(folder: Path) -> None:
    module = compiled.Compiled(TEXT.format(number="TABLE[2]"))
    table = vars(module.module)["TABLE"] = np.arange(1e6)
    assert module.call("run", [np.ones(3), np.ones(3)]) == 1 + table[2]
    assert not list(folder.iterdir())


def test_what_takes_time_at_a_first_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "symprop")
    for expected in (["predict: deriving and lowering", "predict: compiling"], []):
        Network([Dense(1)], inputs=1, loss="mse").compile(seed=7).predict([[1.0]])
        assert caplog.messages == expected
        compiled.load.cache_clear()  # as in a new process
        caplog.clear()


SCRIPT = """
import sys
import numpy as np
from numba.core import compiler
from symprop import Dense, Network

compilations, compile_extra = [], compiler.compile_extra
def counted(*arguments, **settings):
    compilations.append(1)
    return compile_extra(*arguments, **settings)
compiler.compile_extra = counted
net = Network([Dense(3, activation="tanh"), Dense(2)], inputs=4, loss="mse")
rng = np.random.default_rng(0)
x, y = rng.random((20, 4)), rng.random((20, 2))
fast, slow = (net.compile("sgd", dtype="float64", backend=b) for b in ("numba", "numpy"))
for model in (fast, slow):
    model.fit(x, y, epochs=2, batch_size=8, progress=False)
for name, expected in slow.parameters.items():
    np.testing.assert_allclose(fast.parameters[name], expected, rtol=1e-12, err_msg=name)
sys.stdout.write(f"{len(compilations)}\\n{fast.parameters['W1'].tolist()}\\n{fast.source}")
"""


def started(cache: Path, seed: int) -> subprocess.Popen[str]:
    """A new process that runs and trains a network, and compares with the interpreter."""
    environment = {**os.environ, "SYMPROP_CACHE": str(cache), "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(  # noqa: S603 (our own script)
        [sys.executable, "-c", SCRIPT],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How many functions it compiled; its numbers and its source."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    count, result = out.split("\n", 1)
    return int(count), result


def test_processes_at_once_are_right_and_the_next_compiles_nothing(folder: Path) -> None:
    processes = [started(folder, seed) for seed in range(2)]
    (first, result), (second, same) = map(finished, processes)
    assert min(first, second) > 5
    assert same == result
    assert {path.suffix for path in folder.iterdir()} == {numba_cache.SUFFIX}
    assert finished(started(folder, 2)) == (0, result)


def test_readers_see_whole_files_only() -> None:
    contents = {bytes([n]) * 100_000 for n in range(4)}

    def write(content: bytes) -> None:
        for _ in range(50):
            numba_cache.write(KEY, content)

    with ThreadPoolExecutor(len(contents)) as pool:
        writers = [pool.submit(write, content) for content in contents]
        while not all(writer.done() for writer in writers):
            assert numba_cache.read(KEY) in {*contents, None}
    assert numba_cache.read(KEY) in contents


def test_threads_at_once_are_right() -> None:
    """Of the same text, of different texts, and of one module."""
    x, numbers = np.linspace(-1, 1, 7), [0.5, 0.5, 1.5, 2.5]
    modules = [compiled.Compiled(TEXT.format(number=number)) for number in numbers]
    with ThreadPoolExecutor(6) as pool:
        calls = [
            pool.submit(module.call, "run", [x, np.empty(7)])
            for module in (*modules, modules[-1], modules[-1])
        ]
    found = [call.result() for call in calls]
    assert found == [x[0] + number for number in (*numbers, numbers[-1], numbers[-1])]


def in_a_child(check: Callable[[], Any]) -> int:
    """The exit status of a fork of this process that runs a check; 14 if it hangs."""
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            check()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_uses_what_its_parent_compiled() -> None:
    module = use()
    assert in_a_child(lambda: module.call("run", [np.ones(3), np.ones(3)])) == 0
    assert in_a_child(lambda: module.call("other", [np.ones(3), np.ones(3)])) == 0
    assert in_a_child(lambda: use(0.25)) == 0


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_compiles_though_another_thread_was_compiling() -> None:
    begun = threading.Event()

    def compile_slowly() -> None:
        with global_compiler_lock:
            begun.set()
            time.sleep(0.5)

    thread = threading.Thread(target=compile_slowly)
    thread.start()
    begun.wait()
    run = compiled.Compiled(TEXT.format(number=0.5)).module.run
    assert in_a_child(lambda: run(np.ones(3), np.ones(3))) == 0
    thread.join()
