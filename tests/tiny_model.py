"""A real but tiny Qwen2 and rows to train it on. Tests build them when needed, in about two seconds and without a network."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2TokenizerFast

from worker.training.data.rendering.template import QWEN2_TEMPLATE

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_SENTENCES = (
    "What is the capital of France? The capital of France is Paris.",
    "You are a helpful assistant. system user assistant",
    "Write one sentence about the number 7. The number 7 is odd.",
    "Count the apples: one apple, two apples, three apples, four apples.",
    "请用一句话介绍北京。北京是中国的首都。",
)


def make_tiny_qwen2(directory: Path, seed: int = 0) -> Path:
    """Write a 2-layer Qwen2ForCausalLM with tied embeddings, tokenizer and ChatML template; return its directory.

    Every linear layer supports a LoRA rank of up to 64, and there are 2048 positions.
    """
    tokenizer = make_tokenizer(_SENTENCES, vocabulary=400)
    torch.manual_seed(seed)
    config = make_config(tokenizer, positions=2048)
    directory.mkdir(parents=True, exist_ok=True)
    Qwen2ForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_config(tokenizer: Any, positions: int) -> Qwen2Config:
    """Return the config of a 2-layer Qwen2 with tied embeddings for a tokenizer."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )


def make_other(kind: Any, directory: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a tiny model of a different class with random weights and no tokenizer; return its directory."""
    config = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 2048,
    }
    torch.manual_seed(seed)
    kind(kind.config_class(**(config | changes))).save_pretrained(directory)
    return directory


def make_rows(count: int) -> list[dict[str, str]]:
    """Return distinct rows of different lengths in Alpaca format."""
    return [
        {
            "instruction": f"Count the apples up to {row}." + " Please." * (row % 5),
            "input": "" if row % 3 else "four apples",
            "output": " ".join(f"apple {number}" for number in range(row % 7 + 1)) + f", {row}.",
        }
        for row in range(count)
    ]


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSONL, creating folders as needed; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer trained on the given text, with Qwen2's chat template and special tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer = Qwen2TokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token=None,
        unk_token=None,
        extra_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = QWEN2_TEMPLATE
    return tokenizer
