"""The benchmarks: contestants compute the same, rounds interleave, tables say what was measured."""

from __future__ import annotations

import json
import math
import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import race as races
from benchmarks import tables
from benchmarks.__main__ import SCRIPTS, arguments, settings_of
from benchmarks.contestants import ENTRIES
from benchmarks.contestants.numpy_loop import NumpyLoop
from benchmarks.passes import Choice, choices
from benchmarks.race import Lane, Measurement, best_of, disagreement
from benchmarks.scaling import CURVES, lead
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.training import Result
from benchmarks.worker import Worker, agreement_epochs
from benchmarks.workloads import TABLE, Workload, from_plain, stack, with_rows

TINY = (
    Workload("regression", 3, stack((5, 4, 2), "tanh", "linear"), "mse", 8, 30, "float64"),
    Workload("classes", 4, stack((6, 3), "relu", "softmax"), "cross_entropy", 8, 30, "float64"),
    Workload("full", 2, stack((4, 1), "tanh", "linear"), "mse", 20, 20, "float64"),
)
QUICK = [name for name in ENTRIES if name != "torch-compiled"]  # its compiler takes half a minute


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """A process for each contestant: JAX and PyTorch start threads that no fork survives."""
    settings = Settings(scratch=tmp_path_factory.mktemp("benchmarks"))
    started: dict[str, Worker] = {}

    def worker(name: str) -> Worker:
        if ENTRIES[name].missing:
            pytest.skip(ENTRIES[name].missing)
        if name not in started:
            started[name] = Worker(name, 1, settings.environment(1))
        return started[name]

    yield worker
    for each in started.values():
        each.close()


def reference(workload: Workload, optimizer: str, epochs: int) -> float:
    return NumpyLoop(workload, optimizer).run(epochs, shuffle=False)


@pytest.mark.parametrize("workload", TINY, ids=lambda w: w.name)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", [name for name in QUICK if name != "numpy"])
def test_contestants_compute_the_same(
    workers: Callable[[str], Worker], name: str, optimizer: str, workload: Workload
) -> None:
    said = workers(name).ask("prepare", workload=workload.plain(), optimizer=optimizer)(120)
    expected = reference(workload, optimizer, agreement_epochs(workload))
    # scikit-learn's Adam has ε outside of the bias correction
    tolerance = 1e-5 if (name, optimizer) == ("sklearn", "adam") else 1e-12
    assert said["loss"] == pytest.approx(expected, rel=tolerance), said


@pytest.mark.parametrize("name", QUICK)
def test_contestants_shuffle(workers: Callable[[str], Worker], name: str) -> None:
    """The second epoch sees all rows, in another order than the given one."""
    worker = workers(name)
    worker.ask("prepare", workload=TINY[0].plain(), optimizer="sgd")(120)
    loss = worker.ask("run", epochs=1)(120)["loss"]
    in_order = reference(TINY[0], "sgd", 2)
    assert loss == pytest.approx(in_order, rel=0.05)
    assert loss != pytest.approx(in_order, rel=1e-9)


class FakeWorker:
    """Answers at once, and writes down who was asked what."""

    def __init__(self, name: str, log: list[tuple[str, str]], broken: bool = False):
        self.name, self.log, self.alive, self.broken = name, log, True, broken

    def ask(self, do: str, **question: object) -> object:
        self.log.append((self.name, do))
        answer = {"loss": 1.0, "seconds": 0.25, "cpu": 0.25}
        return lambda limit: {"error": "broken"} if self.broken else answer

    def close(self) -> None:
        self.alive = False


def fake_lanes(log: list[tuple[str, str]], broken: str = "") -> list[Lane]:
    names = ("symprop", "jax", "numpy")
    return [
        Lane(name, 1, worker=FakeWorker(name, log, name == broken))  # type: ignore[arg-type]
        for name in names
    ]


def test_rounds_interleave(tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    settings = Settings(rounds=5, scratch=tmp_path)
    measured = races.race(fake_lanes(log), TINY[0], "sgd", settings)
    order = [name for name, do in log if do == "run"]
    assert order == ["symprop", "jax", "numpy"] * 6  # once to know the pace, then five rounds
    assert [name for name, do in log if do == "prepare"] == ["symprop", "jax", "numpy"]
    assert all(m.microseconds == pytest.approx([0.25e6 / 4] * 5) for m in measured)


def test_who_fails_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    lanes = fake_lanes(log, broken="jax")
    measured = races.race(lanes, TINY[0], "sgd", Settings(rounds=2, scratch=tmp_path))
    assert [m.error for m in measured] == ["", "broken", ""]
    assert [len(m.microseconds) for m in measured] == [2, 0, 2]
    assert best_of(measured, "jax") is None


def test_lanes_of_several_threads_come_last_and_only_where_one_thread_does(tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    lanes = fake_lanes(log, broken="jax")
    lanes = [replace(lane, threads=2) for lane in lanes] + lanes
    measured = races.prepare(lanes, TINY[0], "sgd", Settings(tmp_path))
    assert [name for name, _ in log] == ["symprop", "jax", "numpy", "symprop", "numpy"]
    assert [m.error for m in measured] == ["", "broken", ""] * 2


def test_small_batches_do_not_get_threads_that_take_long_to_prepare(tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    worker = FakeWorker("torch-compiled", log)
    lanes = [Lane("torch-compiled", 2, worker=worker)]  # type: ignore[arg-type]
    settings = Settings(tmp_path, rounds=1)
    (small,) = races.race(lanes, TABLE[0], "sgd", settings)
    assert (small.skipped, small.error, small.microseconds, log) == (True, "", [], [])
    (large,) = races.race(lanes, TABLE[4], "sgd", settings)
    assert (large.skipped, len(large.microseconds)) == (False, 1)


def test_a_worker_trains_in_its_own_process(tmp_path: Path) -> None:
    settings = Settings(scratch=tmp_path, rounds=2, piece=0.001)
    lane = Lane("numpy", 1)
    with races.closing([lane]):
        (found,) = races.race([lane], TINY[0], "adam", settings)
        assert lane.worker is not None
        wrong = lane.worker.ask("prepare", workload={"no": 1}, optimizer="sgd")(30)
    assert found.error == ""
    assert len(found.microseconds) == 2
    assert found.loss == pytest.approx(reference(TINY[0], "adam", 1))
    assert "error" in wrong
    assert not lane.worker.alive


def test_the_environment_is_the_same_for_all_but_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    one, two = (Settings(scratch=tmp_path).environment(threads) for threads in (1, 2))
    assert "OPENBLAS_CORETYPE" not in one
    assert {key for key in one if one[key] != two.get(key)} >= {"OMP_NUM_THREADS", "XLA_FLAGS"}
    chosen = Settings(scratch=tmp_path, coretype="Haswell").environment(1)
    assert chosen["OPENBLAS_CORETYPE"] == "Haswell"


def test_the_best_thread_setting_counts() -> None:
    one = Measurement("jax", 1, microseconds=[4.0, 3.0, 9.0])
    two = Measurement("jax", 2, microseconds=[5.0, 2.0, 8.0])
    mine = Measurement("symprop", 1, microseconds=[1.0, 1.5, 2.0])
    assert best_of([one, two, mine], "jax") is two
    assert (two.best, two.median) == (2.0, 5.0)
    assert Result(TINY[0], "sgd", [one, two, mine]).ratio("jax") == 2.0
    assert lead({"symprop": 1.0, "jax": 2.0, "numpy": 3.0}) == 2.0


def test_disagreement_is_the_worst() -> None:
    losses = [1.0, 1.0, 1.01]
    assert disagreement([Measurement("a", 1, loss=x) for x in losses]) == pytest.approx(0.01)


def test_operations_are_those_of_the_products() -> None:
    """3-5-2 on 10 rows: 2·10·(3·5·2 + 5·2·3): no cotangent of the inputs is needed."""
    workload = Workload("", 3, stack((5, 2), "tanh", "linear"), "mse", 4, 10)
    assert workload.operations == 2 * 10 * (3 * 5 * 2 + 5 * 2 * 3)
    assert (workload.batches, workload.parameters) == (3, 3 * 5 + 5 + 5 * 2 + 2)


@pytest.mark.parametrize("workload", TABLE, ids=lambda w: w.name)
def test_workloads_survive_json(workload: Workload) -> None:
    assert from_plain(json.loads(json.dumps(workload.plain()))) == workload
    x, y = workload.arrays()
    assert x.shape == (workload.rows, workload.inputs)
    assert len(y) == workload.rows
    assert x.dtype == np.dtype(workload.dtype)


def test_curves_span_the_sizes() -> None:
    ends = {curve.name: (curve.values[0], curve.values[-1]) for curve in CURVES}
    assert ends == {"width": (4, 2048), "depth": (1, 200), "batch": (1, 4096)}
    for curve in CURVES:
        for value in curve.values:
            assert curve.workload(value).batches >= 4


def test_rows_are_bounded() -> None:
    few = with_rows(replace(TABLE[4], rows=0), operations=1.0)
    assert few.batches == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.4, "1,234"),
        (123.4, "123"),
        (12.34, "12.3"),
        (9.999, "10.0"),
        (0.0123, "0.0123"),
        (0.0, "0"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_tables_are_markdown() -> None:
    table = Table("Times", ["", "a|b"], [["W1", "1.0"]])
    assert table.markdown() == "### Times\n\n|  | a\\|b |\n| :-- | --: |\n| W1 | 1.0 |"


def test_reports_say_machine_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "about", lambda settings: {"CPU": "one", "cores": 2})
    settings = Settings(results=tmp_path / "new", scratch=tmp_path, coretype="Haswell")
    table = Table("Times", ["", "a"], [["W1", "1.0"]])
    page = Report("training", "A claim.", "A method.", [table], {"x": math.nan}, ["a note"]).write(
        settings
    )
    assert (tmp_path / "new" / "training_haswell.md").read_text(encoding="utf-8") == page
    for text in ("A claim.", "| W1 | 1.0 |", "- a note", "- CPU: one", "CORETYPE: Haswell"):
        assert text in page
    stored = json.loads((tmp_path / "new" / "training_haswell.json").read_text(encoding="utf-8"))
    assert stored["data"] == {"x": None}
    assert stored["settings"]["rounds"] == 5


def test_written_results_name_no_host_and_no_path() -> None:
    results = Path(__file__).parent.parent / "benchmarks" / "results"
    for path in [*results.glob("*.md"), *results.glob("*.json")]:
        text = path.read_text(encoding="utf-8")
        assert socket.gethostname() not in text.split(), path.name
        assert not re.search(r"(^|[\s\"'(])/(home|root|tmp|usr|work|Users)/", text), path.name


def test_choices_are_the_fields_that_can_be_turned_off() -> None:
    @dataclass(frozen=True)
    class Lowering:
        fuse: bool = True
        already_off: bool = False
        crossover: int = 64
        threads: int = 0
        special: int = field(default=2, metadata={"off": 7})
        name: str = "text"

    found = list(choices(Lowering))
    assert found == [
        Choice("fuse", False),
        Choice("crossover", 0),
        Choice("threads", 1),
        Choice("special", 7),
    ]


def test_command_line() -> None:
    nowhere = Path("nowhere")
    assert settings_of(arguments(["--quick", "training"]), nowhere).quick
    assert settings_of(arguments(["--rounds", "7"]), nowhere).rounds == 7
    assert settings_of(arguments(["--coretype", "Haswell"]), nowhere).coretype == "Haswell"
    with pytest.raises(SystemExit):
        arguments(["no such script"])
    assert next(iter(SCRIPTS)) == "training"


def test_the_picture_is_drawn_without_those_who_failed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.picture import draw

    points = [
        {"curve": "width", "value": 4, "best": {"symprop": 1.0, "jax": 2.0}},
        {"curve": "width", "value": 8, "best": {"symprop": 4.0, "jax": 3.0}},
        {"curve": "width", "value": 16, "best": {"jax": 3.0}},
    ]
    draw(points, {"width": "a network"}, tmp_path / "new" / "picture.png")
    assert (tmp_path / "new" / "picture.png").stat().st_size > 1000
