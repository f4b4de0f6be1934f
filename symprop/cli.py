"""The command ``symprop``: a network of dense layers, its derivation printed, saved or verified."""

from __future__ import annotations

import os
import re
import sys
from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from symprop import __version__
from symprop.activations import ACTIVATIONS, known_name
from symprop.derive import NOTATIONS, Derivation
from symprop.derive.step import DETAILS
from symprop.domain import SUITED
from symprop.errors import ArgumentError, DerivationError, SymPropError, UnknownNameError
from symprop.layers import Dense
from symprop.losses import LOSSES
from symprop.network import Network
from symprop.printable import SUFFIXES
from symprop.program import Program

SIZES = re.compile(r"[1-9]\d{0,8}(-[1-9]\d{0,8})+", re.ASCII)
HIDDEN = "relu"
"""The activation of hidden layers where none is named."""
LAST = {name: SUITED[loss.labels] for name, loss in LOSSES.items() if loss.labels in SUITED}
"""The last layer's activation that goes with a loss; linear with any other."""
FORMS = ("text", "latex", "markdown", "html")
"""The methods of what is printable that give a text."""
PROGRAMS: dict[str, Callable[[Network], Program]] = {
    "forward": lambda network: network.forward,
    "gradients": lambda network: network.gradients,
    "step": lambda network: network.step(),
}
FAILED, REFUSED, BROKEN_PIPE, INTERRUPTED = 1, 2, 128 + 13, 128 + 2
"""The exit codes: a step does not hold; bad input; what a shell gives for SIGPIPE and SIGINT."""

EXAMPLES = {
    "derive": "symprop derive 64-32-10 --loss cross_entropy -o backprop.pdf",
    "print": "symprop print 8-4-4-1 --activation tanh,relu --program gradients --form latex",
    "verify": "symprop verify 64-32-10 --activation gelu --loss cross_entropy",
}
NOTE = """\
64-32-10 is a network of dense layers: 64 inputs, 32 hidden units, 10 outputs.
Activations and losses are built-in names. Your own formulas are SymPy
expressions, in Python: symprop.Dense(32, activation=z * sympy.tanh(z)).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and give the exit code: 0, 1 where a verification fails, 2 for bad input.

    Arguments that cannot be read, ``--help`` and ``--version`` raise SystemExit, as argparse does.
    """
    given = sys.argv[1:] if argv is None else argv
    arguments, unknown = _parser().parse_known_args(given or ["--help"])
    if unknown:
        arguments.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return _written(arguments.run(arguments))
    except SymPropError as error:
        print(f"symprop {arguments.command}: {error}", file=sys.stderr)
        failed = arguments.run is _verify and isinstance(error, DerivationError)
        return FAILED if failed else REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _derive(arguments: Namespace) -> str:
    """Save the derivation, or give its text where no file is named."""
    derivation = _derivation(arguments)
    if arguments.output is None:
        return derivation.text()
    try:
        derivation.save(arguments.output)
    except OSError as error:
        raise ArgumentError(
            f"argument -o/--output: cannot write {arguments.output}: {error.strerror or error}"
        ) from error
    return ""


def _print(arguments: Namespace) -> str:
    """The derivation, or a program, in one of the forms that are text."""
    if arguments.program is None:
        return _in_form(_derivation(arguments), arguments.form)
    if _told(arguments):
        raise ArgumentError(
            "argument --program: a program is no derivation; leave out --detail, --notation, "
            "--batch and --one-sample"
        )
    return _in_form(PROGRAMS[arguments.program](_network(arguments)), arguments.form)


def _verify(arguments: Namespace) -> str:
    """The record of a derivation's verification."""
    return str(_derivation(arguments).verify())


def _in_form(shown: Derivation | Program, form: str) -> str:
    text: str = getattr(shown, form)()
    return text


def _written(text: str) -> int:
    """Write to standard output, in UTF-8 as files are, and give the exit code."""
    try:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        if text:
            print(text.rstrip(), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        print(f"symprop: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return REFUSED
    return 0


def _network(arguments: Namespace) -> Network:
    inputs, *units = arguments.sizes
    activations = _hidden(arguments.activation, len(units) - 1)
    last = arguments.output_activation or LAST.get(arguments.loss, "linear")
    layers = [Dense(n, a) for n, a in zip(units, (*activations, last), strict=True)]
    return Network(layers, inputs, arguments.loss)


def _hidden(names: list[str], layers: int) -> list[str]:
    """The activation of each hidden layer; one name stands for all."""
    if not names:
        return [HIDDEN] * layers
    if not layers:
        raise ArgumentError(
            "argument --activation: there is no hidden layer; --output-activation names the "
            "activation of the last layer"
        )
    if len(names) not in (1, layers):
        raise ArgumentError(
            "argument --activation: expected one name for all hidden layers, or one for each of "
            f"them ({layers}), got {len(names)}: {','.join(names)}"
        )
    return names if len(names) == layers else names * layers


def _derivation(arguments: Namespace) -> Derivation:
    return _network(arguments).derive(**_told(arguments))


def _told(arguments: Namespace) -> dict[str, Any]:
    """What was given of how a derivation is told; Network.derive has the defaults."""
    names = ("detail", "notation", "batch")
    return {name: getattr(arguments, name) for name in names if name in arguments}


class _Parser(ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"{self.prog}: {message}\n")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="symprop",
        description="Derive the backpropagation of a network, and print, save or verify it.",
        **_epilog(*EXAMPLES.values()),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for name, run, add_options, words in (
        ("derive", _derive, _add_file, "write the derivation to a file, or as text"),
        ("print", _print, _add_form, "print the derivation, or a program, in a form of text"),
        ("verify", _verify, None, "check every step of the derivation in exact numbers"),
    ):
        command = commands.add_parser(
            name, help=words, description=f"{words.capitalize()}.", **_epilog(EXAMPLES[name])
        )
        command.set_defaults(run=run, refuse=command.error)
        _add_network(command)
        _add_told(command, printed=add_options is not None)
        if add_options:
            add_options(command)
    return parser


def _epilog(*examples: str) -> dict[str, Any]:
    """What all parsers have in common, with the examples at the end of the help."""
    lines = "".join(f"  {example}\n" for example in examples)
    return {
        "epilog": f"for example:\n{lines}\n{NOTE}",
        "formatter_class": RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def _add_network(parser: ArgumentParser) -> None:
    network = parser.add_argument_group("the network")
    network.add_argument(
        "sizes", metavar="SIZES", type=_sizes, help="inputs-units-...-units, such as 64-32-10"
    )
    network.add_argument(
        "--activation",
        metavar="NAME",
        type=_activations,
        default=[],
        help="activation of the hidden layers, or one for each, as in tanh,relu (default: "
        f"{HIDDEN}); known are {', '.join(ACTIVATIONS)}",
    )
    matching = ", ".join(f"{name} for {loss}" for loss, name in LAST.items())
    network.add_argument(
        "--output-activation",
        metavar="NAME",
        type=_activation,
        help=f"activation of the last layer (default, by loss: {matching}, else linear)",
    )
    network.add_argument(
        "--loss",
        metavar="NAME",
        type=_loss,
        default="mse",
        help=f"loss (default: %(default)s); known are {', '.join(LOSSES)}",
    )


def _add_told(parser: ArgumentParser, printed: bool) -> None:
    """How much of the derivation is told; where it is printed, also in which notation."""
    told = parser.add_argument_group("the derivation")
    told.add_argument(
        "--detail",
        choices=DETAILS,
        default=SUPPRESS,
        help="summary: the results; standard: also a line for each factor of the chain rule and "
        "each step of algebra; full: also every rule of differentiation (default: standard)",
    )
    if not printed:
        return
    told.add_argument(
        "--notation",
        choices=NOTATIONS,
        default=SUPPRESS,
        help="elements with indices, whole matrices, or both (default: both)",
    )
    samples = told.add_mutually_exclusive_group()
    for flag, value, words in (
        ("--batch", True, "matrices only for a batch, with samples in rows"),
        ("--one-sample", False, "matrices only for one sample, in columns"),
    ):
        samples.add_argument(
            flag, dest="batch", action="store_const", const=value, default=SUPPRESS, help=words
        )


def _add_file(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        type=_file,
        help=f"the file; its suffix says what is written: {', '.join(SUFFIXES)} (default: text to "
        "standard output)",
    )


def _add_form(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--form", choices=FORMS, default="text", help="what to print (default: %(default)s)"
    )
    parser.add_argument(
        "--program",
        choices=PROGRAMS,
        help="print a program instead of the derivation: the forward pass, that and the "
        "gradients, or a whole step of gradient descent",
    )


def _sizes(given: str) -> list[int]:
    if not SIZES.fullmatch(given):
        raise ArgumentTypeError(
            f"expected sizes such as 64-32-10 (inputs, then the units of each layer), got {given!r}"
        )
    return [int(size) for size in given.split("-")]


def _activations(given: str) -> list[str]:
    return [_activation(name.strip()) for name in given.split(",")]


def _activation(given: str) -> str:
    if Path(given).suffix in SUFFIXES:
        raise ArgumentTypeError(f"expected an activation, got {given}; a file is named by -o PATH")
    return _known("activation", given, ACTIVATIONS)


def _file(given: str) -> Path:
    """A path with a suffix that can be written; Printable.save would say so after the work."""
    path = Path(given)
    if path.suffix in SUFFIXES:
        return path
    hint = "; an activation is named by --output-activation" if given in ACTIVATIONS else ""
    raise ArgumentTypeError(
        f"expected a file whose suffix is {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, "
        f"got {given}{hint}"
    )


def _loss(given: str) -> str:
    return _known("loss", given, LOSSES)


def _known(kind: str, given: str, known: Iterable[str]) -> str:
    """A built-in's name. Formulas are refused as well: text is never read as mathematics."""
    try:
        return known_name(kind, given, known, symbols="Python")
    except UnknownNameError as error:
        raise ArgumentTypeError(str(error)) from None
