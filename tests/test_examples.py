"""The examples that teach: each runs in a fresh process, and what it says is checked."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def said(name: str, folder: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(  # noqa: S603 (our own example)
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout


def test_learning_rates_diverge_progress_and_crawl(tmp_path: Path) -> None:
    lines = said("06_learning_rates.py", tmp_path).splitlines()
    fates = [line.split(": ", 1)[1].split(":")[0] for line in lines[:3]]
    assert fates == ["diverged", "progresses", "crawls"]
    assert (tmp_path / "learning_rates.png").stat().st_size > 10_000


def test_each_cure_of_overfitting_helps_where_labels_are_wrong(tmp_path: Path) -> None:
    rows = said("07_overfitting.py", tmp_path).splitlines()[2:]
    tested = {row[:16].strip(): float(row.split("%")[3]) for row in rows}
    assert len(tested) == 5
    assert all(tested[cure] > tested["none"] for cure in tested if cure != "none")


def test_small_batches_learn_more_in_an_epoch(tmp_path: Path) -> None:
    rows = said("08_batches.py", tmp_path).splitlines()[1:4]
    assert [int(row.split()[1]) for row in rows] == [1797, 57, 1]
    assert int(rows[0].split()[3]) <= int(rows[1].split()[3])
    assert (tmp_path / "batches.png").stat().st_size > 10_000


def test_the_quiz_has_eight_answers(tmp_path: Path) -> None:
    text = said("09_quiz.py", tmp_path)
    assert re.findall(r"^(\d)\. ", text, re.MULTILINE) == list("12345678")
    left, right = re.search(r"· 2 = (\S+) = (\S+)\.\n", text).groups()
    assert left == right
    before, lower = map(float, re.search(r"subtracted.* (\S+) to (\S+)\.\n", text).groups())
    assert lower < before < float(re.search(r"added.* to (\S+)\.\n", text)[1])
    assert "over all 10000 samples: 100 batches of 100" in text
    shallow, deep = map(float, re.findall(r"first layer / last (\S+)\.\n", text))
    assert deep < 1e-3 * shallow
