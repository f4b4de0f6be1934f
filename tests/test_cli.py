"""The command: what it writes, where, with which exit code, and its words where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import symprop
from symprop import Dense, Network
from symprop.cli import EXAMPLES, main
from symprop.derive import Derivation

NET = Network([Dense(4, "tanh"), Dense(3, "softmax")], 5, "cross_entropy")
SHELL = ["5-4-3", "--activation", "tanh", "--loss", "cross_entropy"]
COMMAND = [sys.executable, "-m", "symprop"]
BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}
"""Standard output is flushed once more when Python ends."""


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that ends with exit code 2."""
    try:
        code: Any = main(arguments)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize("command", ["derive", "print"])
def test_derivation_is_that_of_the_network(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, command, *SHELL) == f"{NET.derive().text().rstrip()}\n"


@pytest.mark.parametrize("form", ["text", "latex", "markdown", "html"])
def test_form_is_the_method_of_that_name(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = getattr(NET.derive(), form)().rstrip()
    assert printed(capsys, "print", *SHELL, "--form", form) == f"{expected}\n"


@pytest.mark.parametrize(
    ("name", "program"),
    [("forward", NET.forward), ("gradients", NET.gradients), ("step", NET.step())],
)
def test_program_is_printed_instead(
    name: str, program: symprop.program.Program, capsys: pytest.CaptureFixture[str]
) -> None:
    found = printed(capsys, "print", *SHELL, "--program", name, "--form", "markdown")
    assert found == f"{program.markdown().rstrip()}\n"


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--detail", "summary"], {"detail": "summary"}),
        (["--notation", "matrix"], {"notation": "matrix"}),
        (["--batch"], {"batch": True}),
        (["--one-sample"], {"batch": False}),
    ],
)
def test_options_are_the_arguments_of_derive(
    options: list[str], arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = printed(capsys, "derive", *SHELL, *options)
    assert found == f"{NET.derive(**arguments).text().rstrip()}\n"
    assert found != printed(capsys, "derive", *SHELL)


@pytest.mark.parametrize(
    ("arguments", "activations"),
    [
        ("5-4-4-3", ["relu", "relu", "linear"]),
        ("5-3", ["linear"]),
        ("5-4-4-3 --activation tanh", ["tanh", "tanh", "linear"]),
        ("5-4-4-3 --activation tanh,gelu", ["tanh", "gelu", "linear"]),
        ("5-4-3 --output-activation softplus", ["relu", "softplus"]),
    ],
)
def test_every_layer_has_its_activation(
    arguments: str, activations: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    units = [*[4] * (len(activations) - 1), 3]
    layers = [Dense(n, a) for n, a in zip(units, activations, strict=True)]
    expected = Network(layers, 5, "mse").forward.text().rstrip()
    assert printed(capsys, "print", *arguments.split(), "--program", "forward") == f"{expected}\n"


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        ("cross_entropy", "softmax"),
        ("binary_cross_entropy", "sigmoid"),
        ("poisson", "softplus"),
        ("mse", "linear"),
        ("huber", "linear"),
    ],
)
def test_last_layer_goes_with_the_loss(
    loss: str, activation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = Network([Dense(3, activation)], 5, loss).forward.text().rstrip()
    found = printed(capsys, "print", "5-3", "--loss", loss, "--program", "forward")
    assert found == f"{expected}\n"


@pytest.mark.parametrize("suffix", [".txt", ".md", ".tex", ".html"])
def test_file_is_what_save_writes(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, written = tmp_path / f"saved{suffix}", tmp_path / f"written{suffix}"
    NET.derive().save(saved)
    assert printed(capsys, "derive", *SHELL, "-o", str(written)) == ""
    assert written.read_bytes() == saved.read_bytes()


def test_verify_prints_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    record = printed(capsys, "verify", *SHELL, "--detail", "summary")
    assert "checks at 2 points hold" in record
    assert "difference quotient" in record


def test_verification_that_fails_ends_with_1_and_names_the_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    derivation = NET.derive(detail="summary")
    first, *rest = derivation.steps
    wrong = replace(derivation, steps=(replace(first, after=2 * first.after), *rest))
    monkeypatch.setattr(Network, "derive", lambda self: wrong)
    assert main(["verify", *SHELL]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("symprop verify: Forward pass, Dense 1, (1): definition does not hold")


WRONG_SIZES = ("64", "64-", "0-10", "64-0-10", "64x32", "6.5-3", "6٤-3", "1-1+1", "4-1234567890")


@pytest.mark.parametrize("sizes", WRONG_SIZES)
def test_sizes_are_whole_numbers_with_hyphens(
    sizes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "derive", sizes) == (
        "symprop derive: argument SIZES: expected sizes such as 64-32-10 (inputs, then the units "
        f"of each layer), got {sizes!r}\n"
    )


REFUSED = {
    "derive": "symprop derive: the following arguments are required: SIZES",
    "drive 5-3": "symprop: argument COMMAND: invalid choice: 'drive'",
    "verify 5-3 --act tanh": "symprop verify: unrecognized arguments: --act tanh",
    "verify 5-3 --batch": "symprop verify: unrecognized arguments: --batch",
    "derive 5-3 --form html": "symprop derive: unrecognized arguments: --form html",
    "print 5-3 --detail much": "argument --detail: invalid choice: 'much'",
    "print 5-3 --batch --one-sample": "not allowed with argument --batch",
    "print 5-3 --program step --batch": "--program: a program is no derivation; leave out --detail",
    "print 5-3 --loss crossentropy": "unknown name 'crossentropy'; did you mean 'cross_entropy'?",
    "print 5-4-3 --activation tahn": "unknown name 'tahn'; did you mean 'tanh'?",
    "print 5-4-4-3 --activation tanh,": "argument --activation: activation: unknown name ''",
    "print 5-4-3 --activation z*tanh(z)": "a formula is a SymPy expression without quotes, in Py",
    "derive 5-3 --output-activation a.pdf": "an activation, got a.pdf; a file is named by -o PATH",
    "derive 5-3 --output-activation 100%d": "--output-activation: activation: unknown name '100%d'",
    "print 5-3 --activation tanh": "there is no hidden layer; --output-activation names the",
    "print 5-4-4-3 --activation tanh,relu,elu": "or one for each of them (2), got 3: tanh,relu,elu",
    "print 5-4-3 --activation tanh,relu": "or one for each of them (1), got 2: tanh,relu",
    "derive 5-3 -o a.doc": "symprop derive: argument -o/--output: expected a file whose suffix is",
    "derive 5-3 --output 100%d": ".tex, .pdf or .html, got 100%d",
    "derive 5-3 --output tanh": "got tanh; an activation is named by --output-activation",
    "derive 5-3 -o no/a.md": "-o/--output: cannot write no/a.md: No such file or directory",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_bad_input_ends_with_2_and_one_line(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert REFUSED[arguments] in refused(capsys, *arguments.split())


def test_suffix_is_refused_before_anything_is_derived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(Network, "derive")
    assert "expected a file" in refused(capsys, "derive", *SHELL, "-o", "a.doc")


def test_missing_tex_ends_with_2_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = refused(capsys, "derive", *SHELL, "-o", str(tmp_path / "backprop.pdf"))
    assert "pdflatex or tectonic, and neither is installed" in words


def test_interruption_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(derivation: Derivation) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Derivation, "text", interrupted)
    assert main(["derive", *SHELL]) == 130
    assert capsys.readouterr() == ("", "")


def test_output_is_utf_8_whatever_the_terminal_says(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
    assert main(["print", *SHELL, "--program", "forward"]) == 0
    assert written.getvalue().decode() == f"{NET.forward.text().rstrip()}\n"


@pytest.mark.parametrize("command", [[], ["--help"]])
def test_help_names_every_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(command)
    words = capsys.readouterr().out
    assert all(f"\n    {name} " in words and EXAMPLES[name] in words for name in EXAMPLES)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"symprop {symprop.__version__}\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_help_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    symprop_, *arguments = EXAMPLES[name].replace(".pdf", ".tex").split()
    assert (symprop_, arguments[0]) == ("symprop", name)
    assert printed(capsys, *arguments) or (tmp_path / "backprop.tex").stat().st_size > 0


def test_python_m_symprop_is_the_command_and_ends_with_its_code() -> None:
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [*COMMAND, "print", "5-3", "--loss", "mes"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("symprop print: argument --loss: loss: unknown name 'mes'; did")


@pytest.mark.parametrize("long", [True, False])
def test_reader_that_has_gone_is_no_complaint(long: bool) -> None:
    options = ["--detail", "full"] if long else ["--program", "forward"]
    with subprocess.Popen(  # noqa: S603 (a fixed text)
        [*COMMAND, "print", *SHELL, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=BUFFERED,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        complaint = command.stderr.read()
        assert (command.wait(timeout=120), complaint) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full device of Linux")
def test_full_disk_ends_with_2_and_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(  # noqa: S603 (a fixed text)
            [*COMMAND, "print", *SHELL],
            stdout=full,
            stderr=subprocess.PIPE,
            env=BUFFERED,
            text=True,
            check=False,
            timeout=120,
        )
    words = "symprop: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, words)


LOADED = """
import sys
from symprop.cli import main
main(["derive", "5-4-3"])
print([m for m in ("numba", "llvmlite", "scipy", "tqdm", "matplotlib") if m in sys.modules])
"""


def test_printing_does_not_load_numba() -> None:
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [sys.executable, "-c", LOADED], capture_output=True, check=True, timeout=120
    )
    assert done.stdout.decode().splitlines()[-1] == "[]"
