"""Single samples, mini-batches and the full batch, a second for each.

An epoch reads all samples once. In single samples it has as many steps as there are samples, each
along the gradient of one of them, noisy; in one full batch it has a single step along the exact
gradient. Mini-batches have many steps too, less noisy ones, which may be longer. The learning rate
of each size is one that suits it.

The table: the fewer samples a batch, the fewer epochs to the same loss, but the longer an epoch. In
seconds the full batch is last; single samples and mini-batches take about as long in this network.
"""

import time

from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from symprop import SGD, Dense, Network

SECONDS, GOAL = 1.0, 0.1
STYLES = {1: (0.03, "#D55E00", "-."), 32: (0.6, "#0072B2", "-"), 1797: (1.0, "0.35", "--")}


class Clock:
    """Notes the time and the loss after each epoch, and stops when the time is over."""

    def __init__(self):
        self.start, self.times, self.losses = time.perf_counter(), [], []

    def on_epoch_end(self, model, epoch, logs):
        self.times.append(time.perf_counter() - self.start)
        self.losses.append(logs["validation_loss"])
        model.stop_training = self.times[-1] > SECONDS


def main() -> None:
    """Print a table of the three, and draw the loss by epochs and by seconds."""
    digits = load_digits()
    x, y = digits.data / 16, digits.target
    layers = [Dense(128, "relu"), Dense(10, "softmax")]
    net = Network(layers, inputs=64, loss="cross_entropy")
    net.compile(SGD(0.1)).fit(x, y, validation=(x, y))  # compiles: not on the clock
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    print(f"batch  steps an epoch  ms an epoch  epochs and seconds to a loss of {GOAL}")
    for size, (rate, color, style) in STYLES.items():
        model, clock = net.compile(SGD(rate), seed=0), Clock()
        model.fit(x, y, epochs=100_000, batch_size=size, validation=(x, y), callbacks=clock)
        done = sum(loss > GOAL for loss in clock.losses)
        spent = f"{done + 1} and {clock.times[done]:.2f}" if done < model.epoch else "not reached"
        each = 1000 * clock.times[-1] / model.epoch
        print(f"{size:5}  {model.step // model.epoch:14}  {each:11.2f}  {spent}")
        left.loglog(range(1, model.epoch + 1), clock.losses, style, color=color, label=size)
        right.semilogy(clock.times, clock.losses, style, color=color, label=size)
    left.set(xlabel="epochs", ylabel="loss")
    right.set(xlabel="seconds")
    left.legend(title="samples a batch")
    for axes in (left, right):
        axes.grid(color="0.9")
    figure.savefig("batches.png", dpi=150)
    print("the picture is in batches.png")


if __name__ == "__main__":
    main()
