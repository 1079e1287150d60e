"""Batches of a few sizes only, for models that are compiled for the shape of their input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagemaker_inference._inference import collation

if TYPE_CHECKING:
    from collections.abc import Sequence


class Piece(NamedTuple):
    """A part of a batch that is predicted by one call.

    Attributes:
        length: how many items or rows it has.
        size: how many the call gets.
    """

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

    def pieces(self, count: int) -> list[Piece]:
        """The calls for a batch of ``count`` items or rows; a piece is padded to its size."""
        if not self._sizes or not count:
            return [Piece(count, count)]
        largest = self._sizes[-1]
        lengths = [min(largest, count - start) for start in range(0, count, largest)]
        pieces = [
            Piece(length, next(size for size in self._sizes if size >= length))
            for length in lengths
        ]
        tried = {piece.size for piece in pieces}
        self._untried = [size for size in self._untried if size not in tried]
        return pieces

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
