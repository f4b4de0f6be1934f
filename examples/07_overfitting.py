"""Overfitting and its cures: dropout, an L2 penalty, early stopping, more data.

A network with 26,000 weights learns 100 digits by heart. Where all labels are right, that does
little harm: only more data helps. Where a fifth of them is wrong, it learns the mistakes too, and
each cure keeps it from that in part. Test labels are right; figures are means over 4 draws.
"""

import numpy as np
from sklearn.datasets import load_digits
from symprop import Adam, Dense, Dropout, EarlyStopping, Network

FEW, MANY, DRAWS, EPOCHS = 100, 600, 4, 200
DIGITS, PARTS = load_digits(), [900, 1000]  # 900 digits to test, 100 to stop by, the rest to train


def network(dropout=None, l2=0.0):
    """Two wide layers, with dropout after each."""
    wide = [Dense(128, "relu")] + ([Dropout(dropout)] if dropout else [])
    return Network([*wide, *wide, Dense(10, "softmax")], inputs=64, loss="cross_entropy", l2=l2)


PLAIN = network()
CURES = {
    "none": (PLAIN, FEW, None),
    "dropout 0.5": (network(dropout=0.5), FEW, None),
    "L2 0.01": (network(l2=0.01), FEW, None),
    "early stopping": (PLAIN, FEW, 20),
    "more data": (PLAIN, MANY, None),
}


def accuracies(net, rows, patience, wrong, seed):
    """Accuracy on the digits trained on and on those tested, with a share of wrong labels."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(DIGITS.target))
    x, y = DIGITS.data[order] / 16, DIGITS.target[order]
    (x_test, x_stop, x), (y_test, y_stop, y) = np.split(x, PARTS), np.split(y, PARTS)
    slips = generator.integers(1, 10, size=rows) * (generator.random(rows) < wrong)
    x, y = x[:rows], (y[:rows] + slips) % 10
    stop = EarlyStopping("validation_loss", patience=patience) if patience else None
    model = net.compile(Adam(0.001), seed=seed)
    model.fit(x, y, EPOCHS, validation=(x_stop, y_stop), callbacks=stop)
    return [model.evaluate(*data)["accuracy"] for data in ((x, y), (x_test, y_test))]


def main() -> None:
    """Print a table with the accuracy of each cure."""
    print("                 all labels right   a fifth wrong")
    print("cure              trained  tested   trained  tested")
    for name, cure in CURES.items():
        print(f"{name:16}", end="")
        for wrong in (0, 0.2):
            draws = [accuracies(*cure, wrong, seed) for seed in range(DRAWS)]
            trained, tested = np.mean(draws, axis=0)
            print(f"{trained:9.1%}{tested:8.1%}", end="")
        print()


if __name__ == "__main__":
    main()
