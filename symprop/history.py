"""The record of a training: one entry an epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_METRICS = ("loss", "validation_loss", "learning_rate")


@dataclass(frozen=True)
class History:
    """What ``fit`` measured, one record an epoch.

    ``loss`` is the mean over the epoch's samples of the loss that each had in its own batch, so
    while the parameters still moved; ``validation_loss`` and the metrics are those at the end of
    the epoch. Metrics of the training data cost another pass over it, and are there only if
    ``fit(metrics=…)`` asked for them; without validation data ``validation_loss`` is empty.

    >>> history = History()
    >>> history.add({"loss": 0.5, "validation_loss": 0.6, "validation_accuracy": 0.9})
    >>> history.metrics
    {'validation_accuracy': [0.9]}
    >>> history
    History(1 epoch: loss 0.5, validation_loss 0.6, validation_accuracy 0.9)
    """

    records: list[dict[str, float]] = field(default_factory=list)

    def add(self, record: dict[str, float]) -> None:
        """Append an epoch, all of its numbers at once: an interrupt leaves no half of a record."""
        self.records.append(record)

    @property
    def loss(self) -> list[float]:
        return self._series("loss")

    @property
    def validation_loss(self) -> list[float]:
        return self._series("validation_loss")

    @property
    def learning_rate(self) -> list[float]:
        """The learning rate of each epoch's last batch."""
        return self._series("learning_rate")

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Everything else that was measured, by name, such as ``validation_accuracy``."""
        names = dict.fromkeys(name for record in self.records for name in record)
        return {n: self._series(n) for n in names if n not in NO_METRICS}

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """A picture of the curves: loss, each metric, and the learning rate where it changes.

        Training is a solid line, validation dashed; losses and rates that spread over a factor of
        10 have a logarithmic axis. Saved to ``path`` where it is given.

        Raises DataError before the first epoch, MissingPackageError without matplotlib.
        """
        from symprop.plots import draw_history

        return draw_history(self, path)

    def _series(self, name: str) -> list[float]:
        return [record[name] for record in self.records if name in record]

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        count = len(self.records)
        if not count:
            return "History(no epochs)"
        first, last = self.records[0], self.records[-1]
        parts = ", ".join(
            f"{name} {value:.4g}" if count == 1 else f"{name} {first[name]:.4g} → {value:.4g}"
            for name, value in last.items()
            if name != "learning_rate"
        )
        return f"History({count} {'epoch' if count == 1 else 'epochs'}: {parts})"
