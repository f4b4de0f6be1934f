"""Programs of every shape that the adjoint rule must carry, written through the scope of layers.

``PROGRAMS`` maps a name to a ``Case``: a program ending in a scalar loss with arrays to run it on.
None of them uses a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import symprop
import sympy
from symprop.optimizers import SGD, Adam
from symprop.primitives import Absolute, GreaterEqual, Maximum, Select
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from symprop.tensor import Tensor
from sympy import Idx

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A program with the arrays that it reads, its scalar loss, and what to differentiate it by.

    ``smooth``: second derivatives are compared too; not where a program assigns what they need.
    """

    program: Program
    arrays: dict[str, Array]
    of: Tensor
    wrt: tuple[Tensor, ...]
    smooth: bool = True


PROGRAMS: dict[str, Case] = {}


def case(name: str) -> Callable[[Callable[[Scope], tuple[Any, ...]]], Callable[..., Any]]:
    """Register a program: the function writes it and gives arrays, loss, tensors to differentiate
    by.
    """

    def register(write: Callable[[Scope], tuple[Any, ...]]) -> Callable[..., Any]:
        scope = Scope()
        arrays, of, wrt, *smooth = write(scope)
        arrays = {key: np.asarray(value) for key, value in arrays.items()}
        PROGRAMS[name] = Case(scope.freeze(outputs=(of,)), arrays, of, tuple(wrt), *smooth)
        return write

    return register


def draw(seed: int, *shape: int, low: float = -1.0, high: float = 1.0) -> Array:
    """Uniform numbers that a test can write down again."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def weighted_loss(scope: Scope, output: Tensor, axes: tuple[Idx, ...], seed: int = 99) -> Tensor:
    """L = Σ w·sin(output): every element matters, none alike; w is an input so that nothing is flat
    by chance.
    """
    w = scope.tensor("weights", output.axes, role="target")
    loss = scope.tensor("L")
    scope.define(loss[()], w[axes] * sympy.sin(output[axes]), over=axes)
    return loss


# -- programs --------------------------------------------------------------------------------------


@case("mlp")
def mlp(scope: Scope) -> tuple[Any, ...]:
    b, j, k = index("b", BATCH), index("j", 4), index("k", 3)
    o = index("o", 2)
    x = scope.tensor("x", (b, k), role="input")
    y = scope.tensor("y", (b, o), role="target")
    W, c = scope.tensor("W", (j, k), role="parameter"), scope.tensor("c", (j,), role="parameter")
    V = scope.tensor("V", (o, j), role="parameter")
    z, a, p = scope.tensor("z", (b, j)), scope.tensor("a", (b, j)), scope.tensor("p", (b, o))
    scope.define(z[b, j], W[j, k] * x[b, k], over=(k,))
    scope.define(z[b, j], c[j])
    scope.define(a[b, j], sympy.tanh(z[b, j]))
    scope.define(p[b, o], V[o, j] * a[b, j], over=(j,))
    loss = scope.tensor("L")
    scope.define(loss[()], (p[b, o] - y[b, o]) ** 2 / BATCH, over=(b, o))
    arrays = {
        "x": draw(1, 5, 3),
        "y": draw(2, 5, 2),
        "W": draw(3, 4, 3),
        "c": draw(4, 4),
        "V": draw(5, 2, 4),
    }
    return arrays, loss, (W, c, V, x)


def convolution_1d(scope: Scope, stride: int, padding: int) -> tuple[Any, ...]:
    length, width, out = 9, 3, 2
    reach = length + 2 * padding
    steps = (reach - width) // stride + 1
    b, i, k, o = index("b", BATCH), index("i", steps), index("k", width), index("o", out)
    p, n = index("p", reach), index("n", length)
    x = scope.tensor("x", (b, n), role="input")
    w = scope.tensor("w", (o, k), role="parameter")
    source = x
    if padding:
        source = scope.tensor("padded", (b, p))
        scope.define(source[b, n + padding], x[b, n], step="padding")
    z = scope.tensor("z", (b, o, i))
    scope.define(z[b, o, i], w[o, k] * source[b, stride * i + k], over=(k,))
    loss = weighted_loss(scope, z, (b, o, i))
    arrays = {"x": draw(1, 2, length), "w": draw(2, out, width), "weights": draw(3, 2, out, steps)}
    return arrays, loss, (w, x)


case("conv1d-stride2")(lambda scope: convolution_1d(scope, 2, 0))
case("conv1d-padded")(lambda scope: convolution_1d(scope, 1, 1))
case("conv1d-stride3-padded2")(lambda scope: convolution_1d(scope, 3, 2))


def convolution_2d(scope: Scope, stride: int, padding: int) -> tuple[Any, ...]:
    size, width, channels, out = 6, 3, 2, 3
    reach = size + 2 * padding
    steps = (reach - width) // stride + 1
    b, c, o = index("b", BATCH), index("c", channels), index("o", out)
    i, j, p, q = index("i", steps), index("j", steps), index("p", width), index("q", width)
    r, s = index("r", size), index("s", size)
    x = scope.tensor("x", (b, c, r, s), role="input")
    w = scope.tensor("w", (o, c, p, q), role="parameter")
    source = x
    if padding:
        source = scope.tensor("padded", (b, c, index("r", reach), index("s", reach)))
        scope.define(source[b, c, r + padding, s + padding], x[b, c, r, s], step="padding")
    z = scope.tensor("z", (b, o, i, j))
    value = w[o, c, p, q] * source[b, c, stride * i + p, stride * j + q]
    scope.define(z[b, o, i, j], value, over=(c, p, q))
    a = scope.tensor("a", (b, o, i, j))
    scope.define(a[b, o, i, j], sympy.tanh(z[b, o, i, j]))
    loss = weighted_loss(scope, a, (b, o, i, j))
    shape = (2, out, steps, steps)
    arrays = {
        "x": draw(1, 2, channels, size, size),
        "w": draw(2, out, channels, width, width),
        "weights": draw(3, *shape),
    }
    return arrays, loss, (w, x)


case("conv2d-stride2")(lambda scope: convolution_2d(scope, 2, 0))
case("conv2d-padded")(lambda scope: convolution_2d(scope, 1, 1))
case("conv2d-stride2-padded")(lambda scope: convolution_2d(scope, 2, 1))


def max_pool(scope: Scope, x_values: Array) -> tuple[Any, ...]:
    b, i, j, p, q = (
        index("b", BATCH),
        index("i", 2),
        index("j", 2),
        index("p", 2),
        index("q", 2),
    )
    x = scope.tensor("x", (b, index("r", 4), index("s", 4)), role="input")
    y = scope.tensor("pooled", (b, i, j))
    scope.define(y[b, i, j], x[b, 2 * i + p, 2 * j + q], over=(p, q), reduce="max")
    loss = weighted_loss(scope, y, (b, i, j))
    return {"x": x_values, "weights": draw(2, 3, 2, 2)}, loss, (x,)


case("max-pool")(lambda scope: max_pool(scope, draw(1, 3, 4, 4)))


@case("max-pool-overlapping")
def max_pool_overlapping(scope: Scope) -> tuple[Any, ...]:
    b, i, p = index("b", BATCH), index("i", 4), index("p", 3)
    x = scope.tensor("x", (b, index("r", 9)), role="input")
    y = scope.tensor("pooled", (b, i))
    scope.define(y[b, i], x[b, 2 * i + p], over=(p,), reduce="max")
    loss = weighted_loss(scope, y, (b, i))
    return {"x": draw(1, 3, 9), "weights": draw(2, 3, 4)}, loss, (x,)


TIED = np.array([[[1, 1, 2, 0], [1, 0, 0, 2], [3, 3, 4, 1], [3, 3, 2, 4]]], dtype=float)
"""An image whose 2 × 2 windows have their maximum 3, 2, 4 and 2 times."""


def tied_max_pool() -> Case:
    """Max-pool with ties, where there is no derivative to compare with: the convention is equal
    shares.
    """
    scope = Scope()
    arrays, loss, wrt = max_pool(scope, TIED)
    arrays["weights"] = draw(2, 1, 2, 2)
    return Case(scope.freeze((loss,)), arrays, loss, wrt, smooth=False)


@case("embedding")
def embedding(scope: Scope) -> tuple[Any, ...]:
    b, s, d, v = index("b", BATCH), index("s", 3), index("d", 2), index("v", 5)
    word = scope.tensor("word", (b, s), role="input")
    E = scope.tensor("E", (v, d), role="parameter")
    y = scope.tensor("embedded", (b, s, d))
    scope.define(y[b, s, d], E[word[b, s], d])
    loss = weighted_loss(scope, y, (b, s, d))
    words = np.array([[0, 3, 3], [3, 1, 0]])  # 3 occurs three times, 2 and 4 never
    return {"word": words, "E": draw(1, 5, 2), "weights": draw(2, 2, 3, 2)}, loss, (E,)


@case("layer-norm")
def layer_norm(scope: Scope) -> tuple[Any, ...]:
    b, k = index("b", BATCH), index("k", 4)
    x = scope.tensor("x", (b, k), role="input")
    gamma = scope.tensor("gamma", (k,), role="parameter")
    beta = scope.tensor("beta", (k,), role="parameter")
    mean, variance = scope.tensor("mean", (b,)), scope.tensor("variance", (b,))
    y = scope.tensor("normal", (b, k))
    scope.define(mean[b], x[b, k] / 4, over=(k,))
    scope.define(variance[b], (x[b, k] - mean[b]) ** 2 / 4, over=(k,))
    scale = 1 / sympy.sqrt(variance[b] + sympy.Rational(1, 100000))
    scope.define(y[b, k], gamma[k] * (x[b, k] - mean[b]) * scale + beta[k])
    loss = weighted_loss(scope, y, (b, k))
    arrays = {"x": draw(1, 3, 4), "gamma": draw(2, 4), "beta": draw(3, 4), "weights": draw(4, 3, 4)}
    return arrays, loss, (x, gamma, beta)


@case("batch-norm")
def batch_norm(scope: Scope) -> tuple[Any, ...]:
    b, k = index("b", BATCH), index("k", 3)
    x = scope.tensor("x", (b, k), role="input")
    gamma = scope.tensor("gamma", (k,), role="parameter")
    mean, variance = scope.tensor("mean", (k,)), scope.tensor("variance", (k,))
    y = scope.tensor("normal", (b, k))
    scope.define(mean[k], x[b, k] / BATCH, over=(b,))
    scope.define(variance[k], (x[b, k] - mean[k]) ** 2 / BATCH, over=(b,))
    scope.define(y[b, k], gamma[k] * (x[b, k] - mean[k]) / sympy.sqrt(variance[k] + 1))
    loss = weighted_loss(scope, y, (b, k))
    return {"x": draw(1, 5, 3), "gamma": draw(2, 3), "weights": draw(3, 5, 3)}, loss, (x, gamma)


def attention(scope: Scope, causal: bool) -> tuple[Any, ...]:
    """softmax(Q Kᵀ/√d) V with the softmax shifted by a maximum that the derivative does not see."""
    b, t, s, d, k = (
        index("b", BATCH),
        index("t", 4),
        index("s", 4),
        index("d", 2),
        index("k", 3),
    )
    x = scope.tensor("x", (b, t, k), role="input")
    maps = [scope.tensor(name, (d, k), role="parameter") for name in ("WQ", "WK", "WV")]
    projected = []
    for name, weight in zip(("Q", "K", "V"), maps, strict=True):
        tensor = scope.tensor(name, (b, t, d))
        scope.define(tensor[b, t, d], weight[d, k] * x[b, t, k], over=(k,))
        projected.append(tensor)
    Q, K, V = projected
    score, shift = (
        scope.tensor("score", (b, t, s)),
        scope.tensor("shift", (b, t), role="constant"),
    )
    e, total = scope.tensor("e", (b, t, s)), scope.tensor("total", (b, t))
    scope.define(score[b, t, s], Q[b, t, d] * K[b, s, d] / sympy.sqrt(2), over=(d,))
    scope.define(shift[b, t], score[b, t, s], over=(s,), reduce="max")
    weight = sympy.exp(score[b, t, s] - shift[b, t])
    scope.define(e[b, t, s], Select(GreaterEqual(t, s), weight, 0) if causal else weight)
    scope.define(total[b, t], e[b, t, s], over=(s,))
    out = scope.tensor("out", (b, t, d))
    scope.define(out[b, t, d], e[b, t, s] / total[b, t] * V[b, s, d], over=(s,))
    loss = weighted_loss(scope, out, (b, t, d))
    arrays = {"x": draw(1, 2, 4, 3), "weights": draw(2, 2, 4, 2)}
    arrays |= {name: draw(3 + i, 2, 3) for i, name in enumerate(("WQ", "WK", "WV"))}
    return arrays, loss, (*maps, x)


case("attention")(lambda scope: attention(scope, causal=False))
case("attention-causal")(lambda scope: attention(scope, causal=True))


def rnn(scope: Scope, last_only: bool, reverse: bool = False) -> tuple[Any, ...]:
    """h[t + 1] = tanh(W x[t] + U h[t] + c), or from the end: h[t] from h[t + 1]."""
    steps, width = 4, 3
    b, t, j, k, n = (
        index("b", BATCH),
        index("t", steps),
        index("j", width),
        index("k", width),
        index("n", 2),
    )
    x = scope.tensor("x", (t, b, n), role="input")
    W, U = (
        scope.tensor("W", (j, n), role="parameter"),
        scope.tensor("U", (j, k), role="parameter"),
    )
    c, first = (
        scope.tensor("c", (j,), role="parameter"),
        scope.tensor("first", (j,), role="parameter"),
    )
    h = scope.tensor("h", (index("u", steps + 1), b, j))
    z = scope.tensor("z", (t, b, j))
    start, end = (steps, 0) if reverse else (0, steps)
    before, after = (t + 1, t) if reverse else (t, t + 1)
    scope.define(h[start, b, j], first[j], step="first state")
    with scope.recurrence(t, reverse=reverse):
        scope.define(z[t, b, j], W[j, n] * x[t, b, n], over=(n,))
        scope.define(z[t, b, j], U[j, k] * h[before, b, k], over=(k,))
        scope.define(z[t, b, j], c[j])
        scope.define(h[after, b, j], sympy.tanh(z[t, b, j]), step="state")
    if last_only:
        last = scope.tensor("last", (b, j))
        scope.define(last[b, j], h[end, b, j])
        loss = weighted_loss(scope, last, (b, j))
        weights = draw(7, 2, width)
    else:
        loss = weighted_loss(scope, h, (index("u", steps + 1), b, j))
        weights = draw(7, steps + 1, 2, width)
    arrays = {"x": draw(1, steps, 2, 2), "W": draw(2, width, 2), "U": draw(3, width, width)}
    arrays |= {"c": draw(4, width), "first": draw(5, width), "weights": weights}
    return arrays, loss, (W, U, c, first, x)


case("rnn-last")(lambda scope: rnn(scope, last_only=True))
case("rnn-all")(lambda scope: rnn(scope, last_only=False))
case("rnn-reverse")(lambda scope: rnn(scope, last_only=False, reverse=True))


@case("lstm-cell")
def lstm_cell(scope: Scope) -> tuple[Any, ...]:
    """A gated cell c[t + 1] = f[t] c[t] + i[t] g[t]: the state is read by the equation that writes
    it.
    """
    steps, width = 3, 2
    b, t, j, k = index("b", BATCH), index("t", steps), index("j", width), index("k", width)
    u = index("u", steps + 1)
    x = scope.tensor("x", (t, b, j), role="input")
    h, cell = scope.tensor("h", (u, b, j)), scope.tensor("cell", (u, b, j))
    gates, maps = {}, []
    with scope.recurrence(t):
        for name in "figo":
            weight = scope.tensor(f"U{name}", (j, k), role="parameter")
            z = scope.tensor(f"z{name}", (t, b, j))
            scope.define(z[t, b, j], weight[j, k] * h[t, b, k], over=(k,))
            scope.define(z[t, b, j], x[t, b, j])
            gates[name] = (
                sympy.tanh(z[t, b, j]) if name == "g" else 1 / (1 + sympy.exp(-z[t, b, j]))
            )
            maps.append(weight)
        scope.define(
            cell[t + 1, b, j], gates["f"] * cell[t, b, j] + gates["i"] * gates["g"], step="cell"
        )
        scope.define(h[t + 1, b, j], gates["o"] * sympy.tanh(cell[t + 1, b, j]), step="state")
    loss = weighted_loss(scope, h, (u, b, j))
    arrays = {"x": draw(1, steps, 2, width), "weights": draw(2, steps + 1, 2, width)}
    arrays |= {f"U{name}": draw(3 + i, width, width) for i, name in enumerate("figo")}
    return arrays, loss, (*maps, x)


@case("recurrence-against-the-order")
def recurrence_against_the_order(scope: Scope) -> tuple[Any, ...]:
    """The parameter enters by the last equation and reaches the loss by the first, three steps
    later.
    """
    t, u = index("t", 5), index("u", 6)
    w = scope.tensor("w", role="parameter")
    first, second, third = (scope.tensor(name, (u,)) for name in ("first", "second", "third"))
    with scope.recurrence(t):
        scope.define(first[t + 1], sympy.sin(second[t]))
        scope.define(second[t + 1], third[t] ** 2 + third[t])
        scope.define(third[t + 1], w[()] * (t + 1))
    loss = weighted_loss(scope, first, (u,))
    return {"w": 0.7, "weights": draw(1, 6)}, loss, (w,)


@case("running-product")
def running_product(scope: Scope) -> tuple[Any, ...]:
    """A state assigned over and over, read only linearly: what was overwritten is not needed."""
    t = index("t", 4)
    x = scope.tensor("x", (t,), role="input")
    s = scope.tensor("s", role="state", init=0.0)
    w = scope.tensor("w", role="parameter")
    with scope.recurrence(t):
        scope.define(s[()], x[t] * s[()] + w[()] ** 2, over=(t,), reduce="set")
    loss = scope.tensor("L")
    scope.define(loss[()], s[()] * w[()])
    return {"x": draw(1, 4), "s": 0.3, "w": 0.6}, loss, (w, s), False


@case("residual-fan-out")
def residual(scope: Scope) -> tuple[Any, ...]:
    """a is read five times, z written three times, once by the same equation twice over."""
    b, j, k = index("b", BATCH), index("j", 3), index("k", 3)
    x = scope.tensor("x", (b, k), role="input")
    W = scope.tensor("W", (j, k), role="parameter")
    a, z = scope.tensor("a", (b, j)), scope.tensor("z", (b, j))
    scope.define(a[b, j], W[j, k] * x[b, k], over=(k,))
    scope.define(z[b, j], a[b, j])
    scope.define(z[b, j], a[b, j])
    scope.define(z[b, j], sympy.tanh(a[b, j]) * a[b, j])
    scope.define(z[b, j], W[j, k] * a[b, k], over=(k,))
    loss = weighted_loss(scope, z, (b, j))
    return {"x": draw(1, 4, 3), "W": draw(2, 3, 3), "weights": draw(3, 4, 3)}, loss, (W, x)


@case("repeated-tensor")
def repeated_tensor(scope: Scope) -> tuple[Any, ...]:
    """One tensor at different subscripts, mirrored and diagonal, an index summed that occurs
    nowhere.
    """
    i, j, n = index("i", 3), index("j", 3), index("n", 4)
    A = scope.tensor("A", (i, j), role="parameter")
    y, trace = scope.tensor("y", (i, j)), scope.tensor("trace")
    scope.define(y[i, j], A[i, j] * A[j, i] + A[2 - i, j] ** 3, over=(n,))
    scope.define(trace[()], A[i, i] * sympy.exp(A[i, 2 - i]), over=(i,))
    loss = scope.tensor("L")
    scope.define(loss[()], sympy.sin(y[i, j]) * trace[()], over=(i, j))
    return {"A": draw(1, 3, 3)}, loss, (A,)


@case("kinks")
def kinks(scope: Scope) -> tuple[Any, ...]:
    i = index("i", 9)
    x = scope.tensor("x", (i,), role="input")
    y = scope.tensor("y", (i,))
    value = Maximum(x[i], 0) * Absolute(x[i] - sympy.Rational(1, 4)) + Select(
        GreaterEqual(x[i], sympy.Rational(1, 2)), sympy.log(x[i]), x[i] ** 2
    )
    scope.define(y[i], value)
    loss = weighted_loss(scope, y, (i,))
    return {"x": np.linspace(-1, 1, 9) + 0.01, "weights": draw(1, 9)}, loss, (x,)


@case("adam-functional")
def adam_functional(scope: Scope) -> tuple[Any, ...]:
    """One Adam step into new tensors, differentiated by the parameter, its moments and the learning
    rate.
    """
    i, n = index("i", 3), index("n", 2)
    w, m, v = (scope.tensor(name, (i,), role="state") for name in ("w", "first", "second"))
    rate, x = scope.tensor("rate", role="state"), scope.tensor("x", (n, i), role="input")
    g, m2, v2, w2 = (scope.tensor(name, (i,)) for name in ("g", "m2", "v2", "w2"))
    first, second = sympy.Rational(9, 10), sympy.Rational(999, 1000)
    scope.define(g[i], sympy.sin(w[i] * x[n, i]) * x[n, i], over=(n,))
    scope.define(m2[i], first * m[i] + (1 - first) * g[i])
    scope.define(v2[i], second * v[i] + (1 - second) * g[i] ** 2)
    change = m2[i] / (1 - first**3) / (sympy.sqrt(v2[i] / (1 - second**3)) + sympy.Rational(1, 100))
    scope.define(w2[i], w[i] - rate[()] * change)
    loss = weighted_loss(scope, w2, (i,))
    arrays = {"w": draw(1, 3), "first": draw(2, 3), "second": draw(3, 3, low=0.1), "rate": 0.1}
    return arrays | {"x": draw(4, 2, 3), "weights": draw(5, 3)}, loss, (w, m, v, rate)


@case("sgd-in-place")
def sgd_in_place(scope: Scope) -> tuple[Any, ...]:
    """The loss after one assigned step of SGD, by the learning rate: the updated W is read, the old
    one is not.
    """
    i = index("i", 3)
    w = scope.tensor("w", (i,), role="parameter")
    x = scope.tensor("x", (i,), role="input")
    gradient = scope.tensor("gradient", (i,), role="input")
    SGD(0.1).update(scope, (w,), (gradient,))
    p = scope.tensor("p")
    scope.define(p[()], w[i] * x[i], over=(i,))
    loss = scope.tensor("L")
    scope.define(loss[()], sympy.exp(p[()]))
    (rate,) = (t for t in scope.freeze().tensors if t.name == "alpha")
    arrays = {"w": draw(1, 3), "x": draw(2, 3), "gradient": draw(3, 3), "alpha": 0.1}
    return arrays, loss, (rate, gradient, w)


@case("adam-in-place")
def adam_in_place(scope: Scope) -> tuple[Any, ...]:
    """The loss after one step of the declared Adam, by everything that enters: assigned and read in
    one step.
    """
    i = index("i", 3)
    w = scope.tensor("w", (i,), role="parameter")
    gradient = scope.tensor("gradient", (i,), role="input")
    Adam(0.1, epsilon=0.01).update(scope, (w,), (gradient,))
    loss = weighted_loss(scope, w, (i,))
    states = [t for t in scope.freeze().tensors if t.name in ("alpha", "m_w", "v_w")]
    arrays = {
        "w": draw(1, 3),
        "gradient": draw(2, 3),
        "weights": draw(3, 3),
        "alpha": 0.1,
        "t": 2.0,
    }
    arrays |= {"m_w": draw(4, 3), "v_w": draw(5, 3, low=0.1)}
    return arrays, loss, (w, gradient, *states), False


@case("assigned-twice")
def assigned_twice(scope: Scope) -> tuple[Any, ...]:
    """What an assignment replaces has no derivative any more."""
    i = index("i", 3)
    x, y = scope.tensor("x", (i,), role="input"), scope.tensor("y", (i,))
    scope.define(y[i], sympy.exp(x[i]))
    scope.define(y[i], x[i] ** 3, reduce="set")
    scope.define(y[i], sympy.sin(x[i]))
    loss = weighted_loss(scope, y, (i,))
    return {"x": draw(1, 3), "weights": draw(2, 3)}, loss, (x,), False


@case("cross-entropy-softmax")
def cross_entropy(scope: Scope) -> tuple[Any, ...]:
    b, k = index("b", BATCH), index("k", 4)
    z = scope.tensor("z", (b, k), role="input")
    y = scope.tensor("y", (b, k), role="target")
    a = scope.tensor("a", (b, k))
    symprop.activations.ACTIVATIONS["softmax"].apply(scope, z, a)
    loss = scope.tensor("L")
    scope.define(loss[()], -y[b, k] * sympy.log(a[b, k]) / BATCH, over=(b, k))
    return {"z": 3 * draw(1, 5, 4), "y": np.eye(4)[[0, 3, 1, 1, 2]]}, loss, (z,)


@case("positions")
def positions(scope: Scope) -> tuple[Any, ...]:
    """Indices as numbers: sines of positions and one-hot rows of gathered labels."""
    b, s, d = index("b", BATCH), index("s", 4), index("d", 3)
    x = scope.tensor("x", (b, s, d), role="input")
    w = scope.tensor("w", (d,), role="parameter")
    label = scope.tensor("label", (b,), role="input")
    y = scope.tensor("y", (b, s, d))
    angle = s * 10 ** (-sympy.Rational(2, 3) * d) / (s + 1) ** 2
    scope.define(y[b, s, d], w[d] * (x[b, s, d] + sympy.sin(angle)))
    picked = scope.tensor("picked", (b, d))
    scope.define(picked[b, d], y[b, label[b], d] ** 2)
    loss = weighted_loss(scope, picked, (b, d))
    arrays = {"x": draw(1, 2, 4, 3), "w": draw(2, 3), "label": np.array([3, 0])}
    return arrays | {"weights": draw(3, 2, 3)}, loss, (w, x)
