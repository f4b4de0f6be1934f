"""scikit-learn: its multi-layer perceptron, without momentum, penalty or early stopping."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.workloads import LEARNING_RATES, Workload


def settings(workload: Workload, optimizer: str) -> dict[str, Any]:
    """Plain steps; for SGD the rate that makes up for its loss, ½ Σ_j (ŷ − y)² a row."""
    rate = LEARNING_RATES[optimizer]
    if workload.loss == "mse" and optimizer == "sgd":
        rate *= 2 / workload.sizes[-1]
    return {
        "hidden_layer_sizes": workload.sizes[1:-1],
        "activation": workload.layers[0][1],
        "solver": optimizer,
        "alpha": 0.0,
        "batch_size": workload.batch,
        "learning_rate_init": rate,
        "momentum": 0.0,
        "nesterovs_momentum": False,
        "warm_start": True,
        "tol": 0.0,
        "n_iter_no_change": 10**9,
        "max_iter": 1,
        "random_state": 0,
    }


class Perceptron:
    """``fit`` with warm_start goes on from the parameters that are there."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1):
        kind = MLPClassifier if workload.loss == "cross_entropy" else MLPRegressor
        self.x, self.y = workload.arrays()
        if self.y.ndim == 2 and self.y.shape[1] == 1:
            self.y = self.y[:, 0]
        self.scale = 1.0 if workload.loss == "cross_entropy" else 2.0
        self.model = kind(**settings(workload, optimizer))
        self.run(1, shuffle=False)  # only a fit makes the arrays
        for number, (weight, bias) in enumerate(workload.start()):
            self.model.coefs_[number][...] = weight.T
            self.model.intercepts_[number][...] = bias

    def run(self, epochs: int, shuffle: bool) -> float:
        self.model.set_params(max_iter=epochs, shuffle=shuffle)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is what was asked for
            self.model.fit(self.x, self.y)
        return float(self.model.loss_) * self.scale
