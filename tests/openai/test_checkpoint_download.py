"""The adapter of a checkpoint of a real training, downloaded with OpenAI's client while the job trains, works with peft."""

import zipfile
from pathlib import Path

import pytest
import torch
from openai import OpenAI
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.e2e.conftest import tiny_rows
from tests.e2e.service import Service, wait_for
from tests.openai.checks.case import SMALL

# peft 0.21 reads a transformers 5 property by its old name.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


def test_peft_loads_the_adapter_of_a_checkpoint_of_a_running_job(
    client: OpenAI, service: Service, tmp_path: Path
) -> None:
    file = client.files.create(file=("train.jsonl", tiny_rows(40).encode()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="tiny-qwen2",
        training_file=file.id,
        extra_body={"stepline": SMALL | {"training": {"max_length": 128, "max_steps": 100_000}}},
    )

    def stored() -> list[str]:
        page = client.fine_tuning.jobs.checkpoints.list(job.id)
        return [each.adapter_file for each in page.data if each.adapter_file]  # type: ignore[attr-defined]

    wait_for(lambda: bool(stored()), 120, service.logs)
    path = tmp_path / "adapter.zip"
    client.files.content(stored()[0]).write_to_file(path)
    client.fine_tuning.jobs.cancel(job.id)
    zipfile.ZipFile(path).extractall(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(service.models / "tiny-qwen2")
    plain = base(torch.arange(8)[None]).logits
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapter")(torch.arange(8)[None]).logits

    assert not torch.equal(plain, tuned)
    service.wait_for_end(job.id.replace("ftjob-", "job_"))
