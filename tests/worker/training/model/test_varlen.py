"""Attention through a varlen kernel. No test machine has a GPU, so a reference replaces torch's kernel."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from contracts.job import JobSpec
from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.compute.device import Device, choose_device
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.model import varlen
from worker.training.model.load import load_model, maskless_attention
from worker.training.model.proofs import attention_of, prefer
from worker.training.model.segments import SEGMENTS
from worker.training.model.trainable import TrainableModel
from worker.training.model.varlen import VARLEN


def reference(  # noqa: PLR0917  # the signature of torch's kernel
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """Compute what torch documents for varlen_attn, sample by sample. Arguments are [T, heads, size]."""
    assert {part.dtype for part in (query, key, value)} == {torch.bfloat16}
    assert (cu_seq_q.dtype, window_size) == (torch.int32, (-1, 0))
    assert cu_seq_k is cu_seq_q
    bounds = cu_seq_q.tolist()
    assert (bounds[0], bounds[-1]) == (0, len(query))
    lengths = [stop - start for start, stop in itertools.pairwise(bounds)]
    assert max(lengths) == max_q == max_k
    outputs = []
    for start, stop in itertools.pairwise(bounds):
        q, k, v = (whole[start:stop].transpose(0, 1)[None] for whole in (query, key, value))
        output = scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scale, enable_gqa=enable_gqa
        )
        outputs.append(output[0].transpose(0, 1))
    return torch.cat(outputs)


def mixing(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, *_: Any, **options: Any
) -> Tensor:
    """Ignore the boundaries between samples."""
    whole = torch.tensor([0, len(query)], dtype=torch.int32)
    return reference(query, key, value, whole, whole, len(query), len(query), **options)


def missing(*_: Any, **__: Any) -> Tensor:
    raise RuntimeError("no kernel for this device")


def bfloat16_spec() -> JobSpec:
    return small_spec(quantization={"compute_dtype": "bfloat16"})


@pytest.fixture
def model(tiny_model: Any) -> TrainableModel:
    """Return a bfloat16 model that uses SDPA with a mask."""
    model = load_model(tiny_model, bfloat16_spec(), choose_device("bfloat16", None))
    model.peft_model.get_base_model().set_attn_implementation("sdpa")
    return set_nonzero_weights(model)


def prefer_varlen(model: TrainableModel) -> str:
    base = model.peft_model.get_base_model()
    prefer(VARLEN, base, model.body, model.head)
    return attention_of(base)


def loss_and_gradients(model: TrainableModel) -> tuple[float, list[Tensor]]:
    model.peft_model.train()
    model.peft_model.zero_grad()
    (batch,) = pack(ragged_samples(12), 4096)
    loss = sum_nll(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    return loss.item(), [p.grad.clone() for p in model.adapter_parameters if p.grad is not None]


def test_loss_and_gradients_through_the_kernel_equal_those_with_a_dense_mask(
    model: TrainableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, gradients = loss_and_gradients(model)
    monkeypatch.setattr(varlen, "varlen_attn", reference)

    assert prefer_varlen(model) == VARLEN
    found, found_gradients = loss_and_gradients(model)

    assert found == pytest.approx(expected, rel=1e-3)
    for a, b in zip(found_gradients, gradients, strict=True):
        assert (a - b).norm() <= 3e-2 * b.norm()


def test_a_model_whose_attention_has_dropout_keeps_the_mask(
    model: TrainableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", reference)
    model.peft_model.get_base_model().config.attention_dropout = 0.1

    assert prefer_varlen(model) == "sdpa"


class Wrong(torch.autograd.Function):
    """The identity, with a wrong gradient."""

    @staticmethod
    def forward(_context: Any, part: Tensor) -> Tensor:
        return part.clone()

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return 1.2 * gradient


@pytest.mark.parametrize("operand", [0, 1, 2], ids=["queries", "keys", "values"])
def test_a_kernel_with_a_wrong_gradient_within_a_sample_is_not_used(
    model: TrainableModel, monkeypatch: pytest.MonkeyPatch, operand: int
) -> None:
    def wrong(*arguments: Any, **options: Any) -> Tensor:
        apply: Any = Wrong.apply
        parts = [apply(a) if n == operand else a for n, a in enumerate(arguments)]
        return reference(*parts, **options)

    monkeypatch.setattr(varlen, "varlen_attn", wrong)

    assert prefer_varlen(model) == "sdpa"


@pytest.mark.parametrize("kernel", [mixing, missing])
def test_a_kernel_that_mixes_samples_or_does_not_exist_is_not_used(
    model: TrainableModel, monkeypatch: pytest.MonkeyPatch, kernel: Any
) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", kernel)

    assert prefer_varlen(model) == "sdpa"


def test_torchs_own_kernel_is_not_used_on_a_cpu(model: TrainableModel) -> None:
    assert prefer_varlen(model) == "sdpa"


def test_attention_with_a_mask_or_without_boundaries_is_rejected() -> None:
    part = torch.zeros(1, 2, 3, 8)
    with pytest.raises(ValueError, match="boundaries"):
        varlen.attend(None, part, part, part, None)
    with pytest.raises(ValueError, match="masks"):
        varlen.attend(
            None,
            part,
            part,
            part,
            torch.zeros(1),
            cu_seq_lens_q=torch.tensor([0, 3]),
            max_length_q=3,
        )


@pytest.mark.parametrize(
    ("capability", "name", "compute_dtype", "compiles", "expected"),
    [
        ((8, 0), "cuda", torch.bfloat16, False, VARLEN),
        ((8, 0), "cuda", torch.bfloat16, True, VARLEN),
        ((8, 0), "cuda", torch.float32, False, None),
        ((7, 5), "cuda", torch.bfloat16, False, None),
        ((0, 0), "cpu", torch.bfloat16, False, SEGMENTS),
        ((0, 0), "cpu", torch.float32, True, None),
    ],
)
def test_each_device_tries_the_attention_that_suits_it(
    capability: tuple[int, int],
    name: str,
    compute_dtype: torch.dtype,
    compiles: bool,
    expected: str | None,
) -> None:
    device = Device(torch.device(name), name, compute_dtype, "", capability)

    assert maskless_attention(device, compiles=compiles) == expected


def test_an_architecture_without_sdpa_uses_eager_attention(tmp_path: Any) -> None:
    from transformers import GraniteSWAForCausalLM  # noqa: PLC0415

    make_other(GraniteSWAForCausalLM, tmp_path, num_key_value_heads=1)

    spec = small_spec()
    assert load_model(tmp_path, spec, choose_device("float32", None)).attention == "eager"
