"""Checks the files of a model's directory before any of them is loaded; never runs code from it."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from contracts.failure import FailureReason
from contracts.nesting import loads
from worker.training.errors import TrainingError

_CODE_KEYS = {"auto_map", "trust_remote_code", "_attn_implementation_internal"}
"""Each makes transformers download or run code supplied with the model."""
_NAMED_FILES = {"transformers_weights"}
"""Keys of config.json that make transformers load files other than those checked here."""
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_PASSING_KEYS = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}
"""Keys of config.json that describe how a copy was saved or is loaded, not the model's computation."""


def check_model_files(directory: Path, roots: Sequence[Path] | None = None) -> None:
    """Check every file that would be loaded. Raises TrainingError if the directory must not be loaded.

    `roots` are real directories that must contain every file to which the directory's links resolve; None: not checked.
    """
    if not (directory / "config.json").is_file():
        raise TrainingError(
            FailureReason.MODEL_NOT_FOUND,
            "the model directory holds no config.json: it is not a Hugging Face model",
        )
    if (directory / "adapter_config.json").exists():
        raise _refused(
            "the directory holds an adapter (adapter_config.json) beside or in place of a model; give the base model's own"
        )
    config = _read_json(directory / "config.json")
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        if (directory / name).is_file():
            _check_no_code(name, _read_json(directory / name))
    if config.get("quantization_config"):
        raise _refused(
            "config.json says that the weights are quantised already; give the unquantised model"
        )
    for name in _NAMED_FILES.intersection(config):
        raise _refused(f"config.json has {name}: the weights must have their usual names")
    shards = _check_weights(directory)
    for path in (*sorted(directory.iterdir()), *shards):
        # realpath, because Path.resolve raises on a link that points to itself.
        real = Path(os.path.realpath(path))
        if roots is not None and not any(real.is_relative_to(root) for root in roots):
            raise _refused(f"{path.name} is a link that leads out of the worker's models root")


def count_parameters(directory: Path) -> int:
    """Return the number of parameters in the checked weights files."""
    total = 0
    for shard in sorted(directory.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as weights:
            total += sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118 - not a dict
    return total


def digest_base(directory: Path) -> str:
    """Return a digest that identifies the checked model, independent of device, loading and sharding.

    For speed, only one row of each weight counts: training, merging or another seed changes at least one of these hundreds
    of rows.
    """
    config = _read_json(directory / "config.json")
    kept = {key: value for key, value in config.items() if key not in _PASSING_KEYS}
    weights = [part for shard in _loaded_shards(directory) for part in _weight_digests(shard)]
    told = json.dumps([kept, sorted(weights)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _loaded_shards(directory: Path) -> list[Path]:
    """Return the weights files in use, in transformers' order of preference."""
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        return [directory / name for name in _shard_names(index)]
    return sorted(directory.glob("*.safetensors"))


def _weight_digests(shard: Path) -> Iterator[tuple[str, str]]:
    with safe_open(shard, framework="pt") as weights:
        for key in weights.keys():  # noqa: SIM118 - not a dict
            weight = weights.get_slice(key)
            shape, dtype = weight.get_shape(), weight.get_dtype()
            middle = tuple(slice(size // 2, size // 2 + 1) for size in shape[:-1])
            row = weight[(*middle, slice(None))] if shape else weights.get_tensor(key)
            digest = hashlib.sha256(f"{dtype}{shape}".encode())
            digest.update(row.flatten().view(torch.uint8).numpy().tobytes())
            yield key, digest.hexdigest()


def _check_no_code(name: str, value: Any) -> None:
    found = sorted(set(_keys(value)) & _CODE_KEYS)
    if found:
        raise _refused(
            f"{name} has {', '.join(found)}: the model brings code of its own, which is never run; use a "
            "model of an architecture that transformers knows, without these keys"
        )


def _check_weights(directory: Path) -> list[Path]:
    """Return the weights files that would be loaded, after checking that each is complete."""
    shards = sorted(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        names = _shard_names(index)
        missing = sorted(set(names).difference(path.name for path in directory.iterdir()))
        if missing or not names:
            raise _refused(
                f"{index.name} names weights that are not there: {', '.join(missing[:5])[:500] or 'none at all'}"
            )
        shards = [directory / name for name in names]
    if not shards:
        pickles = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLES)
        raise _refused(
            f"the weights are pickles only ({', '.join(pickles[:5])}), which can run code when loaded; "
            "convert them to safetensors"
            if pickles
            else "the model directory holds no *.safetensors weights"
        )
    for shard in shards:
        _check_whole(shard)
    return shards


def _shard_names(index: Path) -> list[str]:
    """Return the files named by an index; they must be in its own directory."""
    content = _read_json(index)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not isinstance(content.get("metadata", {}), dict):
        raise _refused(f"{index.name} has no object weight_map, or metadata that is no object")
    names = set()
    for weight, name in weight_map.items():
        if not isinstance(name, str):
            raise _refused(f"{index.name}: weight_map names no file for {weight[:100]!r}")
        if name != Path(name).name or "\0" in name:
            raise _refused(
                f"{index.name} names {name[:200]!r}, which is not in the model's directory; weights must be beside it"
            )
        names.add(name)
    return sorted(names)


def _check_whole(shard: Path) -> None:
    try:
        with safe_open(
            shard, framework="pt"
        ) as weights:  # checks the header against the file's length
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise _refused(
            f"{shard.name} is broken or cut short ({error}); copy the model again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = loads(path.read_bytes())
    except ValueError as error:
        raise _refused(f"{path.name} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _refused(f"{path.name} does not hold a JSON object")
    return value


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _refused(detail: str) -> TrainingError:
    return TrainingError(FailureReason.MODEL_REFUSED, detail)
