"""The memory demand of a training step on a fake GPU. Import this module after `fake_cuda.enable`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fake_cuda.qwen2_sizes import Size


def prepare() -> None:
    """Import the training program's modules in the same order as that program. Call this after `fake_cuda.enable`."""
    from worker.training.__main__ import prepare_environment  # noqa: PLC0415 - after the fake device

    prepare_environment()
    import worker.training.compute  # noqa: F401, PLC0415 - before transformers


@contextmanager
def demand_of(size: Size, rank: int, shape: Any, *, masked: bool) -> Iterator[Any]:
    """Yield the memory demand of a job with micro-batches of this shape, in bfloat16; attention uses a mask or the varlen kernel."""
    import torch  # noqa: PLC0415 - after `prepare`
    from transformers import Qwen2Config  # noqa: PLC0415

    from contracts.job import JobSpec  # noqa: PLC0415
    from worker.training.compute.device import Device  # noqa: PLC0415
    from worker.training.memory.plan import trace_demand  # noqa: PLC0415
    from worker.training.memory.tracing.fake_attention import UNMASKED  # noqa: PLC0415
    from worker.training.memory.tracing.fake_model import Traits  # noqa: PLC0415

    config = Qwen2Config(**size.config())
    spec = JobSpec.model_validate(
        {
            "model": "qwen2",
            "dataset": {"train": "ds_00000000", "eval_size": 1},
            "quantization": {"double_quant": size.double_quant},
            "lora": {"rank": rank, "alpha": 2 * rank},
        }
    )
    device = Device(torch.device("cuda", 0), "a fake GPU", torch.bfloat16, "", (8, 0))
    traits = Traits("sdpa" if masked else UNMASKED, packs=True, plain_head=True)
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        yield trace_demand(Path(folder), spec, device, shape, traits)
