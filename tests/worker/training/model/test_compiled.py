"""Compiled layers are used only if their results equal those of uncompiled ones. They need no graph for each size."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager
from torch._dynamo.utils import counters

from tests.worker.training.learning.test_loss import set_nonzero_weights
from tests.worker.training.model.test_fused_lora import difference, gradients
from worker.training.model import load as loading
from worker.training.model.compiled import compile_if_proven
from worker.training.model.trainable import TrainableModel

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler emits its own warnings
Load = Callable[..., TrainableModel]
BUDGETS = (48, 64, 128, 200)
WITHOUT_LORA_ON_MOST = {"rank": 8, "alpha": 16, "target_modules": ["q_proj"]}


class Graphs:
    """A compiler for graphs that counts them."""

    def __init__(self, compiler: Any) -> None:
        self.count = 0
        self._compiler = compiler

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.count += 1
        return self._compiler(graph, inputs)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def load_compiled(
    load: Load, monkeypatch: pytest.MonkeyPatch, compiler: Any, **changes: Any
) -> tuple[TrainableModel, Graphs]:
    """Load a model whose layers are compiled by this compiler."""
    graphs = Graphs(compiler)
    monkeypatch.setattr(loading, "compile_if_proven", partial(compile_if_proven, backend=graphs))
    engine = {"compile": True} | changes.pop("engine", {})
    return set_nonzero_weights(load(engine=engine, **changes)), graphs


def assert_same_results(
    model: TrainableModel, expected: TrainableModel, budgets: tuple[int, ...] = BUDGETS
) -> None:
    for budget in budgets:
        loss, found = gradients(model, budget)
        expected_loss, of_uncompiled = gradients(expected, budget)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        assert difference(found, of_uncompiled) < 1e-5


@pytest.mark.slow
def test_one_set_of_graphs_serves_all_layers_and_all_budgets(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, graphs = load_compiled(load, monkeypatch, aot_eager, lora=WITHOUT_LORA_ON_MOST)
    after_load = graphs.count

    assert_same_results(model, set_nonzero_weights(load(lora=WITHOUT_LORA_ON_MOST)))

    assert model.compiled, model.compile_reason
    assert not counters["graph_break"]
    # First layer, others, evaluation; each with and without a mask. torch may give a graph to the compiler twice.
    assert counters["stats"]["unique_graphs"] == 6
    assert graphs.count == after_load


@pytest.mark.slow  # each graph takes seconds to trace
@pytest.mark.parametrize(
    "engine",
    [{}, {"dequantize_base": True}, {"fused_lora": True}],
    ids=["4-bit", "dequantised", "fused"],
)
def test_traced_graphs_yield_the_same_gradients_even_with_recomputed_activations(
    load: Load, monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any]
) -> None:
    lora = WITHOUT_LORA_ON_MOST | {"dropout": 0.1}
    model, _ = load_compiled(load, monkeypatch, aot_eager, lora=lora, engine=engine)
    assert model.compiled, model.compile_reason
    expected = set_nonzero_weights(load(lora=lora, engine=engine | {"fused_lora": False}))
    assert_same_results(model, expected, (64,))

    model.checkpoint_activations()
    expected.checkpoint_activations()
    assert_same_results(model, expected, (64,))

    assert not counters["graph_break"]


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (lambda *_: 1 / 0, "compiled layers failed: BackendCompilerFailed"),
        (
            lambda graph, _: lambda *inputs: [1.01 * output for output in graph(*inputs)],
            "compiled layers returned a different result",
        ),
    ],
    ids=["fails", "wrong"],
)
def test_a_compiler_that_fails_or_changes_the_results_is_not_used(
    load: Load, monkeypatch: pytest.MonkeyPatch, compiler: Any, reason: str
) -> None:
    model, _ = load_compiled(load, monkeypatch, compiler, lora=WITHOUT_LORA_ON_MOST)

    assert not model.compiled
    assert reason in model.compile_reason
    plain = set_nonzero_weights(load(lora=WITHOUT_LORA_ON_MOST))
    assert gradients(model)[0] == pytest.approx(gradients(plain)[0], rel=1e-6)


def test_the_proof_leaves_the_adapter_and_the_random_numbers_as_they_were(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        loading, "compile_if_proven", partial(compile_if_proven, backend=lambda *_: 1 / 0)
    )
    plain = load()
    state = torch.get_rng_state()

    model = load(engine={"compile": True})

    assert torch.equal(torch.get_rng_state(), state)
    for own, expected in zip(model.adapter_parameters, plain.adapter_parameters, strict=True):
        assert torch.equal(own, expected)


def test_layers_that_cannot_be_found_stay_uncompiled(load: Load) -> None:
    model = load()

    found = compile_if_proven(torch.nn.Linear(2, 2), model.head, model.device)

    assert found == (False, "this architecture has no list of decoder layers to compile")
