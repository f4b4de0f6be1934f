"""A page on which the model rolls down the error mountain while it learns to read digits.

With ``--data DIR`` it learns from MNIST's four files in that folder, else from 8 × 8 pixels.
"""

import argparse

import numpy as np
from symprop import Adam, Dense, Network
from symprop.mnist import read_mnist
from symprop.report import Recorder, training_page


def bundled():
    """The 1,797 digits of scikit-learn: four of five to train with, the fifth to test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y, held_back = digits.data / 16, digits.target, np.arange(1797) % 5 == 0
    return (x[~held_back], y[~held_back]), (x[held_back], y[held_back])


class Table:
    """A callback that prints a line an epoch."""

    def on_epoch_end(self, model, epoch, logs):
        loss, held_back = logs["loss"], logs["validation_loss"]
        print(f"{epoch:5}  {loss:.3f}  {held_back:10.3f}  {logs['validation_accuracy']:8.1%}")


def main() -> None:
    """Train, print a table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", metavar="DIR", help="the folder with MNIST's files")
    parser.add_argument("--out", metavar="FILE", default="page.html", help="where the page goes")
    options = parser.parse_args()
    (x, y), test = read_mnist(options.data) if options.data else bundled()

    layers = [Dense(32, activation="relu"), Dense(10, activation="softmax")]
    net = Network(layers, inputs=x.shape[1], loss="cross_entropy")
    model = net.compile(optimizer=Adam(0.003), seed=0)
    recorder = Recorder(x, y, validation=test)
    for part in np.array_split(np.random.default_rng(0).permutation(len(x)), 12):
        model.fit(x[part], y[part], callbacks=[recorder])  # in parts: most happens at first
    print("epoch   loss  validation  accuracy")
    epochs = 4 if options.data else 25
    history = model.fit(x, y, epochs=epochs, validation=test, callbacks=[recorder, Table()])
    training_page(model, history, options.out, title="Learning to read digits")
    print(f"\nthe page is in {options.out}; open it in a browser")


if __name__ == "__main__":
    main()
