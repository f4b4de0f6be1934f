"""The house of DESIGN §3: which file may import which, how long it may be, what occurs nowhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import symprop

from cases import PUBLIC

PACKAGE = Path(symprop.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

LEVELS = (
    ("errors", "loaded"),
    ("printable", "mnist"),
    ("primitives", "smooth", "settings", "arguments"),
    ("tensor", "formula"),
    ("equation",),
    ("program",),
    ("liveness", "scope", "activations", "passes", "adjoint", "fingerprint"),
    ("layers", "initializers", "losses", "optimizers", "lowering", "steps", "kinks", "limits"),
    ("accumulation", "blocks", "division", "loops", "schedule", "domain"),
    ("network", "printers", "backends", "derive"),
    ("archive", "metrics", "history", "callbacks", "learning_rate", "progress"),
    ("data", "weights", "divergence", "recorder", "start", "cut", "training"),
    ("storage", "model", "check", "learner", "blame", "flow", "plots"),
    ("cli", "report"),
)
"""From the ground up; a file imports from its own level and those below, never from above."""

RANK = {name: rank for rank, names in enumerate(LEVELS) for name in names}

DOORS = {
    ("printable", "printers"): "what is printable writes itself in every form",
    ("equation", "printers"): "an equation prints itself",
    ("program", "printers"): "a program prints itself",
    ("kinks", "printers"): "a place is named as formulas name it",
    ("domain", "backends"): "a loss is evaluated where a prediction may lie",
    ("kinks", "backends"): "zeros are searched on many points at once",
    ("network", "derive"): "Network.derive()",
    ("network", "model"): "Network.compile()",
    ("network", "learner"): "Network.check_hand_derivation()",
    ("derive", "data"): "a sample is checked before its numbers are put into formulas",
    ("derive", "start"): "parameters that are not given start as a model's",
    ("history", "plots"): "History.plot()",
}
"""The upward imports there are: inside a function, so that the file itself loads without them."""

DECLARING = {"layers", "losses", "optimizers", "activations", "initializers", "scope"}
FORBIDDEN = {
    "passes",
    "steps",
    "schedule",
    "backends",
    "printers",
    "derive",
    "model",
    "numpy",
    "numba",
}


VERSION = {"backends", "storage", "model", "cli"}
"""What may import symprop itself, for its version: it is part of what is stored, and printed."""


def unit(path):
    """The name of a file in the table: its folder or itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(tree):
    """(module, whether at module level and run) for every import."""
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _type_checking(node)
        for inner in ast.walk(node)
        if inner is not node
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "symprop":
                names = [f"symprop.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            yield name, id(node) not in inside, node


def _type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def only_for_types(tree, node):
    return any(
        node is inner
        for guard in ast.walk(tree)
        if _type_checking(guard)
        for inner in ast.walk(guard)
    )


def files(*names):
    return [path for path in FILES if unit(path) in names]


def test_every_file_is_in_the_table():
    assert {unit(path) for path in FILES} - {"__init__", "__main__"} <= set(RANK)


def test_imports_go_one_way():
    wrong = []
    for path, tree in TREES.items():
        if unit(path) in ("__init__", "__main__"):
            continue
        for name, at_top, _ in imports(tree):
            if name in ("symprop", "symprop.__version__") and unit(path) in VERSION:
                continue
            if name.startswith("symprop") and at_top:
                other = [*name.split("."), "symprop"][1]
                if other not in RANK or RANK[other] > RANK[unit(path)]:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_upward_imports_inside_functions_are_the_known_doors():
    found = set()
    for path, tree in TREES.items():
        if unit(path) in ("__init__", "__main__"):
            continue
        for name, at_top, node in imports(tree):
            if at_top or not name.startswith("symprop.") or only_for_types(tree, node):
                continue
            other = name.split(".")[1]
            if RANK[other] > RANK[unit(path)]:
                found.add((unit(path), other))
    assert found <= set(DOORS)


def test_files_of_one_level_do_not_import_in_a_circle():
    edges = {}
    for path, tree in TREES.items():
        for name, at_top, _ in imports(tree):
            if at_top and name.startswith("symprop."):
                edges.setdefault(unit(path), set()).add(name.split(".")[1])
    edges.pop("__init__")
    visited = []

    def visit(name, way):
        assert name not in way, f"circle: {' → '.join((*way, name))}"
        if name not in visited:
            for other in sorted(edges.get(name, set()) - {name}):
                visit(other, (*way, name))
            visited.append(name)

    for name in sorted(edges):
        visit(name, ())


def test_numba_is_imported_by_its_backend_only():
    for path, tree in TREES.items():
        if any(name.split(".")[0] in ("numba", "llvmlite") for name, _, _ in imports(tree)):
            assert path.parent.name == "backends"
            assert path.stem.startswith("numba")


def test_what_declares_does_not_know_what_runs_or_prints():
    for path in files(*DECLARING):
        for name, _, _ in imports(TREES[path]):
            top = name.split(".")
            other = top[1] if top[0] == "symprop" and len(top) > 1 else top[0]
            allowed = unit(path) == "initializers" and other == "numpy"  # they draw arrays
            assert other not in FORBIDDEN or allowed, f"{path.name} imports {name}"


def test_what_runs_or_prints_does_not_ask_for_a_layer():
    for path in files("passes", "steps", "schedule", "backends", "printers", "adjoint"):
        for name, _, _ in imports(TREES[path]):
            assert not name.startswith("symprop.layers"), path.name
        classes = {n.id for n in ast.walk(TREES[path]) if isinstance(n, ast.Name)}
        assert not classes & {"Dense", "Softmax", "Elementwise"}, path.name


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def test_text_is_executed_by_one_function_of_the_numba_backend_only():
    found = []
    for path, tree in TREES.items():
        for node, name in calls(tree):
            assert name not in ("eval", "__import__"), (path.name, node.lineno)
            assert name.split(".")[-1] not in ("parse_expr", "lambdify"), (path.name, node.lineno)
            if name in ("exec", "compile"):
                found.append((path.relative_to(PACKAGE).as_posix(), name))
    file = "backends/numba_compile.py"
    assert sorted(found) in ([], [(file, "compile"), (file, "exec")])


def test_text_is_never_read_as_mathematics():
    """sympify of a string is eval; strict=True refuses strings."""
    for path, tree in TREES.items():
        for node, name in calls(tree):
            if name.split(".")[-1] in ("sympify", "S"):
                strict = {k.arg: ast.unparse(k.value) for k in node.keywords}.get("strict")
                assert strict == "True", (path.name, node.lineno)


def test_there_is_no_bare_assert():
    for path, tree in TREES.items():
        found = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert not found, f"{path.name}: {found}"


def test_no_file_is_over_four_hundred_lines():
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in FILES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_no_function_is_over_fifty_lines():
    long = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if lines > 50:
                    long[f"{path.name}:{node.name}"] = lines
    assert not long


def test_no_file_is_a_drawer_and_no_global_is_a_switch():
    for path, tree in TREES.items():
        assert path.stem not in ("utils", "util", "helpers", "misc", "common")
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Global)], path.name


def test_every_public_name_has_a_case():
    assert set(symprop.__all__) == set(PUBLIC)


@pytest.mark.parametrize("name", sorted(symprop.__all__))
def test_every_public_name_works(name):
    assert hasattr(symprop, name)
    PUBLIC[name]()


def test_every_public_thing_has_a_docstring_or_is_a_symbol():
    for name in symprop.__all__:
        thing = getattr(symprop, name)
        if callable(thing):
            assert thing.__doc__, name


LOADED = """
import sys
import symprop
print([m for m in ("numba", "llvmlite", "scipy", "tqdm", "matplotlib") if m in sys.modules])
net = symprop.Network([symprop.Dense(2, activation="gelu")], inputs=2, loss="mse")
print(net.gradients)
print([m for m in ("numba", "llvmlite", "matplotlib") if m in sys.modules])
"""


def test_importing_and_printing_do_not_load_what_they_do_not_need():
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=120
    )
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("[]", "[]")
