"""The gradient formulas of a paper's network, as a LaTeX fragment to paste into its appendix.

A self-normalizing network (Klambauer et al. 2017) with three hidden layers and the Huber loss.
"""

from pathlib import Path

from symprop import Dense, Network

net = Network(
    [
        Dense(128, activation="selu"),
        Dense(64, activation="selu"),
        Dense(32, activation="selu"),
        Dense(3),
    ],
    inputs=17,
    loss="huber",
)


def main() -> None:
    """Print the gradients in index notation and write the derivation as a fragment to \\input."""
    print(net.gradients)
    derivation = net.derive()
    derivation.verify()
    Path("backprop.tex").write_text(derivation.latex(), encoding="utf-8")
    print("\nchecked; the LaTeX fragment is in backprop.tex")


if __name__ == "__main__":
    main()
