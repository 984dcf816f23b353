"""Reads facts about a model without torch: from config.json, the weights' headers, the tokenizer and the license.

If a file is missing, damaged or in an unexpected format, its facts remain unknown. The training program decides whether a
model can be loaded.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.model_facts import MOST_CHARACTERS, MOST_MODULES, ModelFacts, ModelSizes
from contracts.values.module_paths import compress_paths
from contracts.values.nesting import loads
from contracts.values.text import escape
from worker.supervisor.host.models.tokenizer_files import identify_tokenizer

LONGEST_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format for the header of a file."""
LONGEST_TEXT_BYTES = 10_000_000
"""Larger JSON and template files are not read. The tokenizer's vocabulary is in another file."""
README_BYTES = 10_000
"""How much of a README is read; its front matter states the license."""
QWEN2_TEMPLATE_SHA256 = "793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb"
"""SHA-256 of Qwen2's stock chat template."""
PLAIN_NAMES = frozenset(
    {
        "cohere",
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "glm4",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "olmo2",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
"""Values of `model_type` whose weight files use the module names of the loaded model. For others, transformers may
rename, split or merge weights while loading them."""
_WEIGHT = re.compile(r"((?:.*\.)?([^.]+))\.weight")
_LICENSE = re.compile(r"^license(_name)?:[ \t]*['\"]?([^'\"\n]+)", re.MULTILINE)


def read_facts(directory: Path, name: str) -> ModelFacts:
    """Return the facts about the model in a directory."""
    config = _read_object(directory / "config.json")
    try:
        shards = _shards(directory)
        tensors = dict(entry for shard in shards for entry in _read_shapes(shard))
        size = sum(shard.stat().st_size for shard in shards)
    except (OSError, ValueError):
        tensors, size = {}, 0
    parameters = sum(map(math.prod, tensors.values()))
    linear = _linear_paths(config, tensors)
    return ModelFacts(
        name=name,
        architecture=_architecture(config),
        parameters=parameters if _is_count(parameters) else None,
        bytes=size if tensors else None,
        max_length=_longest_context(config),
        linear_modules=_at_most(sorted({path.rpartition(".")[2] for path in linear})),
        module_paths=_at_most(compress_paths(linear)),
        sizes=_sizes(config, tensors, linear),
        chat_template=_template_kind(directory),
        tokenizer=_tokenizer(directory, config),
        license=_license(directory),
    )


def _architecture(config: dict[str, Any]) -> str | None:
    named = config.get("architectures")
    return _name(named[0]) if isinstance(named, list) and named else None


def _longest_context(config: dict[str, Any]) -> int | None:
    """Return the limit that the training program applies (worker/training/model/length.py), if config.json states it."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    positions = text.get("max_position_embeddings")
    if not _is_count(positions):
        return None
    assert isinstance(positions, int)  # noqa: S101  # for mypy
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, dict):
        return positions
    if rope.get("rope_type", rope.get("type")) == "dynamic" and not rope.get("alpha"):
        return positions  # beyond that, the frequencies change with each longer sample
    factor = rope.get("factor")
    original = rope.get("original_max_position_embeddings") or positions
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not _is_count(original):
        return positions
    extended = factor * original
    return max(positions, int(extended)) if extended < 2**53 else None


def _linear_paths(config: dict[str, Any], tensors: dict[str, list[int]]) -> list[str]:
    """Return the paths of the linear modules in the loaded model; none if the files name them differently."""
    kind = config.get("model_type")
    if kind not in PLAIN_NAMES:
        return []
    # The input embedding is not linear, and the head is never adapted.
    paths = [
        escape(weight[1])[-MOST_CHARACTERS:]
        for key, shape in tensors.items()
        if (weight := _WEIGHT.fullmatch(key)) is not None and len(shape) == 2
        if weight[2] != "lm_head" and "embed" not in weight[2]
    ]
    body = "gpt_neox." if kind == "gpt_neox" else "model."
    if any(path.startswith(body) for path in paths):
        return paths
    return [body + path for path in paths]  # saved without its head, which transformers adds


def _sizes(
    config: dict[str, Any], tensors: dict[str, list[int]], linear: list[str]
) -> ModelSizes | None:
    """Return the decoder's dimensions; None if config.json and the weights' names do not determine them."""
    hidden, heads = _number(config, "hidden_size"), _number(config, "num_attention_heads")
    layers, vocabulary = _number(config, "num_hidden_layers"), _number(config, "vocab_size")
    shapes = _linear_shapes(tensors, linear)
    if not (hidden and heads and layers and vocabulary and shapes):
        return None
    sides: dict[str, int] = {}
    for path, shape in shapes.items():
        name = path.rpartition(".")[2]
        sides[name] = sides.get(name, 0) + sum(shape)
    counts = [math.prod(shape) for shape in shapes.values()]
    if len(sides) > MOST_MODULES or not all(map(_is_count, [*sides.values(), sum(counts)])):
        return None
    head_size = _number(config, "head_dim") or hidden // heads
    shared = _number(config, "num_key_value_heads") or heads
    return ModelSizes(
        hidden=hidden,
        intermediate=_number(config, "intermediate_size") or 4 * hidden,
        attention=max(1, (heads + 2 * shared) * head_size),
        layers=layers,
        vocabulary=vocabulary,
        linear_parameters=sum(counts),
        largest_linear=max(counts),
        adapter_sides=sides,
    )


def _linear_shapes(tensors: dict[str, list[int]], linear: list[str]) -> dict[str, list[int]]:
    """Return the shape of each linear module by path."""
    found = {}
    for path in linear:
        stored = next(
            (end for end in (path, path.partition(".")[2]) if f"{end}.weight" in tensors), None
        )
        if stored is not None:
            found[path] = tensors[f"{stored}.weight"]
    return found


def _number(config: dict[str, Any], name: str) -> int:
    """Return a size below 2**32 from config.json, or 0."""
    value = config.get(name)
    return value if isinstance(value, int) and _is_count(value) and value < 2**32 else 0


def _at_most(names: list[str]) -> list[str] | None:
    return names if 0 < len(names) <= MOST_MODULES else None


def _template_kind(directory: Path) -> Any:
    if not (directory / "tokenizer_config.json").is_file():
        return None
    template: object = _read_text(directory / "chat_template.jinja")
    if template is None:
        template = _read_object(directory / "tokenizer_config.json").get("chat_template")
    if not template:
        return "plain"
    digest = hashlib.sha256(str(template).encode(errors="replace")).hexdigest()
    return "qwen2" if digest == QWEN2_TEMPLATE_SHA256 else "own"


def _tokenizer(directory: Path, config: dict[str, Any]) -> str | None:
    try:
        return identify_tokenizer(directory, str(config.get("model_type", "")))
    except OSError:
        return None


def identify(directory: Path) -> str | None:
    """Return the identity of a model's tokenizer and chat template, the same as in the model's facts."""
    return _tokenizer(directory, _read_object(directory / "config.json"))


def _license(directory: Path) -> str | None:
    head = re.match(r"---\s*\n(.*?\n)---", _read_start(directory / "README.md"), re.DOTALL)
    if head is not None:
        found = {bool(entry[1]): entry[2].strip() for entry in _LICENSE.finditer(head[1])}
        named = (
            found.get(True) if found.get(False) == "other" else found.get(False)
        )  # the keys are True and False
        if named:
            return _name(named)
    for file in ("LICENSE", "LICENSE.txt", "LICENSE.md"):
        first = next(filter(None, map(str.strip, _read_start(directory / file).splitlines())), None)
        if first is not None:
            return _name(first)
    return None


def _shards(directory: Path) -> list[Path]:
    """Return the weight files in use, in transformers' order of preference. Raises OSError, ValueError."""
    single = directory / "model.safetensors"
    index = directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        return sorted(directory.glob("*.safetensors"))
    weight_map = _read_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError(f"{index.name} has no weight_map")  # noqa: TRY004  # a fault of the file
    names = {str(name) for name in weight_map.values()}
    if any(name != Path(name).name or "\0" in name for name in names):
        raise ValueError(f"{index.name} names files in other directories")
    return [directory / name for name in sorted(names)]


def _read_shapes(shard: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and the shape of each tensor. The header is JSON after its length, a little-endian 64-bit integer."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LONGEST_HEADER_BYTES:
            raise ValueError(f"the header of {shard.name} is too long")
        header = loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"the header of {shard.name} is not an object")  # noqa: TRY004  # as above
    for key, tensor in header.items():
        if key == "__metadata__":
            continue
        shape = tensor.get("shape") if isinstance(tensor, dict) else None
        if not isinstance(shape, list) or not all(_is_size(side) for side in shape):
            raise ValueError(f"{shard.name}: {key[:100]} has no shape")
        yield key, shape


def _read_object(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        value = loads(text) if text is not None else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _read_text(path: Path) -> str | None:
    """Return a file's text; None if it is missing, too large or not UTF-8."""
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_TEXT_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _read_start(path: Path) -> str:
    """Return the beginning of a text file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(README_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _name(value: object) -> str | None:
    return escape(value)[:MOST_CHARACTERS] if isinstance(value, str) and value else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
