"""Loads the tokenizer of a model and checks that it matches the weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

from contracts.failure import FailureReason
from worker.training.errors import TrainingError
from worker.training.model.refusal import refusing

if TYPE_CHECKING:  # imports torch, which a preview does without
    from worker.training.model.trainable import TrainableModel


def load_tokenizer(directory: Path) -> Any:
    """Return the model's fast tokenizer."""
    with refusing("the model's tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise TrainingError(
            FailureReason.MODEL_REFUSED, "the model has no fast tokenizer (tokenizer.json)"
        )
    # If the files are missing, transformers builds a tokenizer with little more than special tokens.
    if len(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)) < 2:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "the model's tokenizer has no vocabulary: tokenizer.json is missing or contains none. Copy the model again",
        )
    return tokenizer


def check_vocabulary(model: "TrainableModel", largest_token: int) -> None:
    """Reject token ids beyond the embeddings, which show that the tokenizer and the weights do not match."""
    known = model.peft_model.get_base_model().get_input_embeddings().num_embeddings
    if largest_token >= known:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            f"the tokenizer produces token id {largest_token}, but the model has only {known} embeddings: the tokenizer "
            "and the weights do not match",
            evidence={"token": largest_token, "embeddings": known},
        )
