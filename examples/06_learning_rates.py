"""One problem, three learning rates: 0.1 overshoots and diverges, 0.01 progresses, 0.0001 crawls.

A step w - α ∂L/∂w follows the tangent. Where the loss curves more than 2/α, it lands higher on
the other side of the valley than it started, the next step is larger still, and so on.
"""

import numpy as np
from matplotlib.figure import Figure
from symprop import SGD, Dense, Network
from symprop.errors import DivergenceError

STEPS = 1000
RATES = {0.1: ("#D55E00", "-."), 0.01: ("#0072B2", "-"), 0.0001: ("0.35", "--")}
NET = Network([Dense(32, "relu"), Dense(32, "relu"), Dense(1)], inputs=1, loss="mse")


def descend(rate, x, y):
    """The loss at each step of gradient descent, and what became of it."""
    model = NET.compile(SGD(rate), seed=0)
    try:
        model.fit(x, y, epochs=STEPS, batch_size=len(x))  # the full batch: an epoch is one step
    except DivergenceError as error:
        return model.history.loss, f"diverged: {error.tensor} is infinite in step {error.epoch}"
    loss = model.history.loss
    return loss, "progresses" if loss[-1] < loss[0] / 10 else "crawls"


def main() -> None:
    """Fit a sine with each rate, print what happens, and draw the losses."""
    x = np.random.default_rng(0).uniform(-3, 3, (512, 1))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for rate, (color, style) in RATES.items():
        loss, fate = descend(rate, x, np.sin(2 * x))
        print(f"rate {rate:<6}  loss {loss[0]:.3f} → {loss[-1]:.3g} in {len(loss)} steps: {fate}")
        steps = range(1, len(loss) + 1)
        axes.loglog(steps, loss, style, color=color, label=f"{rate}: {fate.split(':')[0]}")
    axes.set(xlabel="step", ylabel="loss", ylim=(0.05, 1e6), title="Gradient descent, by rate α")
    axes.legend()
    axes.grid(color="0.9")
    figure.savefig("learning_rates.png", dpi=150)
    print("the picture is in learning_rates.png")


if __name__ == "__main__":
    main()
