from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Params4bit

from worker.training.compute.cpu_linear import share_weights


def make_layer(
    inputs: int,
    outputs: int,
    *,
    nested: bool,
    bias: bool,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Any:
    torch.manual_seed(seed)
    layer = Linear4bit(
        inputs,
        outputs,
        bias=bias,
        compute_dtype=dtype,
        quant_type="nf4",
        compress_statistics=nested,
    )
    layer.weight = Params4bit(
        torch.randn(outputs, inputs, dtype=dtype),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=nested,
    )
    layer.support_avx512bf16_for_cpu = False
    return layer.to("cpu")


def product_and_gradient(layer: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    placed = inputs.clone().requires_grad_()
    product = layer(placed)
    product.backward(torch.ones_like(product) * 0.5)
    assert placed.grad is not None
    return product.detach(), placed.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_products_and_gradients_equal_those_of_bitsandbytes_bit_for_bit(
    nested: bool, bias: bool, dtype: torch.dtype
) -> None:
    layers = [
        make_layer(256, 64, nested=nested, bias=bias, dtype=dtype),
        make_layer(64, 192, nested=nested, bias=bias, seed=1, dtype=dtype),
    ]
    inputs = [torch.randn(2, 5, layer.in_features, dtype=dtype) for layer in layers]
    expected = [product_and_gradient(*pair) for pair in zip(layers, inputs, strict=True)]

    assert share_weights(layers)

    for layer, given, (product, gradient) in zip(layers, inputs, expected, strict=True):
        found = product_and_gradient(layer, given)
        assert torch.equal(found[0], product)
        assert torch.equal(found[1], gradient)


def test_gradients_are_correct_even_if_other_layers_have_reused_the_buffer() -> None:
    layers = [make_layer(64, 64, nested=False, bias=False, seed=seed) for seed in range(3)]
    plain = [make_layer(64, 64, nested=False, bias=False, seed=seed) for seed in range(3)]
    inputs = torch.randn(4, 64)

    assert share_weights(layers)

    first, second, third = layers
    found = product_and_gradient(lambda x: third(second(first(x)).tanh()).tanh(), inputs)
    first, second, third = plain
    expected = product_and_gradient(lambda x: third(second(first(x)).tanh()).tanh(), inputs)
    assert torch.equal(found[1], expected[1])


def test_all_layers_unpack_into_one_buffer() -> None:
    layers = [make_layer(64, 128, nested=False, bias=False, seed=seed) for seed in range(2)]

    assert share_weights(layers)

    places = {layer.shared_weights.unpack(layer).data_ptr() for layer in layers}
    assert len(places) == 1


def test_layers_are_unchanged_if_the_library_or_a_layer_size_is_unsupported() -> None:
    layer = make_layer(64, 64, nested=False, bias=False)
    # Each row of 96 weights ends in the middle of a 64-weight quantisation block.
    misaligned = make_layer(96, 64, nested=False, bias=False)

    assert not share_weights([layer], library=SimpleNamespace())
    assert not share_weights([layer, misaligned])

    assert not hasattr(layer, "shared_weights")
    assert "forward" not in vars(layer)


def test_a_kernel_with_wrong_results_is_not_used() -> None:
    layer = make_layer(64, 64, nested=False, bias=False)
    library = SimpleNamespace(cdequantize_blockwise_cpu_nf4_fp32=lambda *_: None)

    assert not share_weights([layer], library=library)

    assert "forward" not in vars(layer)
