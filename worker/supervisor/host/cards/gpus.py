"""Lists the cards of this host through NVML, and selects those that STEPLINE_GPUS or CUDA_VISIBLE_DEVICES names.

A card is a GPU or, if MIG is enabled on the GPU, one of its MIG instances. Each worker has one card.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pynvml
import structlog

from contracts.attempt import Device

log = structlog.get_logger(__name__)

GPUS = "STEPLINE_GPUS"
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN = "-1"
"""An entry that hides all cards listed after it, as in CUDA."""


class CardNotFound(Exception):
    """An entry of a setting does not match exactly one card, or MIG is enabled on all GPUs but none has an instance."""


@dataclass(frozen=True)
class Card:
    """A GPU or a MIG instance."""

    index: str
    """NVML's index of the GPU; for a MIG instance, `GPU:INSTANCE`."""
    uuid: str
    gpu_uuid: str
    """The uuid of the whole GPU. It differs from `uuid` for a MIG instance."""
    name: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.index} ({self.name}, {self.uuid})"

    @property
    def device(self) -> Device:
        """The card as a worker reports it."""
        return Device(kind="cuda", name=self.name, uuid=self.uuid, memory_bytes=self.memory_bytes)


def list_cards() -> list[Card]:
    """Return this host's cards. Raises NVMLError, and CardNotFound if MIG is enabled on all GPUs but none has an instance."""
    pynvml.nvmlInit()
    try:
        count = int(pynvml.nvmlDeviceGetCount())
        cards: list[Card] = []
        unreadable: pynvml.NVMLError | None = None
        for index in range(count):
            try:
                cards += _cards_of(index)
            except pynvml.NVMLError as error:
                log.warning(
                    "a GPU is not used, because NVML cannot read it", index=index, reason=str(error)
                )
                unreadable = error
    finally:
        pynvml.nvmlShutdown()
    if not cards and unreadable is not None:
        raise unreadable
    if not cards and count:
        raise CardNotFound("MIG is enabled on every GPU of this host, but there is no MIG instance")
    return cards


def select_cards(cards: Sequence[Card], environ: Mapping[str, str], gpus: str | None) -> list[Card]:
    """Return the cards that STEPLINE_GPUS names, else those that CUDA_VISIBLE_DEVICES names, else all.

    An empty value and `-1` select no card. Raises CardNotFound if an entry does not match exactly one card.
    """
    setting, entries = _read(environ, gpus)
    if entries is None:
        return list(cards)
    found = [_find(cards, entry, setting) for entry in entries]
    return list(dict.fromkeys(found))


def are_all_hidden(environ: Mapping[str, str], gpus: str | None) -> bool:
    """Return whether the settings deliberately hide all cards."""
    return _read(environ, gpus)[1] == []


def _read(environ: Mapping[str, str], gpus: str | None) -> tuple[str, list[str] | None]:
    """Return the name of the setting that selects cards, and its entries, which are None if neither setting is set."""
    setting, value = (GPUS, gpus) if gpus is not None else (VISIBLE, environ.get(VISIBLE))
    if value is None:
        return setting, None
    entries = [part.strip() for part in value.split(",")]
    visible = itertools.takewhile(lambda entry: entry != HIDDEN, entries)
    return setting, [entry for entry in visible if entry]


def _find(cards: Sequence[Card], entry: str, setting: str) -> Card:
    found = [card for card in cards if entry in {card.index, card.uuid}]
    found = found or [card for card in cards if _is_meant(card, entry)]
    if len(found) == 1:
        return found[0]
    what = f"matches {len(found)} GPUs" if found else "matches no GPU"
    has = "; ".join(str(card) for card in cards) or "none"
    raise CardNotFound(
        f"{setting}: {entry!r} {what}. Name each GPU by its index, its uuid or the beginning of its uuid. GPUs of this "
        f"host: {has}"
    )


def _is_meant(card: Card, entry: str) -> bool:
    """Return whether an entry is the index of the card's GPU or the beginning of the uuid of the card or its GPU."""
    if entry.isascii() and entry.isdecimal():
        return card.index.partition(":")[0] == str(int(entry))
    entry = entry.lower()
    return entry.startswith(("gpu-", "mig-")) and (
        card.uuid.lower().startswith(entry) or card.gpu_uuid.lower().startswith(entry)
    )


def _cards_of(index: int) -> list[Card]:
    """Return the MIG instances of a GPU or, if MIG is not enabled, the GPU itself."""
    gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
    gpu_uuid = _text(pynvml.nvmlDeviceGetUUID(gpu))
    if not _has_mig(gpu):
        return [_card(gpu, str(index), gpu_uuid)]
    return [_card(instance, f"{index}:{number}", gpu_uuid) for number, instance in _instances(gpu)]


def _card(handle: Any, index: str, gpu_uuid: str) -> Card:
    return Card(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        gpu_uuid=gpu_uuid,
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=_memory(handle),
    )


def _has_mig(gpu: Any) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE)
    except pynvml.NVMLError:
        return False  # the GPU or the driver does not support MIG


def _instances(gpu: Any) -> Iterator[tuple[int, Any]]:
    for number in range(int(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu))):
        try:
            yield number, pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
        except pynvml.NVMLError:
            continue  # there is no instance with this number, or this container may not use it


def _memory(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        return 0  # a GPU that shares the host's memory does not report its memory


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
