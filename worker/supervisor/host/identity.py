"""This worker's identity: its stable name, its device, its models and the package versions.

The server uses the name to find a worker's earlier attempts, and the worker uses it to find its local checkpoints. The
name must therefore survive restarts and a move to a new container with the same work directory but a different host
name.
"""

import hashlib
import importlib.metadata
import itertools
import os
import re
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from contracts.attempt import Ability, Device, WorkerInfo
from contracts.base import utc_now
from contracts.errands.errand import PREVIEW_REVISIONS, ErrandKind
from worker.settings import Settings
from worker.supervisor.host.cards.device import DeviceMissing, find_device
from worker.supervisor.host.cards.gpu_lock import try_lock
from worker.supervisor.host.device_check import has_used_gpu, read_check
from worker.supervisor.host.models.models_root import list_models
from worker.supervisor.host.siblings import FLEET, list_siblings

PACKAGES = ("stepline", "torch", "transformers", "peft", "bitsandbytes", "datasets")


LONGEST_PREFIX = 150
"""Maximum length of a name that is used as a prefix; a worker's name is at most 200 characters long."""


def describe_worker(settings: Settings, environ: Mapping[str, str]) -> WorkerInfo:
    """Return the description of this worker. Call this once per process. Raises DeviceMissing."""
    device = find_device(settings.device, environ, settings.gpus)
    if device.kind == "cpu" and settings.device == "auto":
        _refuse_lost_gpu(settings, environ)
    name = settings.worker_name or _default_name(settings.work_dir, device)
    # A worker without a parent process does not lend or borrow cards, so no other worker has its host id.
    alone = hashlib.sha256(name.encode()).hexdigest()[:16]
    worker = WorkerInfo(
        worker_id=name,
        host=socket.gethostname(),
        host_id=environ.get(FLEET) or alone,
        pid=os.getpid(),
        started_at=utc_now(),
        queue=settings.queue,
        device=device,
        versions=installed_versions(),
        abilities=[Ability.MIX_DATASETS],
        errands=_errand_kinds(settings),
    )
    return with_current_state(worker, settings)


def name_of_card(settings: Settings, device: Device, *, is_only_one: bool) -> str:
    """Return the name of the worker for a card. STEPLINE_WORKER_NAME is used as a prefix unless there is only one card."""
    if settings.worker_name is None:
        return _default_name(settings.work_dir, device)
    if is_only_one:
        return settings.worker_name
    return f"{settings.worker_name[:LONGEST_PREFIX]}-{device.uuid}"


def host_id(work_dir: Path) -> str:
    """Return the random id of a work directory; it is created on first use. Raises OSError."""
    path = work_dir / "host_id"
    if not path.exists():
        new = path.with_name(f"host_id.{secrets.token_hex(8)}")
        new.write_text(f"{secrets.token_hex(4)}\n")
        try:
            os.link(new, path)  # unlike a rename, this fails if another process was first
        except FileExistsError:
            pass
        finally:
            new.unlink()
    return path.read_text().strip()


def _refuse_lost_gpu(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise DeviceMissing if this worker has used a GPU that is not visible now, unless GPUs are deliberately hidden."""
    name = settings.worker_name
    homes = (
        f"{slug(name)}*" if name else "*[GM][PI][UG]-*"
    )  # earlier versions put the host name before GPU-… or MIG-…
    if environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return
    if has_used_gpu(worker_home(settings.work_dir, "").parent, homes):
        raise DeviceMissing(
            "this worker used a GPU before, but no GPU is visible now. Check the NVIDIA driver. To use the CPU instead, set "
            "STEPLINE_DEVICE=cpu."
        )


def with_current_state(worker: WorkerInfo, settings: Settings) -> WorkerInfo:
    """Return the worker with its cards, the state of its GPU and, unless it may use the hub, the models in its models root."""
    state: dict[str, object] = {"cards": settings.cpu_ranks}
    if worker.device.kind == "cuda":
        home = worker_home(settings.work_dir, worker.worker_id)
        state["device_check"] = read_check(home)
        siblings = list_siblings(settings.lock_dir, worker, slot_name(worker))
        state["cards"] = 1 + sum(not sibling.has_failed for sibling in siblings)
    if not settings.hub:
        state["models"] = list_models(settings.models_dir)
    return worker.model_copy(update=state)


def _errand_kinds(settings: Settings) -> list[str]:
    """Return the kinds of errands that this worker runs."""
    downloads = [ErrandKind.PREFETCH, ErrandKind.IMPORT] if settings.hub else []
    kinds = [ErrandKind.PREVIEW, ErrandKind.MEASURE, *downloads]
    return [*(kind.value for kind in kinds), PREVIEW_REVISIONS]


def worker_home(work_dir: Path, worker_id: str) -> Path:
    """Return the directory that contains a worker's run directories and the state of its GPU."""
    return work_dir.resolve() / "runs" / slug(worker_id)


def slot_name(worker: WorkerInfo) -> str:
    """Return the name of this worker's device lock: a GPU's uuid, or the worker's name for a CPU."""
    return slug(worker.device.uuid or f"cpu-{worker.worker_id}")


def slug(name: str) -> str:
    """Return a name as a safe path component."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "_"


def _default_name(work_dir: Path, device: Device) -> str:
    """Return a name built from the device and the id of the work directory.

    Earlier versions used the host name instead of that id. A worker that has run directories under an old name keeps
    that name.
    """
    former = f"{socket.gethostname()}-{device.uuid or 'cpu'}"
    has_former = worker_home(work_dir, former).exists()
    work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if device.uuid is not None:
        return former if has_former else f"{device.uuid}-{host_id(work_dir)}"
    # Only one worker at a time uses a card, but several may use the CPU and share the work directory. Each worker
    # holds a lock on its name until its process ends.
    own = f"{host_id(work_dir)}-cpu"
    names = itertools.chain(
        [former] if has_former else [],
        [own],
        (f"{host_id(work_dir)}-{number}-cpu" for number in itertools.count(2)),
    )
    return next(name for name in names if _can_hold_name(work_dir, name))


def _can_hold_name(work_dir: Path, name: str) -> bool:
    return try_lock(work_dir / "locks" / f"{slug(name)}.name") is not None


def describe_device(device: Device) -> str:
    """Return a human-readable name of a device."""
    memory = f", {device.memory_bytes / 2**30:.1f} GiB" if device.memory_bytes else ""
    return f"{device.kind} {device.name}{memory}".replace("  ", " ")


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that affect the results of a run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
