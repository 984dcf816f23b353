"""Recompute a finished job's figures with plain transformers, peft and bitsandbytes, and compare them with the report.

    python examples/recompute.py http://127.0.0.1:8000 job_… MODEL_DIR ROWS_FILE… [--eval-rows FILE] [--steps 3]

It downloads the spec, the summary, the loss history and the adapter. MODEL_DIR is the model's directory, and ROWS_FILE is
the uploaded file, which the API does not return. It prints a table. It exits with 1 if a difference exceeds its tolerance,
and with 2 if the figures cannot be computed. It is a single file that implements docs/numbers.md without importing
Stepline, so you can copy it to any machine and read all of it. It computes full logits, one sample at a time, which is
slow but easy to check. It does not support mixture-of-experts models or models with vision or audio towers.
"""

import argparse
import hashlib
import json
import math
import os
import re
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    get_scheduler,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

TOLERANCES = {"float32": (1e-4, 1e-3), "bfloat16": (1e-2, 3e-2)}
"""Tolerances in nats by compute type: for evaluations and the first step, and for later steps, whose differences accumulate."""
Turn = dict[str, str]


class CannotCompute(Exception):
    """The figures cannot be recomputed; the message says why."""


@dataclass(frozen=True)
class Job:
    """A finished job, as the API returns it."""

    spec: dict[str, Any]
    created_at: datetime
    summary: dict[str, Any]
    losses: list[float]
    """The losses of the first steps."""

    def choice(self, name: str) -> Any:
        """Return the engine's choice for a field that was set to `auto`."""
        try:
            return self.summary["choices"][name]["value"]
        except (KeyError, TypeError) as error:
            raise CannotCompute(
                f"the summary does not say which {name} the engine chose"
            ) from error


@dataclass(frozen=True)
class Sample:
    """One row as tokens; `labels` are -100 except at supervised tokens."""

    ids: list[int]
    labels: list[int]

    @property
    def supervised(self) -> int:
        """Number of tokens that the model learns to predict; no position predicts the first token."""
        return sum(label != -100 for label in self.labels[1:])


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    figure: str
    reported: float
    recomputed: float
    tolerance: float

    @property
    def is_within(self) -> bool:
        """Whether the two values agree. NaN never agrees."""
        difference = abs(self.reported - self.recomputed)
        return self.reported == self.recomputed or difference <= self.tolerance


def fetch_job(server: str, job_id: str, steps: int, adapter: Path) -> Job:
    """Fetch the job from the API, and unpack its adapter into a directory."""
    job_url = f"{server.rstrip('/')}/v1/jobs/{job_id}"
    view = json.loads(get(job_url))
    losses = json.loads(get(f"{job_url}/loss?limit={max(1, steps)}"))["data"][:steps]
    archive = adapter.with_suffix(".zip")
    archive.write_bytes(get(f"{job_url}/artifacts/adapter.zip"))
    with zipfile.ZipFile(archive) as file:
        file.extractall(adapter)  # the archive comes from the queried service
    return Job(
        spec=view["spec"],
        created_at=datetime.fromisoformat(view["created_at"]),
        summary=json.loads(get(f"{job_url}/summary")),
        losses=[math.nan if point["loss"] is None else point["loss"] for point in losses],
    )


def get(url: str) -> bytes:
    """Return the body of a response. Bypasses proxies if the server is on this machine."""
    local = "//127.0.0.1" in url or "//localhost" in url
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
    try:
        body: bytes = opener.open(url, timeout=60).read()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise CannotCompute(f"{url} responded with {error.code}: {text}") from error
    except OSError as error:
        raise CannotCompute(f"{url}: {error}") from error
    return body


@dataclass(frozen=True)
class Part:
    """The rows of a training dataset, and how many times an epoch uses each."""

    rows: list[list[Turn]]
    weight: Fraction


def read_rows(path: Path, source: Any) -> list[list[Turn]]:
    """Return the rows of a JSON array or JSONL as conversations. Checks an uploaded dataset's id against the file."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if isinstance(source, str) and not digest.startswith(source.removeprefix("ds_")):
        raise CannotCompute(f"{path} is not the job's dataset {source}: its SHA-256 is {digest}")
    text = content.decode("utf-8-sig")
    try:
        if text.lstrip().startswith("["):
            values = json.loads(text)
        else:
            values = [json.loads(line) for line in text.split("\n") if line.strip()]
        return [conversation(value) for value in values]
    except (ValueError, KeyError, TypeError) as error:
        raise CannotCompute(f"{path}: {type(error).__name__}: {error}") from error


def conversation(row: dict[str, Any]) -> list[Turn]:
    """Return the turns of a row in any of the three formats."""
    if "messages" in row:
        return [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]]
    if "prompt" in row:
        turns: list[Turn] = []
        for role, part in (("user", row["prompt"]), ("assistant", row["completion"])):
            turns += [{"role": role, "content": part}] if isinstance(part, str) else part
        return turns
    question = f"{row['instruction']}\n{row['input']}" if row.get("input") else row["instruction"]
    turns = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for user, assistant in row.get("history") or []:
        turns += [
            {"role": "user", "content": user},
            {"role": "assistant", "content": assistant},
        ]
    return [
        *turns,
        {"role": "user", "content": question},
        {"role": "assistant", "content": row["output"]},
    ]


def read_parts(paths: list[Path], train: Any) -> list[Part]:
    """Return the rows and the weight of each training dataset."""
    sources = train if isinstance(train, list) else [{"dataset": train, "weight": 1}]
    if len(paths) != len(sources):
        raise CannotCompute(
            f"the job trains on {len(sources)} datasets: pass the file of each, in the order of the spec"
        )
    return [
        Part(read_rows(path, source["dataset"]), Fraction(str(source["weight"])))
        for path, source in zip(paths, sources, strict=True)
    ]


def hold_out(parts: list[Part], size: Any, seed: int) -> tuple[list[Part], list[list[Turn]]]:
    """Return the training rows of each dataset and the rows held out for evaluation, both in the files' order."""
    total = sum(len(part.rows) for part in parts)
    if size == "auto":
        count = min(2000, max(1, total * 2 // 100))
    else:
        count = size if isinstance(size, int) else max(1, int(size * total))
    kept: list[Part] = []
    held_out: list[list[Turn]] = []
    first = free = 0
    for part in parts:
        free += len(part.rows) - 1
        most = rounded(Fraction(count * free, total - len(parts))) - len(held_out)
        chosen = set(order(f"{seed}:eval", len(part.rows), first)[:most])
        kept.append(Part([r for n, r in enumerate(part.rows) if n not in chosen], part.weight))
        held_out += [part.rows[number] for number in sorted(chosen)]
        first += len(part.rows)
    return kept, held_out


def use(parts: list[Part], tokens: "Tokens", seed: int) -> list[Sample]:
    """Return the samples of an epoch, each repeated according to the weight of its dataset."""
    samples: list[Sample] = []
    first_row = first_sample = 0
    for part in parts:
        rows = part.rows
        if part.weight < 1:
            chosen = order(f"{seed}:weight", len(rows), first_row)
            most = max(1, rounded(part.weight * len(rows)))
            rows = [part.rows[number] for number in sorted(chosen[:most])]
        own = tokens.samples(rows)
        whole, more = divmod(rounded(max(Fraction(1), part.weight) * len(own)), max(1, len(own)))
        again = set(order(f"{seed}:weight", len(own), first_sample)[:more])
        samples += [s for n, s in enumerate(own) for _ in range(whole + (n in again))]
        first_row, first_sample = first_row + len(part.rows), first_sample + len(own)
    return samples


def rounded(number: Fraction) -> int:
    """Return the nearest integer; halves are rounded up."""
    return math.floor(number + Fraction(1, 2))


def order(prefix: str, rows: int, first: int = 0) -> list[int]:
    """Return the indexes of rows, sorted by the SHA-256 of their numbers. `first`: the number of the first row."""
    return sorted(
        range(rows),
        key=lambda row: hashlib.sha256(f"{prefix}:{first + row}".encode("ascii")).digest(),
    )


class Tokens:
    """Turns conversations into samples with the model's tokenizer and chat template."""

    def __init__(self, model: Path, max_length: int, now: datetime) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self._max_length = max_length
        self._template: str | None = self._tokenizer.chat_template
        if (
            self._template is not None
        ):  # a template that inserts the date gets the day of submission
            date = r"""strftime_now\(\s*(["'])(.*?)\1\s*\)"""
            self._template = re.sub(
                date, lambda call: call[1] + now.strftime(call[2]) + call[1], self._template
            )
        special = {t.content for t in self._tokenizer.added_tokens_decoder.values() if t.special}
        special.update(self._tokenizer.all_special_tokens)
        self._ends = sorted(special, key=len, reverse=True)

    def samples(self, rows: list[list[Turn]]) -> list[Sample]:
        """Return a sample for each row that still contains part of an answer after truncation to `max_length`."""
        return [sample for row in rows if (sample := self._sample(row)).supervised]

    def _sample(self, turns: list[Turn]) -> Sample:
        text, answers = self._plain(turns) if self._template is None else self._chat(turns)
        encoded = self._tokenizer(
            text,
            add_special_tokens=self._template is None,
            return_offsets_mapping=True,
            verbose=False,
        )
        labels = [
            token if any(first < end and last > start for start, end in answers) else -100
            for token, (first, last) in zip(
                encoded["input_ids"], encoded["offset_mapping"], strict=True
            )
        ]
        return Sample(encoded["input_ids"][: self._max_length], labels[: self._max_length])

    def _chat(self, turns: list[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """Return the conversation's text, and the start and end of each answer, including its end-of-turn token."""
        answers = []
        for number, turn in enumerate(turns):
            if turn["role"] != "assistant" or not turn["content"]:
                continue
            through, answer = self._apply(turns[: number + 1]), turn["content"].strip()
            if number:
                start = len(self._apply(turns[:number], prompt=True))
            else:  # with no turn before it, the answer begins where a different answer changes the text
                other = turn | {"content": "a" if answer[:1] != "a" else "b"}
                start = len(os.path.commonprefix([through, self._apply([other])]))  # noqa: RUF071
            end = through.index(answer, start) + len(answer)
            gap = len(through[end:]) - len(through[end:].lstrip())
            token = next((t for t in self._ends if through.startswith(t, end + gap)), None)
            answers.append(
                (start, len(through.rstrip()) if token is None else end + gap + len(token))
            )
        return self._apply(turns), answers

    def _plain(self, turns: list[Turn]) -> tuple[str, list[tuple[int, int]]]:
        text, answers = "", []
        for turn in turns:
            if turn["role"] == "assistant" and turn["content"]:
                start, text = len(text), text + turn["content"] + self._tokenizer.eos_token
                answers.append((start, len(text)))
            else:
                text += turn["content"] + "\n"
        return text, answers

    def _apply(self, turns: list[Turn], *, prompt: bool = False) -> str:
        text: str = self._tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=prompt,
            chat_template=self._template,
        )
        return text


class Computation:
    """Computes with the job's model on a device."""

    def __init__(self, job: Job, model: Path, device: str) -> None:
        self._job, self._model, self._device = job, model, device
        self.dtype: str = job.choice("compute_dtype")

    def evaluation_loss(self, samples: list[Sample], adapter: Path | None) -> float:
        """Return the mean NLL per supervised token, with an adapter or for the base model alone."""
        model = self._base()
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
        model.eval()
        with torch.no_grad():
            total = math.fsum(self._nll(model, sample).item() for sample in samples)
        return total / sum(sample.supervised for sample in samples)

    def train(self, samples: list[Sample]) -> tuple[int, Iterator[float]]:
        """Return the number of trainable parameters, and an iterator over the step losses."""
        spec = self._job.spec
        training, lora = spec["training"], spec["lora"]
        base = self._base()
        set_seed(training["seed"])  # immediately before get_peft_model, to seed the adapter
        model = get_peft_model(
            base,
            LoraConfig(
                task_type="CAUSAL_LM",
                r=lora["rank"],
                lora_alpha=lora["alpha"],
                lora_dropout=lora["dropout"],
                target_modules=lora["target_modules"],
            ),
        )
        trainable: int = model.get_nb_trainable_parameters()[0]
        return trainable, self._steps(model, samples, training)

    def _steps(
        self, model: Any, samples: list[Sample], training: dict[str, Any]
    ) -> Iterator[float]:
        batch = training["per_device_batch_size"] * training["gradient_accumulation_steps"]
        per_epoch = -(-len(samples) // batch)
        total = training["max_steps"] or training["epochs"] * per_epoch
        warmup = training["warmup_steps"]
        parameters = [each for each in model.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, lr=training["learning_rate"], weight_decay=training["weight_decay"]
        )
        kind = training["lr_scheduler"].replace("constant", "constant_with_warmup")
        steps = warmup if isinstance(warmup, int) else math.ceil(warmup * total)
        schedule = get_scheduler(kind, optimizer, steps, total)
        model.train()
        for step in range(total):
            epoch, index = divmod(step, per_epoch)
            rows = order(f"{training['seed']}:{epoch}", len(samples))
            window = [samples[row] for row in rows[index * batch : (index + 1) * batch]]
            tokens = sum(sample.supervised for sample in window)
            loss = 0.0
            for sample in window:
                part = self._nll(model, sample) / tokens
                part.backward()  # type: ignore[no-untyped-call]  # untyped in torch
                loss += part.item()
            torch.nn.utils.clip_grad_norm_(parameters, training["max_grad_norm"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield loss

    def _nll(self, model: Any, sample: Sample) -> torch.Tensor:
        with self._autocast():
            logits = model(input_ids=torch.tensor([sample.ids], device=self._device)).logits
        labels = torch.tensor(sample.labels[1:], device=self._device)
        return torch.nn.functional.cross_entropy(
            logits[0, :-1].float(), labels, ignore_index=-100, reduction="sum"
        )

    def _base(self) -> Any:
        dtype = getattr(torch, self.dtype)
        base = AutoModelForCausalLM.from_pretrained(
            self._model,
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=self._job.choice("double_quant"),
                bnb_4bit_compute_dtype=dtype,
            ),
            dtype=dtype,
            device_map={"": self._device},
            local_files_only=True,
        )
        for module in base.modules():
            if isinstance(module, Linear4bit):
                # Otherwise a CPU with AVX512-BF16 repacks the weights at the first forward pass without gradients and rounds the scales.
                module.support_avx512bf16_for_cpu = False
        return base

    def _autocast(self) -> AbstractContextManager[object]:
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self._device, dtype=getattr(torch, self.dtype))


def compare(
    job: Job, computation: Computation, adapter: Path, data: list[list[Sample]]
) -> Iterator[Line]:
    """Yield the table's lines as they are computed."""
    train, evaluation = data
    summary = job.summary
    near, far = TOLERANCES[computation.dtype]
    yield Line("training rows", summary["train_rows"], len(train), 0)
    yield Line("evaluation rows", summary["eval_rows"], len(evaluation), 0)
    if summary["base_eval_loss"] is not None:
        loss = computation.evaluation_loss(evaluation, None)
        yield Line("base eval loss", summary["base_eval_loss"], loss, near)
    trainable, losses = computation.train(train)
    yield Line("trainable parameters", summary["trainable_parameters"], trainable, 0)
    if job.spec["lora"]["dropout"]:
        print(
            "Step losses are not compared: lora.dropout draws different random numbers for different batches."
        )
    else:
        for step, reported in enumerate(job.losses, start=1):
            tolerance = near if step == 1 else far
            yield Line(f"loss of step {step}", reported, next(losses), tolerance)
    loss = computation.evaluation_loss(evaluation, adapter)
    yield Line("eval loss", summary["eval_loss"], loss, near)
    perplexity = math.exp(loss) if loss < 700 else math.inf
    yield Line("perplexity", float(summary["perplexity"]), perplexity, near * perplexity)


def main(arguments: argparse.Namespace) -> int:
    """Compare, print the table, and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter"
        job = fetch_job(arguments.server, arguments.job, arguments.steps, adapter)
        spec, training = job.spec, job.spec["training"]
        parts = read_parts(arguments.rows, spec["dataset"]["train"])
        if spec["dataset"]["eval"] is None:
            parts, evaluation = hold_out(parts, spec["dataset"]["eval_size"], training["seed"])
        elif arguments.eval_rows is None:
            raise CannotCompute(
                "the job has its own evaluation dataset: pass its file with --eval-rows"
            )
        else:
            evaluation = read_rows(arguments.eval_rows, spec["dataset"]["eval"])
        tokens = Tokens(arguments.model, training["max_length"], job.created_at)
        data = [use(parts, tokens, training["seed"]), tokens.samples(evaluation)]
        computation = Computation(job, arguments.model, arguments.device)
        print(f"{arguments.job}, computed in {computation.dtype} on {arguments.device}")
        print(
            f"{'figure':<22} {'reported':>15} {'recomputed':>15} {'difference':>11} {'tolerance':>9}"
        )
        beyond = 0
        for line in compare(job, computation, adapter, data):
            shown = [
                f"{value:>15,}" if isinstance(value, int) else f"{value:>15.8g}"
                for value in (line.reported, line.recomputed)
            ]
            difference = f"{line.recomputed - line.reported:>11.2g} {line.tolerance:>9.2g}"
            mark = "" if line.is_within else "  BEYOND"
            print(f"{line.figure:<22} {' '.join(shown)} {difference}{mark}", flush=True)
            beyond += not line.is_within
    print(f"{beyond} beyond tolerance" if beyond else "all within tolerance")
    return 1 if beyond else 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the given arguments, or else the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("server", help="the server's address")
    parser.add_argument("job", help="id of a job that succeeded")
    parser.add_argument("model", type=Path, help="the model's directory")
    parser.add_argument(
        "rows",
        type=Path,
        nargs="+",
        help="the uploaded training file, or the files of several datasets in the order of the spec",
    )
    parser.add_argument("--eval-rows", type=Path, help="the evaluation file, if the job has one")
    parser.add_argument(
        "--steps",
        type=int,
        default=3,
        help="number of steps to retrain, from the first (default: 3)",
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, help=f"torch device (default: {device})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    disable_progress_bar()
    try:
        sys.exit(main(parse_arguments()))
    except (CannotCompute, OSError) as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
