"""Derive backpropagation for a classifier, write it as LaTeX, and train it on real digits."""

import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from symprop import Adam, Dense, Network


def main() -> None:
    """Print and save the derivation, train, and report the accuracy on digits held back."""
    digits = load_digits()  # 1,797 images of 8 × 8 pixels, from 0 to 16
    images, labels = digits.data / 16, digits.target
    x, x_test, y, y_test = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    net = Network(
        [Dense(128, activation="relu"), Dense(10, activation="softmax")],
        inputs=64,
        loss="cross_entropy",
    )
    derivation = net.derive()
    print(derivation)
    derivation.save("backprop.tex")

    start = time.perf_counter()
    model = net.compile(optimizer=Adam(0.001), seed=0)
    model.fit(x, y, epochs=60, batch_size=32, validation=(x_test, y_test), progress=True)
    seconds = time.perf_counter() - start
    result = model.evaluate(x_test, y_test)
    print(f"test accuracy {result['accuracy']:.1%}, loss {result['loss']:.4f}, in {seconds:.1f} s")
    print("the derivation is in backprop.tex")


if __name__ == "__main__":
    main()
