"""The bar that shows how far a fit has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def progress_bar(epochs: int, wanted: bool) -> Iterator[tqdm[Any] | None]:
    """A bar of so many epochs, if one is wanted."""
    if not wanted:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch") as bar:
        yield bar


def show(bar: tqdm[Any] | None, record: dict[str, float]) -> None:
    """Show an epoch's record."""
    if bar is not None:
        bar.set_postfix({name: f"{value:.4g}" for name, value in record.items()}, refresh=False)
        bar.update()
