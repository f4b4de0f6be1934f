"""Optimizers that give every element a rate of its own, by the size of its gradients so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Expr, Integer, sqrt

from symprop.arguments import constructed_by_name
from symprop.optimizers.base import Descent
from symprop.scope import Scope
from symprop.settings import exact
from symprop.tensor import Tensor


@constructed_by_name
@dataclass(frozen=True, repr=False)
class Adagrad(Descent):
    """Adaptive gradients: rates that fall with all squared gradients so far.

        s ← s + g²,   w ← w − α g / (√s + ε)

    w is a parameter, g = ∂L/∂w, s the sum of its squares (starts from ``accumulator``), α the
    learning rate. The defaults are PyTorch's, α = 0.01, s = 0 at the start (as in the paper) and ε
    = 1e-10. Keras starts s from 0.1 and has ε = 1e-7 under the root. Of the keywords that every
    optimizer has, see ``symprop.optimizers.base.Descent``.

    Raises ArgumentError for α ≤ 0, a start below 0 or ε ≤ 0.

    Source: Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and
    stochastic optimization", Figure 1 (diagonal matrices).

    >>> from symprop import Dense, Network
    >>> print(Network([Dense(1, bias=False)], inputs=1, loss="mse").update("adagrad"))
    s_W1[j, k] ← s_W1[j, k] + (∂L/∂W1[j, k])²
    W1[j, k] ← W1[j, k] - α/(√(s_W1[j, k]) + 1e-10)·∂L/∂W1[j, k]
    """

    accumulator: float = 0.0
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("accumulator", 0, included=True)
        self._check("epsilon", 0)

    def _step(
        self, scope: Scope, parameter: Tensor, g: Expr, rate: Expr, shared: tuple[Expr, ...]
    ) -> None:
        at, start = parameter.axes, float(self.accumulator)
        w = parameter[at]
        s = scope.tensor(f"s_{parameter.name}", at, role="state", init=start)[at]
        scope.define(s, s + g**2, reduce="set", step="sum of squares")
        change = g / (sqrt(s) + exact(self.epsilon))
        scope.define(w, w - rate * change, reduce="set", step="update")


@constructed_by_name
@dataclass(frozen=True, repr=False)
class RMSProp(Descent):
    """Root mean square propagation: rates by the mean of the latest squared gradients.

        v ← ρ v + (1 − ρ) g²
        w ← w − α g / (√v + ε)                         plain
        u ← μ u + g / (√v + ε),   w ← w − α u          momentum μ

    w is a parameter, g = ∂L/∂w, v the running mean of its squares and u its velocity (start from
    0), α the learning rate. α = 0.001 and ρ = 0.9 are the lecture's; ε = 1e-8 is PyTorch's, which
    has α = 0.01 and ρ = 0.99 by default and computes the same. Keras has ρ = 0.9 and ε = 1e-7,
    under the root. Of the keywords that every optimizer has, see
    ``symprop.optimizers.base.Descent``.

    Raises ArgumentError for α ≤ 0, ρ or μ outside [0, 1) or ε ≤ 0.

    Source: Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6.5.

    >>> from symprop import Dense, Network
    >>> print(Network([Dense(1, bias=False)], inputs=1, loss="mse").update("rmsprop"))
    v_W1[j, k] ← 9/10·v_W1[j, k] + (∂L/∂W1[j, k])²/10
    W1[j, k] ← W1[j, k] - α/(√(v_W1[j, k]) + 1e-8)·∂L/∂W1[j, k]
    """

    learning_rate: Any = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("rho", 0, 1, included=True)
        self._check("epsilon", 0)
        self._check("momentum", 0, 1, included=True)

    def _step(
        self, scope: Scope, parameter: Tensor, g: Expr, rate: Expr, shared: tuple[Expr, ...]
    ) -> None:
        at, rho = parameter.axes, exact(self.rho)
        w = parameter[at]
        v = scope.tensor(f"v_{parameter.name}", at, role="state", init=0.0)[at]
        scope.define(v, rho * v + (1 - rho) * g**2, reduce="set", step="mean of squares")
        change = g / (sqrt(v) + exact(self.epsilon))
        if self.momentum:
            u = scope.tensor(f"u_{parameter.name}", at, role="state", init=0.0)[at]
            scope.define(u, exact(self.momentum) * u + change, reduce="set", step="velocity")
            change = u
        scope.define(w, w - rate * change, reduce="set", step="update")


@constructed_by_name
@dataclass(frozen=True, repr=False)
class Adam(Descent):
    """Adaptive moment estimation.

        t ← t + 1
        m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
        w ← w − α (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    w is a parameter, g = ∂L/∂w, m and v its running moments (start from 0), t the step, α the
    learning rate. The defaults are those of the paper. PyTorch computes the same; Keras has ε =
    1e-7 and adds it to √v before the correction, which is ε / √(1 − β₂ᵗ) here. Of the keywords that
    every optimizer has, see ``symprop.optimizers.base.Descent``.

    Raises ArgumentError for α ≤ 0, β outside [0, 1) or ε ≤ 0.

    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", Algorithm 1.

    >>> Adam(1e-3).beta_2
    0.999
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("beta_1", 0, 1, included=True)
        self._check("beta_2", 0, 1, included=True)
        self._check("epsilon", 0)

    @property
    def _counts(self) -> bool:
        return True

    def _shared(self, scope: Scope, step: Expr) -> tuple[Expr, ...]:
        """The two corrections of the bias towards 0 with which the moments start."""
        corrections = []
        for name, beta in (("correction_m", self.beta_1), ("correction_v", self.beta_2)):
            correction = scope.tensor(name)[()]
            scope.define(correction, 1 - exact(beta) ** step, step="bias correction")
            corrections.append(correction)
        return tuple(corrections)

    def _step(
        self, scope: Scope, parameter: Tensor, g: Expr, rate: Expr, shared: tuple[Expr, ...]
    ) -> None:
        at, first, second = parameter.axes, exact(self.beta_1), exact(self.beta_2)
        w, (correction_m, correction_v) = parameter[at], shared
        m = scope.tensor(f"m_{parameter.name}", at, role="state", init=0.0)[at]
        v = scope.tensor(f"v_{parameter.name}", at, role="state", init=0.0)[at]
        scope.define(m, first * m + (1 - first) * g, reduce="set", step="first moment")
        scope.define(v, second * v + (1 - second) * g**2, reduce="set", step="second moment")
        change = (m / correction_m) / (sqrt(v / correction_v) + exact(self.epsilon))
        kept = 1 - rate * self._decay
        scope.define(w, kept * w - rate * change, reduce="set", step="update")

    @property
    def _decay(self) -> Expr:
        """The weight decay λ."""
        return Integer(0)


@constructed_by_name
@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay.

        m, v as by Adam
        w ← (1 − α λ) w − α (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    λ is ``weight_decay``, of every parameter, biases too, as in the paper and PyTorch. It is no
    term of the loss: with ``l2=`` of a layer Adam would divide the penalty's gradient by √v too.
    λ = 0.01 by default, as in PyTorch, which computes the same; Keras has 0.004 and ε = 1e-7.

    Raises ArgumentError for what Adam refuses, and λ < 0.

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", Algorithm 2 (where
    λ is not multiplied by α, but by the schedule alone).

    >>> from symprop import Dense, Network
    >>> print(Network([Dense(1, bias=False)], inputs=1, loss="mse").update(AdamW()).flat[-1])
    ... # doctest: +ELLIPSIS
    W1[j, k] ← W1[j, k]·(1 - α/100) - α·m_W1[j, k]/(correction_m·(√(v_W1[j, k]/correction_v) + ...
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("weight_decay", 0, included=True)

    @property
    def _decay(self) -> Expr:
        return exact(self.weight_decay)
