"""Gradients that vanish and explode on their way back through 50 layers, and what cures each."""

import numpy as np
from matplotlib.figure import Figure
from symprop import SGD, BatchNorm, Dense, Network, Residual, gradient_flow

DEPTH, WIDTH, TOO_LARGE, CLIP = 50, 64, 2.0, 1.0
GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(64, WIDTH)), GENERATOR.integers(10, size=64)


def deep(*hidden):
    """Fifty times the hidden layers, then a softmax over ten classes."""
    return Network([*hidden * DEPTH, Dense(10, "softmax")], inputs=WIDTH, loss="cross_entropy")


def model(net, factor=1.0, clip=None):
    """The network with its weights so many times as large, to be trained with the rate 1."""
    optimizer = SGD(1.0, clip_norm=clip)
    made = net.compile(optimizer, dtype="float64", seed=1, backend="numpy")
    made.set_parameters({name: factor * array for name, array in made.parameters.items()})
    return made


def updates(made):
    """|ΔW| of each layer in one step of gradient descent with the rate 1, by name."""
    before, _, after = made.parameters, made.fit(X, Y, batch_size=len(X)), made.parameters
    return [np.linalg.norm(after[w] - before[w]) for w in before if before[w].ndim == 2]


def main() -> None:
    """Draw |δ| by layer without and with each cure, and the size of a step, clipped and not."""
    sigmoid, relu = Dense(WIDTH, "sigmoid"), deep(Dense(WIDTH, "relu"))
    models = {
        "sigmoid, Glorot": (model(deep(sigmoid)), "#D55E00", "--"),
        "ReLU, He × 2": (model(relu, TOO_LARGE), "#CC79A7", "-."),
        "cure: ReLU, He": (model(relu), "#0072B2", "-"),
        "cure: residual": (model(deep(Residual([sigmoid]))), "#009E73", "-"),
        "cure: batch norm": (model(deep(sigmoid, BatchNorm())), "#E69F00", "-"),
    }
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (made, color, style) in models.items():
        sizes = [layer.measured_delta for layer in gradient_flow(made, X, Y).layers]
        left.semilogy(np.linspace(1, DEPTH + 1, len(sizes)), sizes, style, color=color, label=name)
        print(
            f"{name:18} |δ| from {sizes[-1]:.1e} in the last layer to {sizes[0]:.1e} in the first"
        )
    for name, clip, style in (("not clipped", None, "-."), ("cure: clip_norm=1", CLIP, "-")):
        made = model(relu, TOO_LARGE, clip)
        right.semilogy(range(1, DEPTH + 2), updates(made), style, color="#CC79A7", label=name)
    left.set(xlabel="layer", ylabel="|δ|", title="Error signals")
    right.set(xlabel="layer", ylabel="|ΔW|", title="One step of gradient descent, ReLU, He × 2")
    for axes in (left, right):
        axes.legend(fontsize="small")
        axes.grid(color="0.9")
    figure.savefig("gradients.png", dpi=150)


if __name__ == "__main__":
    main()
