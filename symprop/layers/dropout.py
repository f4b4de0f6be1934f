"""Dropout: a part of the units is left out of each step of training."""

from __future__ import annotations

from dataclasses import dataclass

from symprop.arguments import constructed_by_name
from symprop.layers.graph import OnTensors
from symprop.primitives import GreaterEqual
from symprop.scope import Scope, index
from symprop.settings import setting
from symprop.tensor import Tensor, extent


@constructed_by_name
@dataclass(frozen=True)
class Dropout(OnTensors):
    """Inverted dropout: in training each unit of each sample is 0 with probability ``rate``, and
    the others are larger by as much, so that the mean stays.

        r[b, j] = [u[b, j] ≥ rate] / (1 − rate)
        d[b, j] = r[b, j] x[b, j]

    x, u, r and d have axes (batch, units). u is uniform on [0, 1), drawn afresh for each batch; its
    bits depend on the model's seed, the number of batches trained on so far, the layer and the
    element only. To predict, d = x. ``rate`` is a number from 0 to below 1, without a default: the
    paper takes 0.5 for hidden units and 0.2 for inputs. PyTorch and Keras compute the same, from
    other random numbers.

    Raises ArgumentError or ArgumentTypeError for a rate outside [0, 1).

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, "Dropout: a simple way
    to prevent neural networks from overfitting", section 4, scaled as in section 10.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(2, "tanh"), Dropout(0.5), Dense(1)], inputs=3, loss="mse")
    >>> for equation in net.forward.flat[3:5]:
    ...     print(equation)
    r1[b, j] = 2·[u1[b, j] ≥ 1/2]
    d1[b, j] = a1[b, j]·r1[b, j]
    >>> net.inference == Network([Dense(2, "tanh"), Dense(1)], inputs=3, loss="mse").forward
    True
    """

    rate: float

    def __post_init__(self) -> None:
        setting("Dropout: rate", self.rate, 0, 1, low_included=True)

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write r and d, and give d; to predict, give x."""
        if not scope.training and not name:
            return source
        b, j = source.axes[0], index("j", extent(source.axes[-1]))
        rate = setting("Dropout: rate", self.rate, 0, 1, low_included=True)
        with scope.layer("Dropout", counted=False) as number:
            output = scope.tensor(name or scope.free_name(f"d{number}"), (b, j))
            if not scope.training:
                scope.define(output[b, j], source[b, j], step="output")
                return output
            noise = scope.tensor(scope.free_name(f"u{number}"), (b, j), role="noise")
            mask = scope.tensor(scope.free_name(f"r{number}"), (b, j))
            scope.define(mask[b, j], GreaterEqual(noise[b, j], rate) / (1 - rate), step="mask")
            scope.define(output[b, j], mask[b, j] * source[b, j], step="dropout")
        return output
