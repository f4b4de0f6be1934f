"""JAX: an epoch is one jitted ``lax.scan`` over the batches of a permutation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import LEARNING_RATES, Array, Workload

Tree = Any
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "linear": lambda z: z,
    "softmax": lambda z: z,  # log_softmax is in the loss
}


def loss_of(workload: Workload) -> Callable[[Tree, Any, Any], Any]:
    """The loss as a function of parameters, inputs and targets; W has shape (in, out)."""

    def loss(parameters: Tree, x: Any, y: Any) -> Any:
        for (weight, bias), (_, activation) in zip(parameters, workload.layers, strict=True):
            x = ACTIVATIONS[activation](x @ weight + bias)
        if workload.loss == "cross_entropy":
            return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x), axis=-1))
        return jnp.mean((x - y) ** 2)

    return loss


def sgd(state: Tree, gradients: Tree) -> Tree:
    """w ← w − α g."""
    rate = LEARNING_RATES["sgd"]
    return {"w": jax.tree.map(lambda w, g: w - rate * g, state["w"], gradients)}


def adam(state: Tree, gradients: Tree) -> Tree:
    """Kingma and Ba 2015, Algorithm 1."""
    rate, t = LEARNING_RATES["adam"], state["t"] + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["m"], gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"], gradients)
    first, second = 1 - 0.9**t, 1 - 0.999**t

    def step(w: Any, m: Any, v: Any) -> Any:
        return w - rate * (m / first) / (jnp.sqrt(v / second) + 1e-8)

    return {"w": jax.tree.map(step, state["w"], m, v), "m": m, "v": v, "t": t}


OPTIMIZERS = {"sgd": sgd, "adam": adam}


def start(workload: Workload, optimizer: str) -> Tree:
    """Parameters and the optimizer's state."""
    state: Tree = {"w": [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in workload.start()]}
    if optimizer == "adam":
        state["m"] = jax.tree.map(jnp.zeros_like, state["w"])
        state["v"] = jax.tree.map(jnp.zeros_like, state["w"])
        state["t"] = jnp.zeros((), workload.dtype)
    return state


def epoch_of(workload: Workload, optimizer: str) -> Callable[..., Any]:
    """(state, order, x, y) to the state after an epoch and its mean loss, jitted."""
    loss = jax.value_and_grad(loss_of(workload))
    rows, batch = workload.rows, workload.batch
    whole, rest = divmod(rows, batch)

    def step(x: Any, y: Any, state: Tree, chosen: Any) -> Any:
        if workload.shuffle:
            x, y = x[chosen], y[chosen]
        value, gradients = loss(state["w"], x, y)
        return OPTIMIZERS[optimizer](state, gradients), value

    @partial(jax.jit, donate_argnums=(0,))
    def epoch(state: Tree, order: Any, x: Any, y: Any) -> Any:
        one = partial(step, x, y)
        batches = order[: whole * batch].reshape(whole, batch)
        state, losses = jax.lax.scan(one, state, batches)
        total = jnp.sum(losses) * batch
        if rest:
            state, last = one(state, order[whole * batch :])
            total += last * rest
        return state, total / rows

    return epoch


class JaxScan:
    """NumPy draws the permutation: jax.random.permutation within the epoch takes longer."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1):
        jax.config.update("jax_enable_x64", workload.dtype == "float64")
        x, y = workload.arrays()
        if workload.loss == "cross_entropy":
            y = np.eye(workload.sizes[-1], dtype=workload.dtype)[y]
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        self.rows, self.generator = workload.rows, np.random.default_rng(0)
        self.state = start(workload, optimizer)
        self.epoch = epoch_of(workload, optimizer)

    def order(self, shuffle: bool) -> Array:
        order = self.generator.permutation(self.rows) if shuffle else np.arange(self.rows)
        return order.astype(np.int32)

    def run(self, epochs: int, shuffle: bool) -> float:
        loss = jnp.zeros(())
        for _ in range(epochs):
            self.state, loss = self.epoch(self.state, self.order(shuffle), self.x, self.y)
        return float(loss)
