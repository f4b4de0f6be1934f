"""Normalization over the batch."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Integer, Rational, sqrt

from symprop.arguments import constructed_by_name
from symprop.equation import PREACTIVATION
from symprop.layers.graph import OnTensors
from symprop.primitives import Greater, Maximum
from symprop.scope import BATCH, Scope, index
from symprop.settings import setting
from symprop.tensor import Tensor, extent


@constructed_by_name
@dataclass(frozen=True)
class BatchNorm(OnTensors):
    """Batch normalization: each unit has mean 0 and variance 1 over the batch, then a scale and a
    shift of its own.

        μ[j] = (1/m) Σ_b x[b, j]
        v[j] = (1/m) Σ_b (x[b, j] − μ[j])²,   σ[j] = √(v[j] + ε)
        x̂[b, j] = (x[b, j] − μ[j]) / σ[j]
        z[b, j] = γ[j] x̂[b, j] + β[j]

    x, x̂ and z have axes (batch, units), the others (units). γ starts from 1, β from 0. To
    predict, running values take the place of μ and v; each training step moves them by

        μ_running ← p μ_running + (1 − p) μ
        v_running ← p v_running + (1 − p) v m/(m − 1)

    from 0 and 1, with the momentum p. The variance of the batch divides by m, the running one by
    m − 1 to be unbiased, as in the paper and in PyTorch; Keras takes v as it is. A batch of one row
    has v = 0 and no unbiased variance: there x̂ = 0, so z = β, and the running values stay as they
    are. Both values are kept after each batch, so that p = 0.9 (PyTorch's momentum 0.1) averages
    over some ten batches: enough to settle within one epoch, which Keras's 0.99 is not on little
    data. ε = 1e-5, as in PyTorch, keeps a unit that does not vary from dividing by 0.

    Raises ArgumentError or ArgumentTypeError for p outside [0, 1) or ε ≤ 0.

    Source: Ioffe and Szegedy 2015, "Batch normalization", Algorithms 1 and 2.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(3), BatchNorm()], inputs=2, loss="mse")
    >>> print(net.statistics)
    μ2_running[j] ← μ2_running[j] + [m > 1]·(μ2[j] - μ2_running[j])/10
    v2_running[j] ← v2_running[j] + [m > 1]·(m·v2[j]/max(m - 1, 1) - v2_running[j])/10
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._settings()

    def _settings(self) -> tuple[Rational, Rational]:
        return (
            setting("BatchNorm: momentum", self.momentum, 0, 1, low_included=True),
            setting("BatchNorm: epsilon", self.epsilon, 0, float("inf"), low_included=False),
        )

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write the statistics, x̂ and z, and give z."""
        b, j = source.axes[0], index("j", extent(source.axes[-1]))
        _, epsilon = self._settings()
        with scope.layer("BatchNorm") as number:
            gamma = scope.tensor(f"gamma{number}", (j,), role="parameter", init=1.0)
            beta = scope.tensor(f"beta{number}", (j,), role="parameter", init=0.0)
            mean, variance = self._statistics(scope, source, number)
            sigma = scope.tensor(f"sigma{number}", (j,))
            normal = scope.tensor(f"xhat{number}", (b, j))
            z = scope.tensor(f"z{number}", (b, j))
            deviation = source[b, j] - mean[j]
            if scope.training:
                scope.fact(deviation, (b,), Integer(0), "deviations from a mean sum to 0")
                scope.define(variance[j], deviation**2 / BATCH, over=(b,), step="variance")
            scope.define(sigma[j], sqrt(variance[j] + epsilon), step="standard deviation")
            scope.define(normal[b, j], deviation / sigma[j], step="normalization")
            value = gamma[j] * normal[b, j] + beta[j]
            scope.define(z[b, j], value, step=PREACTIVATION)
            if not name:
                return z
            output = scope.tensor(name, (b, j))
            scope.define(output[b, j], z[b, j], step="activation")
        return output

    def _statistics(self, scope: Scope, source: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Mean and variance: those of the batch, which then move the running ones; or these."""
        b, j = source.axes[0], index("j", extent(source.axes[-1]))
        running_mean = scope.tensor(f"mu{number}_running", (j,), role="state", init=0.0)
        running_variance = scope.tensor(f"v{number}_running", (j,), role="state", init=1.0)
        if not scope.training:
            return running_mean, running_variance
        mean = scope.tensor(f"mu{number}", (j,))
        variance = scope.tensor(f"v{number}", (j,))
        scope.define(mean[j], source[b, j] / BATCH, over=(b,), step="mean")
        unbiased = variance[j] * BATCH / Maximum(BATCH - 1, 1)
        for running, now in ((running_mean, mean[j]), (running_variance, unbiased)):
            scope.update(running[j], self._moved(running[j], now), step="running statistics")
        return mean, variance

    def _moved(self, running: Expr, now: Expr) -> Expr:
        """p running + (1 − p) now, in a batch of several rows."""
        momentum, _ = self._settings()
        return running + (1 - momentum) * Greater(BATCH, 1) * (now - running)
