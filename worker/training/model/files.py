"""Checks the files of a model's directory before any of them is loaded; never runs code from them."""

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
from contracts.values.nesting import loads
from worker.training.errors import TrainingError

_CODE_KEYS = {"auto_map", "trust_remote_code", "_attn_implementation_internal"}
"""Keys that make transformers download or run code supplied with the model."""
_NAMED_FILES = {"transformers_weights"}
"""Keys of config.json that make transformers load files other than those checked here."""
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_INCIDENTAL_KEYS = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}
"""Keys of config.json that describe how a copy was saved or is loaded, not the model's computation."""


def check_model_files(directory: Path, roots: Sequence[Path] | None = None) -> None:
    """Check every file that would be loaded. Raises TrainingError if the directory must not be loaded.

    `roots` are directories, as paths without links. Each link in the model's directory must resolve to a file in one of them. If
    `roots` is None, links are not checked.
    """
    if not (directory / "config.json").is_file():
        raise TrainingError(
            FailureReason.MODEL_NOT_FOUND,
            "config.json is missing from the model directory: it is not a Hugging Face model",
        )
    if (directory / "adapter_config.json").exists():
        raise _refused(
            "the model directory contains an adapter (adapter_config.json). Use the base model's directory"
        )
    config = _read_json(directory / "config.json")
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        if (directory / name).is_file():
            _check_no_code(name, _read_json(directory / name))
    if config.get("quantization_config"):
        raise _refused(
            "config.json has quantization_config: the weights are already quantized. Use the unquantized model"
        )
    for name in _NAMED_FILES.intersection(config):
        raise _refused(
            f"config.json has {name}, but the weight files must have their standard names"
        )
    shards = _check_weights(directory)
    for path in (*sorted(directory.iterdir()), *shards):
        # realpath, because Path.resolve raises on a link that points to itself.
        real = Path(os.path.realpath(path))
        if roots is not None and not any(real.is_relative_to(root) for root in roots):
            raise _refused(f"{path.name} is a link that points outside the worker's models root")


def count_parameters(directory: Path) -> int:
    """Return the number of parameters in the checked weight files."""
    total = 0
    for shard in sorted(directory.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as weights:
            total += sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118 - not a dict
    return total


def digest_base(directory: Path) -> str:
    """Return a digest that identifies the checked model, independent of device, loading and sharding.

    For speed, the digest covers only one row of each weight: training, merging or another seed changes at least one of
    these hundreds of rows.
    """
    config = _read_json(directory / "config.json")
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL_KEYS}
    weights = [part for shard in loaded_shards(directory) for part in _weight_digests(shard)]
    content = json.dumps([kept, sorted(weights)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def loaded_shards(directory: Path) -> list[Path]:
    """Return the weight files in use, in transformers' order of preference."""
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
            f"{name} has {', '.join(found)}: the model requires custom code, which is never run. Use a "
            "model whose architecture transformers supports, without these keys"
        )


def _check_weights(directory: Path) -> list[Path]:
    """Return the weight files that would be loaded, after checking that each is complete."""
    shards = sorted(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        names = _shard_names(index)
        missing = sorted(set(names).difference(path.name for path in directory.iterdir()))
        if missing or not names:
            raise _refused(
                f"{index.name} lists weight files that are missing: {', '.join(missing[:5])[:500]}"
                if missing
                else f"{index.name} lists no weight files"
            )
        shards = [directory / name for name in names]
    if not shards:
        pickles = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLES)
        raise _refused(
            f"the weights are available only as pickles ({', '.join(pickles[:5])}), which can run code when "
            "loaded. Convert them to safetensors"
            if pickles
            else "the model directory contains no *.safetensors weights"
        )
    for shard in shards:
        _check_complete(shard)
    return shards


def _shard_names(index: Path) -> list[str]:
    """Return the files listed by an index. They must be in the same directory."""
    content = _read_json(index)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not isinstance(content.get("metadata", {}), dict):
        raise _refused(f"{index.name}: weight_map or metadata is not an object")
    names = set()
    for weight, name in weight_map.items():
        if not isinstance(name, str):
            raise _refused(f"{index.name}: weight_map has no file name for {weight[:100]!r}")
        if name != Path(name).name or "\0" in name:
            raise _refused(
                f"{index.name} lists {name[:200]!r}, but weight files must be in the same directory as the index"
            )
        names.add(name)
    return sorted(names)


def _check_complete(shard: Path) -> None:
    try:
        # Opening a file checks its header against its length.
        with safe_open(shard, framework="pt") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise _refused(
            f"{shard.name} is damaged or truncated ({error}). Copy the model again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = loads(path.read_bytes())
    except ValueError as error:
        raise _refused(f"{path.name} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise _refused(f"{path.name} does not contain a JSON object")
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
