"""Backpropagation with actual numbers: Mazur's well-known example, worked formula by formula.

Matt Mazur 2015, "A Step by Step Backpropagation Example". He leaves the biases as they are; here
they are updated too.
"""

from symprop import Dense, Network, prediction, target

net = Network(
    [Dense(2, activation="sigmoid"), Dense(2, activation="sigmoid")],
    inputs=2,
    loss=(prediction - target) ** 2 / 2,
)
PARAMETERS = {
    "W1": [[0.15, 0.20], [0.25, 0.30]],
    "b1": [0.35, 0.35],
    "W2": [[0.40, 0.45], [0.50, 0.55]],
    "b2": [0.60, 0.60],
}


def main() -> None:
    """Print every formula with its numbers, and compare with the article."""
    worked = net.derive().worked(
        x=[0.05, 0.10], y=[0.01, 0.99], parameters=PARAMETERS, digits=9, learning_rate=0.5
    )
    print(worked)
    print(f"\nloss    {worked.values['L']:.9f}  (article 0.298371109)")
    print(f"w5 new  {worked.updated['W2'][0, 0]:.9f}  (article 0.35891648)")
    print(f"w1 new  {worked.updated['W1'][0, 0]:.9f}  (article 0.149780716)")


if __name__ == "__main__":
    main()
