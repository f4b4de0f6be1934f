"""PyTorch: the usual eager loop, and a whole training step under ``torch.compile``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.workloads import LEARNING_RATES, Workload

ACTIVATIONS: dict[str, Any] = {"tanh": nn.Tanh, "relu": nn.ReLU}
FUNCTIONS: dict[str, Any] = {"tanh": torch.tanh, "relu": torch.relu}


def modules(workload: Workload) -> nn.Sequential:
    """The network; softmax is in the loss."""
    found: list[nn.Module] = []
    for (_, name), (weight, bias) in zip(workload.layers, workload.start(), strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=getattr(torch, workload.dtype))
        linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        found += [linear, *([ACTIVATIONS[name]()] if name in ACTIVATIONS else [])]
    return nn.Sequential(*found)


def loss_of(workload: Workload) -> Any:
    """The loss of a prediction and its targets."""
    return functional.cross_entropy if workload.loss == "cross_entropy" else functional.mse_loss


def optimizer_of(name: str, network: nn.Module) -> torch.optim.Optimizer:
    """The fused one: a single kernel for all parameters."""
    kind = torch.optim.SGD if name == "sgd" else torch.optim.Adam
    return kind(network.parameters(), lr=LEARNING_RATES[name], fused=True)


class Loop:
    """Data and order, for both."""

    def __init__(self, workload: Workload, threads: int):
        torch.set_num_threads(threads)
        self.workload = workload
        x, y = workload.arrays()
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.generator = torch.Generator().manual_seed(0)

    def order(self, shuffle: bool) -> Tensor:
        rows = self.workload.rows
        if not shuffle:
            return torch.arange(rows)
        return torch.randperm(rows, generator=self.generator)

    def run(self, epochs: int, shuffle: bool) -> float:
        total = torch.zeros(())
        for _ in range(epochs):
            total = self.epoch(self.order(shuffle))
        return float(total) / self.workload.rows

    def epoch(self, order: Tensor) -> Tensor:
        """Train on all batches; the sum of the rows' losses."""
        raise NotImplementedError


class Eager(Loop):
    """Modules, autograd and torch.optim."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1):
        super().__init__(workload, threads)
        self.network, self.loss = modules(workload), loss_of(workload)
        self.optimizer = optimizer_of(optimizer, self.network)

    def epoch(self, order: Tensor) -> Tensor:
        total = torch.zeros(())
        for chosen in order.split(self.workload.batch):
            x, y = self.batch(chosen)
            loss = self.loss(self.network(x), y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total = total + loss.detach() * len(chosen)
        return total

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        if not self.workload.shuffle:
            return self.x, self.y
        return self.x[chosen], self.y[chosen]


class Compiled(Loop):
    """One graph: gather, loss, gradients, update in place; a shorter last batch is not compiled."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1):
        super().__init__(workload, threads)
        torch.compiler.reset()  # a function may be compiled eight times, over all instances
        self.parameters = [
            tuple(torch.from_numpy(array) for array in layer) for layer in workload.start()
        ]
        flat = [array for layer in self.parameters for array in layer]
        zeros = [[torch.zeros_like(array) for array in flat] for _ in range(2)]
        self.moments = tuple(zeros) if optimizer == "adam" else ()
        self.steps = torch.zeros((), dtype=flat[0].dtype)
        self.step = torch.compile(self._step, fullgraph=True, dynamic=False)

    def _step(self, chosen: Tensor, total: Tensor) -> None:
        x, y = self.x, self.y
        if self.workload.shuffle:
            x, y = x[chosen], y[chosen]
        gradients, loss = torch.func.grad_and_value(self._loss)(self.parameters, x, y)
        flat = [array for layer in self.parameters for array in layer]
        self._update(flat, [array for layer in gradients for array in layer])
        total.add_(loss * len(chosen))

    def _loss(self, parameters: list[tuple[Tensor, ...]], x: Tensor, y: Tensor) -> Tensor:
        for (weight, bias), (_, name) in zip(parameters, self.workload.layers, strict=True):
            x = functional.linear(x, weight, bias)
            x = FUNCTIONS[name](x) if name in FUNCTIONS else x
        loss: Tensor = loss_of(self.workload)(x, y)
        return loss

    def _update(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        if not self.moments:
            for w, g in zip(parameters, gradients, strict=True):
                w.sub_(LEARNING_RATES["sgd"] * g)
            return
        self.steps.add_(1)
        first, second = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        for w, g, m, v in zip(parameters, gradients, *self.moments, strict=True):
            m.mul_(0.9).add_(g, alpha=0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            w.sub_(LEARNING_RATES["adam"] * (m / first) / ((v / second).sqrt() + 1e-8))

    def epoch(self, order: Tensor) -> Tensor:
        total = torch.zeros((), dtype=self.x.dtype)
        with torch.no_grad():
            for chosen in order.split(self.workload.batch):
                step = self.step if len(chosen) == self.workload.batch else self._step
                step(chosen, total)
        return total
