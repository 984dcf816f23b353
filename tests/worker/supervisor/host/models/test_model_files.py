"""The facts about a model must equal what transformers and the training program find in the loaded model."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import transformers
from torch import nn

from contracts.model_facts import ModelFacts, ModelSizes
from contracts.values.module_paths import compress_paths
from tests.tiny_model import make_other, make_tiny_qwen2
from worker.supervisor.host.models.model_files import (
    PLAIN_NAMES,
    QWEN2_TEMPLATE_SHA256,
    identify,
    read_facts,
)
from worker.training.data.rendering.template import Template
from worker.training.model.files import count_parameters
from worker.training.model.length import _positions, longest_dynamic

CLASSES = {
    "cohere": "CohereForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "glm": "GlmForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "phi": "PhiForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "stablelm": "StableLmForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny")


def test_a_qwen2_model_is_described_completely(tiny: Path) -> None:
    facts = read_facts(tiny, "Qwen/tiny")

    assert facts == ModelFacts(
        name="Qwen/tiny",
        architecture="Qwen2ForCausalLM",
        parameters=count_parameters(tiny),
        bytes=(tiny / "model.safetensors").stat().st_size,
        max_length=2048,
        linear_modules=[
            "down_proj",
            "gate_proj",
            "k_proj",
            "o_proj",
            "q_proj",
            "up_proj",
            "v_proj",
        ],
        module_paths=[
            *(f"model.layers.0-1.mlp.{name}_proj" for name in ("down", "gate", "up")),
            *(f"model.layers.0-1.self_attn.{name}_proj" for name in "koqv"),
        ],
        sizes=ModelSizes(
            hidden=128,
            intermediate=256,
            attention=(4 + 2 * 2) * 32,
            layers=2,
            vocabulary=json.loads((tiny / "config.json").read_text())["vocab_size"],
            linear_parameters=2 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 256),
            largest_linear=128 * 256,
            adapter_sides={
                **{f"{name}_proj": 2 * 384 for name in ("down", "gate", "up")},
                **{f"{name}_proj": 2 * 256 for name in "qo"},
                **{f"{name}_proj": 2 * 192 for name in "kv"},
            },
        ),
        chat_template="qwen2",
        tokenizer=identify(tiny),
    )


@pytest.mark.parametrize("model_type", sorted(PLAIN_NAMES))
def test_the_names_of_linear_modules_equal_those_of_the_loaded_model(
    model_type: str, tmp_path: Path
) -> None:
    kind = getattr(transformers, CLASSES[model_type])
    changes = {"num_key_value_heads": 2, "head_dim": 32, "pad_token_id": 0}
    directory = make_other(kind, tmp_path / model_type, **changes)

    facts = read_facts(directory, model_type)

    model = kind.from_pretrained(directory)
    head = model.get_output_embeddings()
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    assert facts.linear_modules == sorted({name.rpartition(".")[2] for name in linear})
    assert facts.module_paths == compress_paths(linear)
    assert facts.architecture == CLASSES[model_type]
    assert facts.parameters == count_parameters(directory)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 1024,
            }
        },
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}},
    ],
)
def test_the_longest_context_is_the_limit_of_the_training_program(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    config = {"model_type": "llama", "max_position_embeddings": 2048} | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = transformers.AutoConfig.from_pretrained(tmp_path)
    limits = [limit for limit in (_positions(loaded), longest_dynamic(loaded)) if limit is not None]

    assert read_facts(tmp_path, "m").max_length == min(limits)


def test_the_kind_of_chat_template_is_the_one_that_training_uses(
    tiny: Path, tmp_path: Path
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    for template, kind in (
        (tokenizer.chat_template, "qwen2"),
        ("{{ messages }}", "own"),
        ("", "plain"),
    ):
        tokenizer.chat_template = template or None
        directory = tmp_path / kind
        tokenizer.save_pretrained(directory)

        reloaded = transformers.AutoTokenizer.from_pretrained(directory)
        assert Template(reloaded).kind == kind
        assert read_facts(directory, "m").chat_template == kind
    assert read_facts(tmp_path, "m").chat_template is None
    assert len(QWEN2_TEMPLATE_SHA256) == 64


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": "---\nlicense: apache-2.0\ntags: [x]\n---\n# M"}, "apache-2.0"),
        (
            {"README.md": "---\r\nlicense: other\r\nlicense_name: 'tongyi-qianwen'\r\n---\r\n"},
            "tongyi-qianwen",
        ),
        (
            {"README.md": "# no head\nlicense: mit\n", "LICENSE": "\n  MIT License  \n\nText"},
            "MIT License",
        ),
        ({"LICENSE": "a\x1b[31m\u202eb"}, r"a\x1b[31m\u202eb"),
        ({}, None),
    ],
)
def test_the_licence_comes_from_the_readme_or_the_licence_file(
    files: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, newline="")

    assert read_facts(tmp_path, "m").license == expected


def test_a_sharded_model_counts_only_the_files_of_its_index(tiny: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        header = json.dumps({f"layer.{number}.weight": {"dtype": "F32", "shape": [2, number]}})
        content = struct.pack("<Q", len(header)) + header.encode() + b"\0" * 8 * number
        (tmp_path / f"part-{number}.safetensors").write_bytes(content)
    index = {"weight_map": {"layer.1.weight": "part-1.safetensors", "x": "part-3.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    facts = read_facts(tmp_path, "m")

    assert facts.parameters == 2 * 1 + 2 * 3
    assert facts.bytes == sum(
        (tmp_path / f"part-{number}.safetensors").stat().st_size for number in (1, 3)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b"not json!",
        struct.pack("<Q", 20) + b'{"a": {"shape": [-1]}',
        struct.pack("<Q", 40) + b'{"a": {"shape": [9007199254740992, 2]}}',
    ],
)
def test_damaged_files_leave_facts_unknown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "config.json").write_bytes(b'{"architectures": [1], "max_position_embeddings": "9"')
    (tmp_path / "tokenizer_config.json").write_bytes(b"\xff")

    facts = read_facts(tmp_path, "m")

    assert (facts.architecture, facts.parameters, facts.max_length) == (None, None, None)
    assert facts.linear_modules is None
