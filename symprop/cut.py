"""How far a training has come, and a fit that is not finished."""

from __future__ import annotations

from dataclasses import dataclass, replace

from symprop.callbacks import Callback, State, states


@dataclass(frozen=True)
class Cut:
    """A fit that is not finished: what one must be like to go on with it, and the epoch begun.

    ``callbacks`` holds the class and the state of each after the last finished epoch. Of the epoch
    begun, in the order that ``seed`` gives, so many batches are done, with the sum ``loss``.
    """

    rows: int
    batch_size: int
    shuffle: bool
    callbacks: tuple[tuple[str, State], ...] = ()
    seed: int | None = None
    batch: int = 0
    loss: float = 0.0

    @property
    def per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)

    def is_like(self, other: Cut) -> bool:
        """Whether another fit goes through as many rows in the same way."""
        mine, others = ((c.rows, c.batch_size, c.shuffle) for c in (self, other))
        return mine == others

    def between_epochs(self, callbacks: tuple[Callback, ...]) -> Cut:
        """The same fit after an epoch."""
        return replace(self, callbacks=states(callbacks), seed=None, batch=0, loss=0.0)


@dataclass(frozen=True)
class Progress:
    """The finished epochs and the batches of a model's life, and the fit that is not finished."""

    epoch: int = 0
    step: int = 0
    cut: Cut | None = None
