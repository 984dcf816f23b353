"""The other cards of this host's `stepline worker`. Its workers borrow them from each other for jobs on several GPUs.

The parent process (worker/fleet.py) writes one list per card, next to the locks. A worker trusts the list of its own card only
if it comes from the parent that started the worker; a worker without a parent does not borrow.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import Device, WorkerInfo
from contracts.base import Tolerant
from contracts.run.run_dir import write_atomically
from worker.supervisor.host.device_check import read_check

FLEET = "STEPLINE_FLEET"
"""Environment variable with which the parent process passes the host's id to its workers."""


class Sibling(Tolerant):
    """A card, and the worker that trains on it."""

    uuid: str
    model: str
    """The card's model. Ranks on different models might compute in different dtypes and wait for the slowest."""
    lock: str
    """Name of the device lock."""
    home: Path
    """Directory of the worker, which contains the state of the card."""

    @property
    def has_failed(self) -> bool:
        """Whether the card has failed during an attempt or its last check."""
        check = read_check(self.home)
        return check is not None and not check.passed

    @property
    def device(self) -> Device:
        """The card as a training process uses it."""
        return Device(kind="cuda", name=self.model, uuid=self.uuid)


class _Fleet(Tolerant):
    host_id: str
    cards: list[Sibling]


def make_host_id(work_dir_id: str, cards: Sequence[Device]) -> str:
    """Return an id that is stable across restarts, and different for each host and selection of cards."""
    uuids = ",".join(sorted(card.uuid or "" for card in cards))
    return f"{work_dir_id}-{hashlib.sha256(uuids.encode()).hexdigest()[:8]}"


def can_be_lent(uuid: str) -> bool:
    """Return whether a card is a whole GPU. A process can use only one MIG instance."""
    return not uuid.startswith("MIG-")


def write_cards(lock_dir: Path, host_id: str, cards: Sequence[Sibling]) -> None:
    """Write the list of the host's cards for the workers of these cards. Raises OSError."""
    text = _Fleet(host_id=host_id, cards=list(cards)).model_dump_json()
    for card in cards:
        write_atomically(_path(lock_dir, card.lock), text, sync=False)


def list_siblings(lock_dir: Path, worker: WorkerInfo, lock: str) -> list[Sibling]:
    """Return the parent's other cards of the same model as the worker's own, including those that have failed."""
    uuid = worker.device.uuid
    if uuid is None or not can_be_lent(uuid):
        return []
    try:
        fleet = _Fleet.model_validate_json(_path(lock_dir, lock).read_bytes())
    except (OSError, ValidationError):
        return []
    if not worker.host_id or fleet.host_id != worker.host_id:
        return []
    return [
        card
        for card in fleet.cards
        if card.uuid != uuid and can_be_lent(card.uuid) and card.model == worker.device.name
    ]


def _path(lock_dir: Path, lock: str) -> Path:
    return lock_dir / f"{lock}.cards"
