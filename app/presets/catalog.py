"""All presets: their names, their texts in English and Chinese, and the fields of a JobSpec that they set."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from contracts.failure import Language


@dataclass(frozen=True)
class Preset:
    """Settings that a job uses unless its own spec sets them."""

    name: str
    title: Mapping[Language, str]
    description: Mapping[Language, str]
    settings: Mapping[str, Any]
    """A part of a JobSpec, with the same nesting."""


def _preset(
    name: str, titles: tuple[str, str], descriptions: tuple[str, str], **settings: Any
) -> Preset:
    return Preset(
        name,
        {"en": titles[0], "zh": titles[1]},
        {"en": descriptions[0], "zh": descriptions[1]},
        settings,
    )


_RECIPES = (
    _preset(
        "reference",
        ("Reference run", "参考配置"),
        (
            "The reference run: Qwen2-0.5B-Instruct, rank 64, 4 × 4 samples per update, learning rate 2e-4, one epoch.",
            "参考训练的配置：Qwen2-0.5B-Instruct，rank 64，每次更新 4 × 4 条，学习率 2e-4，训练 1 轮。",
        ),
        model="Qwen/Qwen2-0.5B-Instruct",
        lora={"rank": 64, "alpha": 128.0},
        training={
            "per_device_batch_size": 4,
            "gradient_accumulation_steps": 4,
            "learning_rate": 2e-4,
            "lr_scheduler": "cosine",
            "epochs": 1,
            "max_length": 1024,
        },
        evaluation={"every_steps": 500},
        checkpoint={"every_steps": 500},
    ),
    _preset(
        "quick-try",
        ("Quick try", "快速试跑"),
        (
            "Twenty updates with a small adapter, to check the data and the setup. The result is not meant to be used.",
            "用小适配器训练 20 步，用来检查数据和环境，结果不用于实际使用。",
        ),
        dataset={"eval_size": 16},
        lora={"rank": 8, "alpha": 16.0},
        training={"max_steps": 20, "max_length": 256},
        evaluation={"every_steps": 20},
        checkpoint={"every_steps": 20, "keep": 1, "upload": "on_pause"},
    ),
    _preset(
        "low-memory",
        ("Low memory", "低显存"),
        (
            "For devices with little memory: short samples, a small adapter, and recomputed activations. Slower.",
            "适合显存或内存较小的设备：样本较短、适配器较小，并重算激活值；速度较慢。",
        ),
        quantization={"double_quant": True},
        lora={"rank": 16, "alpha": 32.0},
        training={
            "per_device_batch_size": 1,
            "gradient_accumulation_steps": 16,
            "max_length": 512,
        },
        engine={
            "token_budget": 512,
            "activation_checkpointing": True,
            "dequantize_base": False,
        },
    ),
    _preset(
        "long-context",
        ("Long context", "长上下文"),
        (
            "Samples of up to 8,192 tokens, one at a time. Activations are recomputed if memory requires it.",
            "样本最长 8192 token，每次处理 1 条；显存不足时重算激活值。",
        ),
        training={
            "per_device_batch_size": 1,
            "gradient_accumulation_steps": 16,
            "max_length": 8192,
        },
        engine={"activation_checkpointing": "auto"},
    ),
)

_HIGH_RATE, _LOW_RATE = 2e-4, 1e-4
"""Learning rates from the QLoRA paper (arXiv:2305.14314, table 9) for models of up to 13 billion parameters, and for
larger ones."""

_SIZES = (
    ("qwen2-0.5b", "Qwen/Qwen2-0.5B-Instruct", 4, _HIGH_RATE),
    ("qwen2-1.5b", "Qwen/Qwen2-1.5B-Instruct", 4, _HIGH_RATE),
    ("qwen2-7b", "Qwen/Qwen2-7B-Instruct", 2, _HIGH_RATE),
    ("qwen2-72b", "Qwen/Qwen2-72B-Instruct", 1, _LOW_RATE),
    ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct", 4, _HIGH_RATE),
    ("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct", 4, _HIGH_RATE),
    ("qwen2.5-3b", "Qwen/Qwen2.5-3B-Instruct", 4, _HIGH_RATE),
    ("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", 2, _HIGH_RATE),
    ("qwen2.5-14b", "Qwen/Qwen2.5-14B-Instruct", 1, _HIGH_RATE),
    ("qwen2.5-32b", "Qwen/Qwen2.5-32B-Instruct", 1, _LOW_RATE),
    ("qwen2.5-72b", "Qwen/Qwen2.5-72B-Instruct", 1, _LOW_RATE),
    ("qwen3-0.6b", "Qwen/Qwen3-0.6B", 4, _HIGH_RATE),
    ("qwen3-1.7b", "Qwen/Qwen3-1.7B", 4, _HIGH_RATE),
    ("qwen3-4b", "Qwen/Qwen3-4B", 4, _HIGH_RATE),
    ("qwen3-8b", "Qwen/Qwen3-8B", 2, _HIGH_RATE),
    ("qwen3-14b", "Qwen/Qwen3-14B", 1, _HIGH_RATE),
    ("qwen3-32b", "Qwen/Qwen3-32B", 1, _LOW_RATE),
)
"""Name, model on the hub, samples per micro-batch (of the 16 in an update), and learning rate. Qwen3's chat models have
no suffix; `-Base` marks the others."""


def _size(name: str, model: str, samples: int, rate: float) -> Preset:
    short = model.rpartition("/")[2]
    steps = 16 // samples
    return _preset(
        name,
        (short, short),
        (
            f"{short} from the Hub: rank 64 on all linear layers, {samples} × {steps} samples per update, learning rate {rate:g}.",
            f"Hub 上的 {short}：全部线性层 rank 64，每次更新 {samples} × {steps} 条，学习率 {rate:g}。",
        ),
        model=model,
        lora={"rank": 64, "alpha": 128.0},
        training={
            "per_device_batch_size": samples,
            "gradient_accumulation_steps": steps,
            "learning_rate": rate,
        },
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (*_RECIPES, *(_size(*row) for row in _SIZES))}
)
"""All presets by name, in the order in which they are listed."""
