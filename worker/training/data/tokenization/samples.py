"""Makes samples from rows: renders them, encodes them, and marks the supervised tokens."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.dataset.conversation import Conversation, Document
from contracts.failure import FailureReason
from worker.training.data.arrays import Sample, Writer
from worker.training.data.bounds import POLL_SECONDS, Bounds, OutOfBounds
from worker.training.data.rendering.answers import RenderingFailed, Span
from worker.training.data.rendering.template import Rendered, Template
from worker.training.data.rows import Row
from worker.training.data.tokenization.documents import Joiner
from worker.training.data.tokenization.helpers import Helpers, MadeRow
from worker.training.data.tokenization.making import make_in_order
from worker.training.errors import Evidence, TrainingError
from worker.training.rundir.counter import Count

_ROWS_PER_BATCH = 250
_CHARACTERS_PER_BATCH = 1_000_000


@dataclass(frozen=True)
class Tokenized:
    """The number of samples made from some rows, and how many of the rows were truncated or dropped."""

    samples: int
    truncated: int
    dropped: int


def tokenize(
    rows: Sequence[Row],
    tokenizer: Any,
    template: Template,
    *,
    max_length: int,
    bounds: Bounds,
    count: Count,
    writer: Writer,
    helpers: Helpers | None = None,
) -> Tokenized:
    """Render and encode rows, with `helpers` if there are many.

    Conversations are truncated to `max_length` tokens, and dropped if no answer is left. Documents are joined and split
    into samples of `max_length` tokens. `writer` collects the samples; the caller finishes it.
    """
    before, truncated, dropped = len(writer), 0, 0
    joiner = Joiner(max_length, tokenizer.eos_token_id)
    # Encode in a separate thread: encoding releases the interpreter's lock, so a stop request does not have to wait for it.
    encoder = ThreadPoolExecutor(1, "encoder")
    make = partial(
        make_rows,
        tokenizer=tokenizer,
        template=template,
        max_length=max_length,
        bounds=bounds,
        encoder=encoder,
    )
    try:
        for batch, made in make_in_order(batch_rows(rows), len(rows), make, helpers, bounds):
            are_documents = isinstance(batch[0].content, Document)
            for sample, total in made:
                if are_documents:
                    for ids in joiner.add(sample.ids):
                        writer.add(whole_sample(ids))
                    continue
                if not sample.supervised_tokens:
                    dropped += 1
                    continue
                truncated += total > max_length
                writer.add(sample)
            writer.flush()
            count(len(batch), len(batch))
            bounds.poll()
    finally:
        encoder.shutdown(wait=False, cancel_futures=True)
    for ids in joiner.finish():
        writer.add(whole_sample(ids))
    return Tokenized(len(writer) - before, truncated, dropped)


def make_rows(
    batch: Sequence[Row],
    tokenizer: Any,
    template: Template,
    *,
    max_length: int,
    bounds: Bounds,
    encoder: ThreadPoolExecutor,
) -> list[MadeRow]:
    """Return the tokens of each row. The rows must be all conversations or all documents. Raises TrainingError."""
    texts = _encode_batch(batch, tokenizer, template, bounds, encoder)
    if isinstance(batch[0].content, Document):
        samples = [whole_sample(np.array(encoding.ids, np.int32)) for _, encoding in texts]
    else:
        samples = [build_sample(text, encoding, max_length) for text, encoding in texts]
    return [
        MadeRow(sample, len(encoding.ids))
        for sample, (_, encoding) in zip(samples, texts, strict=True)
    ]


def encode_row(
    row: Row, tokenizer: Any, template: Template, bounds: Bounds
) -> tuple[Rendered, Any]:
    """Return the text of one row, and its tokens as the tokenizers library returns them. Raises TrainingError."""
    encoder = ThreadPoolExecutor(1, "encoder")
    try:
        return _encode_batch([row], tokenizer, template, bounds, encoder)[0]
    finally:
        encoder.shutdown(wait=False, cancel_futures=True)


def _encode_batch(
    batch: Sequence[Row],
    tokenizer: Any,
    template: Template,
    bounds: Bounds,
    encoder: ThreadPoolExecutor,
) -> list[tuple[Rendered, Any]]:
    """Return the text and the tokens of each row. The rows must be all conversations or all documents."""
    with bounds.prepared():
        texts = [render_row(row, template, bounds) for row in batch]
    encodings = encode_texts(
        batch, texts, tokenizer=tokenizer, template=template, bounds=bounds, encoder=encoder
    )
    return list(zip(texts, encodings, strict=True))


def encode_texts(
    batch: Sequence[Row],
    texts: Sequence[Rendered],
    *,
    tokenizer: Any,
    template: Template,
    bounds: Bounds,
    encoder: ThreadPoolExecutor,
) -> Sequence[Any]:
    """Return the tokens of rendered rows, which must be all conversations or all documents. Raises TrainingError."""
    adds_special_tokens = isinstance(batch[0].content, Document) or template.adds_special_tokens
    encode = partial(_encode, tokenizer, texts, adds_special_tokens)
    encodings: Sequence[Any] = _wait_for(encoder.submit(encode), batch, bounds).encodings
    return encodings


def batch_rows(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in batches, each of which contains only conversations or only documents."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        if batch and type(batch[0].content) is not type(row.content):
            yield batch
            batch, characters = [], 0
        batch.append(row)
        characters += _characters(row)
        if len(batch) == _ROWS_PER_BATCH or characters >= _CHARACTERS_PER_BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _characters(row: Row) -> int:
    if isinstance(row.content, Document):
        return len(row.content.text)
    return sum(len(turn.content) for turn in row.content.turns)


def render_row(row: Row, template: Template, bounds: Bounds) -> Rendered:
    """Return the text of a row. Raises TrainingError. Call it within `bounds.prepared()`."""
    if isinstance(row.content, Document):
        return Rendered(row.content.text, [])
    return _render_conversation(row, row.content, template, bounds)


def _render_conversation(
    row: Row, conversation: Conversation, template: Template, bounds: Bounds
) -> Rendered:
    """Render a row. Error messages name the row and advise whether to change the row or the model."""
    evidence: Evidence = {"line": row.line}
    turns = conversation.turns
    try:
        return bounds.call(template.render, turns, conversation.tools)
    except OutOfBounds as error:
        detail = (
            f"{row.place}: the model's chat template {error} for this conversation of {len(turns)} turns. Use a "
            "model with another template, or split long conversations"
        )
        raise TrainingError(FailureReason.MODEL_REFUSED, detail, evidence=evidence) from error
    except TrainingError as error:
        failure = error.failure
        raise TrainingError(
            failure.reason, f"{row.place}: {failure.detail}", evidence=evidence
        ) from error
    except RenderingFailed as error:
        is_rows_fault = _is_usable(template, bounds)
        reason = FailureReason.DATASET_INVALID if is_rows_fault else FailureReason.MODEL_REFUSED
        raise TrainingError(reason, f"{row.place}: {error}", evidence=evidence) from error


def _is_usable(template: Template, bounds: Bounds) -> bool:
    try:
        return bounds.call(template.is_usable)
    except OutOfBounds:
        return False


def _encode(tokenizer: Any, texts: Sequence[Rendered], add_special_tokens: bool) -> Any:
    return tokenizer(
        [text.text for text in texts],
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        verbose=False,  # otherwise it warns about long rows, which are truncated below
    )


def _wait_for(encoded: Future[Any], batch: Sequence[Row], bounds: Bounds) -> Any:
    while not encoded.done():
        wait([encoded], timeout=POLL_SECONDS)
        bounds.poll()
    error = encoded.exception()
    if isinstance(error, MemoryError):
        raise error
    # tokenizer.json determines which code runs, and a panic in the library may raise any exception.
    if error is not None:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            f"{batch[0].file}: lines {batch[0].line} to {batch[-1].line}: the model's tokenizer fails on one of these rows: "
            f"{type(error).__name__}: {error}",
            evidence={"line": batch[0].line},
        ) from error
    return encoded.result()


def whole_sample(ids: npt.NDArray[np.int32]) -> Sample:
    """Return a sample of documents: every token is supervised, except the first."""
    supervised = np.ones(len(ids), dtype=np.bool_)
    supervised[:1] = False
    return Sample(ids, supervised)


def build_sample(text: Rendered, encoding: Any, max_length: int) -> Sample:
    """Return the sample of a conversation, given its text and its tokens."""
    ids = np.array(encoding.ids, dtype=np.int32)
    supervised = np.zeros(len(ids), dtype=np.bool_)
    for span in text.answers:
        tokens = _tokens_of(span, encoding)
        supervised[tokens.start : tokens.end] = True
    supervised[:1] = False  # no earlier token predicts the first one
    return Sample(ids[:max_length], supervised[:max_length])


def _tokens_of(span: Span, encoding: Any) -> Span:
    # Some characters, such as a trimmed space, have no token. Then use the next character inside the span.
    inside = range(span.start, span.end)
    first = next((t for c in inside if (t := encoding.char_to_token(c)) is not None), None)
    place = next((c for c in reversed(inside) if encoding.char_to_token(c) is not None), None)
    if first is None or place is None:
        return Span(0, 0)
    last = encoding.char_to_token(place)
    # If a character has several tokens (such as an emoji encoded as bytes), this is only its first token.
    while (chars := encoding.token_to_chars(last + 1)) and chars[0] <= place < chars[1]:
        last += 1
    return Span(first, last + 1)
