"""A new activation and a new loss, each a SymPy expression: derived, checked and trained."""

import numpy as np
import sympy
from symprop import Adam, Dense, Network, check_gradients, prediction, target

z = sympy.Symbol("z")
serf = z * sympy.erf(sympy.log(1 + sympy.exp(z)))  # Nag and Bhattacharyya 2021
cauchy = sympy.log(1 + (prediction - target) ** 2)  # forgives outliers: flat far away

net = Network([Dense(32, activation=serf), Dense(1)], inputs=1, loss=cauchy)


def main() -> None:
    """Fit a sine with outliers, and print what was derived to do so."""
    print(net.gradients)
    generator = np.random.default_rng(0)
    x = generator.uniform(-3, 3, (1000, 1))
    y = np.sin(2 * x)
    outliers = generator.uniform(size=y.shape) < 0.05
    print("worst relative gradient error:", check_gradients(net, x[:20], y[:20]))

    model = net.compile(optimizer=Adam(0.01), seed=0)
    model.fit(x, np.where(outliers, 8.0, y), epochs=300, batch_size=50)
    error = np.abs(model.predict(x) - y)[~outliers]
    print(f"trained with 5 % outliers; median error on the others {np.median(error):.3f}")


if __name__ == "__main__":
    main()
