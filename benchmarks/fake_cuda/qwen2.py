"""Jobs on a fake GPU: Qwen2's published sizes, and the demand of their training step. Import it after `fake_cuda.enable`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Size:
    """The sizes of a Qwen2 or Qwen2.5 model."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int = 151_936
    tied: bool = True
    double_quant: bool = False
    """What `auto` chooses: on for at least 3 billion parameters."""


SIZES = {
    "0.5B": Size(896, 4864, 24, 14, 2),
    "1.5B": Size(1536, 8960, 28, 12, 2),
    "3B": Size(2048, 11_008, 36, 16, 2, double_quant=True),
    "7B": Size(3584, 18_944, 28, 28, 4, vocabulary=152_064, tied=False, double_quant=True),
    "14B": Size(5120, 13_824, 48, 40, 8, vocabulary=152_064, tied=False, double_quant=True),
}
"""From the published config.json of each model. Qwen2 and Qwen2.5 have the same shapes; 3B and 14B exist only as Qwen2.5."""
POSITIONS = 32_768
"""The longest sample that these models support, in tokens."""


def prepare() -> None:
    """Import what the training program imports, in its order. Call it after `fake_cuda.enable`."""
    from worker.training.__main__ import prepare_environment  # noqa: PLC0415 - after the fake device

    prepare_environment()
    import worker.training.compute  # noqa: F401, PLC0415 - before transformers


@contextmanager
def demand_of(size: Size, rank: int, shape: Any, *, masked: bool) -> Iterator[Any]:
    """Yield the demand of a job with micro-batches of this shape, in bfloat16; attention runs under a mask or in the varlen kernel."""
    import torch  # noqa: PLC0415 - after `prepare`
    from transformers import Qwen2Config  # noqa: PLC0415

    from contracts.job import JobSpec  # noqa: PLC0415
    from worker.training.compute.device import Device  # noqa: PLC0415
    from worker.training.memory.fake_attention import UNMASKED  # noqa: PLC0415
    from worker.training.memory.fake_model import Traits  # noqa: PLC0415
    from worker.training.memory.plan import trace_demand  # noqa: PLC0415

    config = Qwen2Config(
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        vocab_size=size.vocabulary,
        tie_word_embeddings=size.tied,
        max_position_embeddings=POSITIONS,
    )
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
