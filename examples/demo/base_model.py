"""Builds the demo's base model: a small Qwen2 whose parameters are all trained briefly on the general text.

Run separately as `python -m examples.demo.base_model MODELS_DIR`, it creates MODELS_DIR/stepline-demo-qwen2 with safetensors
weights, a tokenizer and a chat template. An existing model with the same recipe is kept.
"""

import hashlib
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer
from transformers.utils.logging import disable_progress_bar

from examples.demo.general_text import Row, general_rows
from examples.demo.tickets import COUNT, SEED, ticket_rows
from worker.training.data.rendering.template import QWEN2_TEMPLATE

MODEL_NAME = "stepline-demo-qwen2"
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Qwen2's pattern for splitting text into words."""

Say = Callable[[int, int, float, float], None]
"""Called after each step with its number, the total number of steps, its loss, and the seconds elapsed."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the model. Widths are multiples of 64, the block size of 4-bit weights."""

    version: int = 2
    """Increase this if a change to the code below produces a different model from the same values."""
    seed: int = 7
    scenes: int = 5_000
    vocabulary: int = 2_048
    hidden_size: int = 256
    intermediate_size: int = 512
    layers: int = 3
    attention_heads: int = 4
    key_value_heads: int = 2
    block_tokens: int = 256
    batch_blocks: int = 8
    steps: int = 200
    learning_rate: float = 3e-3
    """Peak learning rate of AdamW, reached after 20 steps; it falls linearly afterwards."""


def main() -> None:
    """Create the model under the directory given on the command line."""
    disable_progress_bar()
    print(f"      {make_base_model(Path(sys.argv[1]), Recipe(), _say)}")


def make_base_model(models_dir: Path, recipe: Recipe, say: Say) -> Path:
    """Return the model's directory; create it unless a model with this recipe exists."""
    target = models_dir / MODEL_NAME
    rows = list(general_rows(recipe.seed, recipe.scenes))
    digest = hashlib.sha256(repr((recipe, QWEN2_TEMPLATE, rows)).encode()).hexdigest()
    recipe_file = target / "recipe.json"
    if recipe_file.exists() and json.loads(recipe_file.read_text())["digest"] == digest:
        return target
    partial = models_dir / f".{MODEL_NAME}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tokenizer = _make_tokenizer(rows, recipe)
    tokenizer.save_pretrained(partial)
    _train(_blocks(rows, tokenizer, recipe), tokenizer, recipe, say).save_pretrained(partial)
    (partial / recipe_file.name).write_text(json.dumps({"digest": digest} | asdict(recipe)))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def _make_tokenizer(rows: list[Row], recipe: Recipe) -> Any:
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    special = [END_OF_TEXT, TURN, END_OF_TURN]
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary - len(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The tokenizer also learns the template's words and customers' messages, which are not all in the general text.
    texts = [text for row in rows for text in row.texts]
    texts += ["system\nYou are a helpful assistant.\n", "user\n", "assistant\n"] * 100
    texts += [f"{row['instruction']}\n{row['input']}" for row in ticket_rows(SEED, COUNT)]
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens(special)
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=backend,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        extra_special_tokens=[TURN],
        model_max_length=1024,
    )
    tokenizer.chat_template = QWEN2_TEMPLATE
    return tokenizer


def _blocks(rows: list[Row], tokenizer: Any, recipe: Recipe) -> torch.Tensor:
    """Join the rows in random order into one text, tokenize it, and return it cut into blocks of equal length."""
    shuffled = random.Random(recipe.seed).sample(rows, len(rows))  # noqa: S311  # not for secrets
    text = END_OF_TEXT.join(
        tokenizer.apply_chat_template(row.messages, tokenize=False) if row.messages else row.text
        for row in shuffled
    )
    ids = tokenizer(text, verbose=False)["input_ids"]
    whole = len(ids) // recipe.block_tokens * recipe.block_tokens
    return torch.tensor(ids[:whole]).view(-1, recipe.block_tokens)


def _train(blocks: torch.Tensor, tokenizer: Any, recipe: Recipe, say: Say) -> Any:
    torch.manual_seed(recipe.seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.intermediate_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.attention_heads,
            num_key_value_heads=recipe.key_value_heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
            eos_token_id=tokenizer.convert_tokens_to_ids(END_OF_TURN),
            pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        )
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 20, 1 - step / recipe.steps)
    )
    batches = _batches(blocks, recipe)
    began = time.monotonic()
    for step in range(1, recipe.steps + 1):
        batch = next(batches)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        say(step, recipe.steps, loss.item(), time.monotonic() - began)
    return model


def _batches(blocks: torch.Tensor, recipe: Recipe) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(recipe.seed)
    while True:
        order = torch.randperm(len(blocks), generator=generator)
        for start in range(0, len(blocks), recipe.batch_blocks):
            yield blocks[order[start : start + recipe.batch_blocks]]


def _say(step: int, steps: int, loss: float, seconds: float) -> None:
    if step % (steps // 5) == 0 or step == 1:
        print(f"      step {step}/{steps}  loss {loss:.3f}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
