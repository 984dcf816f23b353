"""The formula for memory, compared with traces of the training step by `benchmarks/memory_plan.py` and `memory_fits.py`."""

import pytest

from app.plans.memory import Load, MemoryNeed, Setup
from contracts.model_facts import ModelFacts, ModelSizes
from tests.app.plans.planned import QWEN
from tests.factories import make_spec

SIZES_7B = ModelSizes(
    hidden=3584,
    intermediate=18_944,
    attention=4608,
    layers=28,
    vocabulary=152_064,
    linear_parameters=28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18_944),
    largest_linear=3584 * 18_944,
    adapter_sides={
        **{f"{name}_proj": 28 * (3584 + 18_944) for name in ("down", "gate", "up")},
        **{f"{name}_proj": 28 * 2 * 3584 for name in "qo"},
        **{f"{name}_proj": 28 * (3584 + 512) for name in "kv"},
    },
)
SEVEN = ModelFacts(name="7B", parameters=7_615_616_512, bytes=15_231_233_024, sizes=SIZES_7B)


@pytest.mark.parametrize(
    ("facts", "rank", "tokens", "recomputes", "traced"),
    [
        (QWEN, 64, 1024, False, 1_036_979_200 + 2_039_325_184),
        (QWEN, 64, 1024, True, 1_036_979_200 + 672_174_592),
        (QWEN, 64, 4096, False, 1_036_979_200 + 6_799_371_776),
        (QWEN, 8, 4096, True, 544_279_552 + 1_540_967_936),
        (SEVEN, 64, 1024, False, 8_129_150_976 + 7_029_682_688),
        (SEVEN, 64, 4096, False, 8_129_150_976 + 26_003_671_040),
        (SEVEN, 64, 4096, True, 8_129_150_976 + 2_376_681_984),
        (SEVEN, 8, 1024, True, 5_868_421_120 + 850_956_800),
    ],
)
def test_the_formula_is_within_ten_percent_of_the_traced_step_on_a_gpu(
    facts: ModelFacts, rank: int, tokens: int, recomputes: bool, traced: int
) -> None:
    assert facts.sizes is not None
    need = MemoryNeed(make_spec(lora={"rank": rank}), facts, facts.sizes, Load(tokens, tokens, 0.5))

    predicted = need.peak_bytes(Setup("cuda", 2, recomputes, False, tokens))

    assert predicted == pytest.approx(traced, rel=0.1)


@pytest.mark.parametrize(
    ("width", "tokens", "recomputes", "resident", "step"),
    [
        (4, 256, False, 1_326_793_216, 806_619_136),
        (4, 1024, False, 1_326_793_216, 2_871_554_048),
        (4, 1024, True, 1_326_793_216, 363_364_352),
        (2, 512, False, 1_045_695_488, 1_304_793_088),
        (2, 1024, False, 1_045_695_488, 2_066_324_480),
    ],
)
def test_the_formula_is_within_ten_percent_of_the_traced_step_on_a_cpu(
    width: int, tokens: int, recomputes: bool, resident: int, step: int
) -> None:
    assert QWEN.sizes is not None
    need = MemoryNeed(make_spec(), QWEN, QWEN.sizes, Load(tokens, tokens, 0.5))
    setup = Setup("cpu", width, recomputes, False, tokens)

    assert need._resident_bytes(setup) == pytest.approx(resident, rel=0.02)
    assert need._step_bytes(setup) == pytest.approx(step, rel=0.1)


def test_a_small_gpu_gets_a_smaller_micro_batch_and_then_recomputed_activations() -> None:
    need = MemoryNeed(make_spec(), SEVEN, SIZES_7B, Load(1024, 16_384, 0.5))

    large, middle, small = (need.choose("cuda", 2, size * 2**30) for size in (80, 24, 12))

    assert (large.recomputes, middle.recomputes, small.recomputes) == (False, False, True)
    # docs/gpu.md: 10,534, 2,072 and 4,493 tokens.
    assert large.tokens == pytest.approx(10_534, rel=0.15)
    assert middle.tokens == pytest.approx(2072, rel=0.3)
    assert small.tokens >= 1024
