"""Eight questions about backpropagation, each answered by running it."""

import numpy as np
from symprop import SGD, Dense, Network, check_gradients

X = np.random.default_rng(0).normal(size=(10_000, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(float)


def network(activation="tanh", depth=1):
    """Hidden layers and a sigmoid, to tell whether two numbers have the same sign."""
    layers = [Dense(8, activation)] * depth + [Dense(1, "sigmoid")]
    return Network(layers, inputs=2, loss="binary_cross_entropy")


def unit(w, x, y, loss="mse", activation="sigmoid", rate=0.01, steps=1):
    """a and ∂L/∂w of one unit with one weight at first, and its loss after some steps."""
    net = Network([Dense(1, activation, bias=False)], inputs=1, loss=loss)
    model = net.compile(SGD(rate), dtype="float64", backend="numpy")
    model.set_parameters({"W1": [[w]]})
    a, slope = model.predict([[x]]).item(), model.loss_and_gradients([[x]], [[y]])[1]["W1"].item()
    model.fit([[x]], [[y]], epochs=steps)
    return a, slope, model.evaluate([[x]], [[y]])["loss"]


def main() -> None:
    """Ask, compute, answer."""
    net = network()
    model = net.compile(seed=0)
    start, (before, gradients) = model.parameters, model.loss_and_gradients(X, Y)
    print("1. What is backpropagation for?  The slope of the loss along every weight, in one pass:")
    print(f"   worst error against measured slopes {check_gradients(net, X[:50], Y[:50]):.0e}.")
    names = [s.split("[")[0] for s in str(net.gradients).splitlines() if s.startswith("∂L/∂")]
    print("2. Which way does it go?  From the loss back to the input:\n  ", ", ".join(names))
    a, slope, _ = unit(w=0.5, x=2.0, y=0.0)
    print("3. What is the chain rule?  Factors multiply, ∂L/∂w = ∂L/∂a · ∂a/∂z · ∂z/∂w:")
    print(f"   {2 * a:.4f} · {a * (1 - a):.4f} · 2 = {2 * a * a * (1 - a) * 2:.4f} = {slope:.4f}.")
    print("4. Why is the gradient subtracted?  It points uphill:")
    for sign, word in ((-1, "subtracted"), (1, "added")):
        model.set_parameters({n: start[n] + sign * 0.1 * g for n, g in gradients.items()})
        print(f"   {word}: the loss goes from {before:.4f} to {model.evaluate(X, Y)['loss']:.4f}.")
    print("5. What does too high a rate do?  It overshoots, farther at each step:")
    for rate in (0.09, 0.2):
        loss = unit(0.0, x=3.0, y=3.0, activation="linear", rate=rate, steps=20)[2]
        print(f"   rate {rate}: the loss goes from 9 to {loss:.1e} in 20 steps.")
    print("6. Which loss for two classes?  Cross-entropy: its slope stays where ŷ is all wrong:")
    for loss in ("binary_cross_entropy", "mse"):
        a, slope, _ = unit(w=-10.0, x=1.0, y=1.0, loss=loss)
        print(f"   {loss}: y = 1, ŷ = {a:.0e}, ∂L/∂w = {slope:.0e}.")
    model.fit(X, Y, epochs=1, batch_size=100)
    print(f"7. What is an epoch?  A pass over all {len(X)} samples: {model.step} batches of 100.")
    print("8. What are vanishing gradients?  Slopes that shrink with each layer on the way back:")
    for depth in (2, 10):
        deep = network("sigmoid", depth).compile(seed=0, backend="numpy")
        sizes = [np.linalg.norm(g) for g in deep.loss_and_gradients(X, Y)[1].values()]
        print(f"   {depth} hidden sigmoids: first layer / last {sizes[0] / sizes[-2]:.0e}.")


if __name__ == "__main__":
    main()
