"""The bar that shows how far a fit has come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


class Bar:
    """A bar of epochs, or nothing where none is wanted."""

    def __init__(self, shown: tqdm[Any] | None = None):
        self._shown = shown

    def begin(self) -> None:
        """What trains is compiled: the clock starts here, so that it tells the time of an epoch."""
        if self._shown is not None:
            self._shown.set_description(None, refresh=False)
            self._shown.reset()

    def show(self, record: Mapping[str, float]) -> None:
        """Show an epoch's record."""
        if self._shown is not None:
            words = {name: f"{value:.4g}" for name, value in record.items()}
            self._shown.set_postfix(words, refresh=False)
            self._shown.update()


@contextmanager
def progress_bar(epochs: int, wanted: bool) -> Iterator[Bar]:
    """A bar of so many epochs, if one is wanted."""
    if not wanted:
        yield Bar()
        return
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch", desc="compiling") as shown:
        yield Bar(shown)
