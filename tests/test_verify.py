"""verify(): every kind of corruption is seen, in every kind of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from symprop import Dense, Network, prediction, target
from symprop.derive import Derivation, Step
from symprop.derive.activation import function
from symprop.derive.floating import polynomials
from symprop.derive.groups import Run
from symprop.derive.verify import BACKEND_TOLERANCE, TOLERANCE, Checker
from symprop.equation import Equation
from symprop.errors import DerivationError
from symprop.formula import Rate, Total
from symprop.printers.structure import Access, Minus, Node, Plus, Product, Transposed
from symprop.tensor import subscripts_of
from sympy import (
    Add,
    Expr,
    Heaviside,
    Indexed,
    IndexedBase,
    Integer,
    Rational,
    Symbol,
    exp,
    log,
    sin,
    sinh,
    tanh,
)

z = Symbol("z")
NETWORKS = {
    "softmax": Network([Dense(4, "tanh"), Dense(3, "softmax")], 5, "cross_entropy"),
    "repeated": Network([Dense(4, "relu")] * 4 + [Dense(2)], 4, "mse"),
    "helpers": Network([Dense(4, "softmax"), Dense(3, "softplus")], 3, "hinge"),
    "custom": Network([Dense(3, z * tanh(z)), Dense(1, "sigmoid")], 2, "binary_cross_entropy"),
    "undeclared": Network([Dense(3, "softmax")], 4, -target * log(prediction)),
    "zero": Network([Dense(3, "relu"), Dense(3, Heaviside(z)), Dense(2)], 4, "mse"),
    "flat": Network([Dense(3), Dense(2)], 4, "mae"),
}


@pytest.fixture(scope="module")
def derivation() -> Derivation:
    return NETWORKS["softmax"].derive(detail="full")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_holds_and_the_record_says_what_was_checked(name: str) -> None:
    derivation = NETWORKS[name].derive(detail="full")
    record = derivation.verify(points=1)
    steps = sum(1 for _ in every_step(derivation.steps))
    assert len(record.checks) > steps
    assert {"numpy backend", "numba backend", "difference quotient"} <= {
        check.rule for check in record.checks
    }
    for check in record.checks:
        limit = BACKEND_TOLERANCE if "backend" in check.rule else TOLERANCE
        assert check.error <= limit
    assert f"{len(record.checks)} checks at 1 points hold" in str(record)


def every_step(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from every_step(step.steps)


def sign(step: Step) -> Expr | None:
    return Minus(step.after) if isinstance(step.after, Node) else -step.after


def factor(step: Step) -> Expr | None:
    doubled = Plus(step.after, step.after)
    return doubled if isinstance(step.after, Node) else 2 * step.after


def index(step: Step) -> Expr | None:
    """The subscripts of one element exchanged; not where one is differentiated by, as a name."""
    for access in sorted(() if step.after.has(Rate) else step.after.atoms(Indexed), key=str):
        one, *rest = subscripts_of(access)
        if rest:
            exchanged = IndexedBase(access.base.label)[(*rest, one)]
            return step.after.xreplace({access: exchanged})
    return None


def dropped_term(step: Step) -> Expr | None:
    """The last term of a sum left out, under a Σ too."""
    value = step.after
    if isinstance(value, Total) and isinstance(value.args[0], Add):
        return Total(value.args[0] - value.args[0].args[-1], *value.args[1:])
    if isinstance(value, Plus):
        return Plus(*value.args[:-1])
    return value - value.args[-1] if isinstance(value, Add) else None


def transposed_product(step: Step) -> Expr | None:
    """The sides of a matrix product exchanged, or a transposition left out."""
    for node in sorted(step.after.atoms(Product), key=repr_of):
        if len(node.args) == 2:
            return step.after.xreplace({node: Product(*node.args[::-1])})
    for node in sorted(step.after.atoms(Transposed), key=repr_of):
        return step.after.xreplace({node: node.args[0]})
    return None


def repr_of(node: Node) -> str:
    from sympy import srepr

    return srepr(node)


def missing_mean(step: Step) -> Expr | None:
    """1/m left out: a batch counted as one sample."""
    names = {symbol for symbol in step.after.atoms(Symbol) if symbol.name == "m"}
    names = {Access(name) if step.notation != "index" else name for name in names}
    return step.after.xreplace(dict.fromkeys(names, Integer(1))) if names else None


CORRUPTIONS: dict[str, Callable[[Step], Expr | None]] = {
    "sign": sign,
    "factor": factor,
    "index": index,
    "dropped term": dropped_term,
    "transposed product": transposed_product,
    "missing 1/m": missing_mean,
}
FEWEST = {"transposed product": 15, "missing 1/m": 20, "dropped term": 15}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruption_is_seen_in_every_step(kind: str, derivation: Derivation) -> None:
    checker, seen = Checker(derivation, seed=0), 0
    for step in every_step(derivation.steps):
        wrong = CORRUPTIONS[kind](step)
        if wrong is None or wrong == step.after:
            continue
        errors = checker.errors(replace(step, after=wrong))
        assert max(errors) > TOLERANCE, (kind, step.rule, step.before, wrong)
        seen += 1
    assert seen >= FEWEST.get(kind, 50)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_verify_raises_and_names_the_corrupted_step(kind: str, derivation: Derivation) -> None:
    def corrupted(steps: tuple[Step, ...]) -> tuple[Step, ...] | None:
        """The steps with the last one that can be corrupted."""
        for position, step in reversed(tuple(enumerate(steps))):
            inner = corrupted(step.steps)
            wrong = CORRUPTIONS[kind](step)
            if inner is not None:
                changed = replace(step, steps=inner)
            elif wrong is not None and wrong != step.after and step.rule != "update":
                changed = replace(step, after=wrong)
            else:
                continue
            return (*steps[:position], changed, *steps[position + 1 :])
        return None

    steps = corrupted(derivation.steps)
    assert steps is not None
    with pytest.raises(DerivationError, match=r", (\w+( \d)?, )?\(\d+\): .* does not hold: .* = "):
        replace(derivation, steps=steps).verify(points=1)


def test_wrong_equation_of_a_result_is_seen(derivation: Derivation) -> None:
    result = next(
        step
        for step in derivation.steps
        if step.origin.layer == "Dense 1" and step.section.startswith("Recursion")
    )
    wrong = tuple(replace(e, value=2 * e.value) for e in result.equations)
    errors = Checker(derivation, 0).errors(replace(result, equations=wrong))
    assert max(errors) > TOLERANCE


def test_final_equations_are_compared_with_the_backends(derivation: Derivation) -> None:
    short = derivation.short
    wrong = tuple(
        replace(e, value=-e.value) if str(e.label) == "W1′1" else e for e in short.equations
    )
    with pytest.raises(DerivationError, match="W1′1 by the numpy backend"):
        replace(derivation, short=replace(short, equations=wrong)).verify(points=1)


def test_wrong_adjoint_is_seen_by_difference_quotients() -> None:
    derivation = NETWORKS["flat"].derive(detail="summary")
    raw = tuple(
        replace(e, value=2 * e.value) if str(e.label) == "a1′1" else e
        for e in derivation.raw.equations
    )
    steps = tuple(step for step in derivation.steps if step.section.startswith("Gradients"))
    broken = replace(derivation, steps=steps, raw=replace(derivation.raw, equations=raw))
    with pytest.raises(DerivationError):
        broken.verify(points=1)


def test_record_is_the_same_for_the_same_seed(derivation: Derivation) -> None:
    first, second = (derivation.verify(points=1, seed=3).checks for _ in range(2))
    assert first == second


@pytest.fixture(scope="module")
def repeated() -> Derivation:
    return Network([Dense(4, "tanh")] * 5, 4, "mse").derive()


RUNS: dict[str, Callable[[Run], Run]] = {
    "exceptions left out": lambda run: replace(run, exceptions=()),
    "another layer told": lambda run: replace(run, told=run.told + 1),
    "a layer too many": lambda run: replace(run, last=run.last + 1),
}


@pytest.mark.parametrize("kind", RUNS)
def test_general_line_is_checked_for_the_other_layers(kind: str, repeated: Derivation) -> None:
    steps = tuple(
        replace(step, run=RUNS[kind](step.run)) if step.run else step for step in repeated.steps
    )
    with pytest.raises(DerivationError, match=r"for l = |no step of the derivation arrives at"):
        replace(repeated, steps=steps).verify(points=1)


def test_slope_of_another_tensor_is_seen_in_matrix_notation(derivation: Derivation) -> None:
    (recursion,) = (
        s for s in every_step(derivation.steps) if s.rule == "recursion" and s.equations
    )
    for line in recursion.steps:
        wrong = line.after.xreplace({Symbol("z1"): Symbol("x")})
        assert wrong != line.after
        assert max(Checker(derivation, 0).errors(replace(line, after=wrong))) > TOLERANCE


def test_activation_beside_the_recursion_is_checked(
    derivation: Derivation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(equation: Equation) -> tuple[Expr, ...]:
        value, slope, *stored = function(equation)
        return (value, slope, *(7 + form for form in stored))

    monkeypatch.setattr("symprop.derive.verify.function", wrong)
    with pytest.raises(DerivationError, match="activation does not hold"):
        derivation.verify(points=1)


def test_a_polynomial_in_place_of_a_series_holds_to_the_digits_of_float64() -> None:
    z = Symbol("z")
    derivation = Network([Dense(1, z / sinh(z))], inputs=1, loss="mse").derive("summary")
    derivation.verify()
    series = next(s for s in derivation.steps if polynomials(s.after))
    (polynomial,) = polynomials(series.after)
    wrong = series.after.xreplace({polynomial: polynomial + Rational(1, 10**14)})
    steps = (replace(s, after=wrong) if s is series else s for s in derivation.steps)
    with pytest.raises(DerivationError, match="floating point does not hold"):
        replace(derivation, steps=tuple(steps)).verify()


def test_a_series_in_a_difference_holds_to_the_digits_of_float64() -> None:
    z, linex = Symbol("z"), exp(prediction - target) - (prediction - target) - 1
    derivation = Network([Dense(1, sin(z) / z)], 2, linex).derive()
    found = [c.error for c in derivation.verify().checks if c.rule == "series at 0"]
    assert 0 < max(found) < 1e-15
    assert "(ŷ[b, j] - y[b, j])⁴/24 + …" in str(derivation)


def test_missing_gradient_is_seen(derivation: Derivation) -> None:
    steps = tuple(s for s in derivation.steps if not s.section.startswith("Gradients"))
    with pytest.raises(DerivationError, match="no step of the derivation arrives at"):
        replace(derivation, steps=steps).verify(points=1)


def test_index_that_nothing_binds_is_seen(derivation: Derivation) -> None:
    loss = next(step for step in derivation.steps if step.section == "Loss")
    wrong = next(iter(loss.after.atoms(Total))).args[0]
    assert max(Checker(derivation, 0).errors(replace(loss, after=wrong))) > TOLERANCE
