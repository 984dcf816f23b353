"""This worker's identity: its stable name, its device, its models and the package versions."""

import importlib.metadata
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from contracts.attempt import Device, WorkerInfo
from contracts.base import utc_now
from worker.settings import Settings
from worker.supervisor.host.device import DeviceMissing, find_device
from worker.supervisor.host.device_check import has_used_gpu, read_check
from worker.supervisor.host.models_root import list_models

PACKAGES = ("stepline", "torch", "transformers", "peft", "bitsandbytes", "datasets")


def describe_worker(settings: Settings, environ: Mapping[str, str]) -> WorkerInfo:
    """Return the description of this worker. Raises DeviceMissing."""
    device = find_device(settings.device, environ)
    host = socket.gethostname()
    if device.kind == "cpu" and settings.device == "auto":
        _refuse_lost_gpu(settings, host, environ)
    worker = WorkerInfo(
        worker_id=settings.worker_name or f"{host}-{device.uuid or 'cpu'}",
        host=host,
        pid=os.getpid(),
        started_at=utc_now(),
        queue=settings.queue,
        device=device,
        versions=installed_versions(),
    )
    return with_current_state(worker, settings)


def _refuse_lost_gpu(settings: Settings, host: str, environ: Mapping[str, str]) -> None:
    """Raise DeviceMissing if this worker has used a GPU that is not visible now, unless GPUs are deliberately hidden."""
    name = settings.worker_name
    homes = slug(name) if name else f"{slug(host)}-[GM][PI][UG]-*"  # GPU-… or MIG-…
    if environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return
    if has_used_gpu(worker_home(settings.work_dir, "").parent, homes):
        raise DeviceMissing(
            "this worker used a GPU before, but no GPU is visible now. Check the NVIDIA driver. To use the CPU instead, set "
            "STEPLINE_DEVICE=cpu."
        )


def with_current_state(worker: WorkerInfo, settings: Settings) -> WorkerInfo:
    """Return the worker with the state of its GPU and, unless it may use the hub, the models now in its models root."""
    state: dict[str, object] = {}
    if worker.device.kind == "cuda":
        home = worker_home(settings.work_dir, worker.worker_id)
        state["device_check"] = read_check(home)
    if not settings.hub:
        state["models"] = list_models(settings.models_dir)
    return worker.model_copy(update=state)


def worker_home(work_dir: Path, worker_id: str) -> Path:
    """Return the directory that contains a worker's run directories and the state of its GPU."""
    return work_dir.resolve() / "runs" / slug(worker_id)


def slot_name(worker: WorkerInfo) -> str:
    """Return the name of this worker's device lock: a GPU's uuid, or the worker's name for a CPU."""
    return slug(worker.device.uuid or f"cpu-{worker.worker_id}")


def slug(name: str) -> str:
    """Return a name as a safe path component."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "_"


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
