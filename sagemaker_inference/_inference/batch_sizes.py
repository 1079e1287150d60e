"""Batches of a few sizes only, for models that are compiled for the shape of their input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagemaker_inference._inference import collation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Piece(NamedTuple):
    """A part of a batch that is predicted by one call.

    Attributes:
        start: its first item or row.
        length: how many it has.
        size: how many the call gets.
    """

    start: int
    length: int
    size: int


class BatchSizes:
    """Divides batches into pieces of certain sizes.

    Args:
        sizes: the sizes, in ascending order; empty for any size.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(sizes)
        self._untried = list(sizes)
        # An item, or an input of one row, for calls that nobody waits for.
        self._sample: Any = None

    @property
    def has_untried(self) -> bool:
        """Whether there are sizes that have not been predicted, and something to predict."""
        return bool(self._untried) and self._sample is not None

    def pieces(self, count: int) -> Iterator[Piece]:
        """The calls for a batch of ``count`` items or rows; a piece is padded to its size."""
        if not self._sizes or not count:
            yield Piece(0, count, count)
            return
        largest = self._sizes[-1]
        for start in range(0, count, largest):
            there = min(largest, count - start)
            size = next(size for size in self._sizes if size >= there)
            if size in self._untried:
                self._untried.remove(size)
            yield Piece(start, there, size)

    def keep_sample(self, sample: Any) -> None:
        """Keep something to predict, while there are untried sizes."""
        self._sample = sample if self._untried else None

    def next_untried(self) -> tuple[int, Any]:
        """Take the next size that has not been predicted, with the sample."""
        sample, size = self._sample, self._untried.pop(0)
        if not self._untried:
            self._sample = None
        return size, sample

    def give_up(self) -> None:
        """Try no further sizes."""
        self._untried.clear()
        self._sample = None


def padded_items(items: Sequence[Any], size: int) -> list[Any]:
    """A list of ``size`` items: the last one is repeated."""
    return [*items, *[items[-1]] * (size - len(items))]


def padded_rows(rows: Any, count: int, size: int) -> Any:
    """An input of ``size`` rows: the last of its ``count`` rows is repeated."""
    if count == size:
        return rows
    _, last = collation.split(rows, [count - 1, 1])
    return collation.concatenate([rows, *[last] * (size - count)])
