"""The cards whose device locks this process holds: the worker's own card, and those borrowed from siblings for one claim.

A training process inherits the locks of all its cards, so each card stays locked until the last process that uses it
has ended.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts.attempt import Device
from worker.supervisor.host.cards.gpu_lock import try_lock
from worker.supervisor.host.siblings import Sibling


@dataclass(frozen=True)
class HeldCard:
    """A card, or the CPU, whose lock this process holds."""

    device: Device
    lock_fd: int
    home: Path
    """Directory of the card's worker."""


class Loan:
    """Cards borrowed from siblings; leaving the block releases them."""

    def __init__(self, cards: Sequence[HeldCard] = ()) -> None:
        self._cards = list(cards)

    @classmethod
    def borrow(cls, lock_dir: Path, siblings: Sequence[Sibling]) -> "Loan":
        """Borrow the siblings' cards that are idle and have not failed, without waiting for the others."""
        cards = []
        for sibling in siblings:
            lock_fd = try_lock(lock_dir / f"{sibling.lock}.lock")
            if lock_fd is None:
                continue
            if sibling.has_failed:  # only the holder of the lock changes this
                os.close(lock_fd)
                continue
            cards.append(HeldCard(sibling.device, lock_fd, sibling.home))
        return cls(cards)

    @property
    def cards(self) -> tuple[HeldCard, ...]:
        """The cards that are still borrowed."""
        return tuple(self._cards)

    def keep(self, count: int) -> None:
        """Release all but the first `count` cards."""
        while len(self._cards) > count:
            # Close the file without unlocking it: unlocking would release the lock that a training process still holds.
            os.close(self._cards.pop().lock_fd)

    def keep_only(self, uuids: Collection[str]) -> None:
        """Release all cards except these."""
        self._cards.sort(key=lambda card: card.device.uuid not in uuids)
        self.keep(sum(card.device.uuid in uuids for card in self._cards))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.keep(0)
