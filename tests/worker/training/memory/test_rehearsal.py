"""The probe before training checks the plan, and raises the budget if a step takes less memory than predicted."""

from pathlib import Path
from typing import Any

import pytest

from tests.worker.training.harness.run_directory import losses, make_run_dir, run_here, summary_of
from worker.training import run as program
from worker.training.memory.fit import Choice
from worker.training.memory.plan import MemoryPlan
from worker.training.memory.rehearsal import raise_budget
from worker.training.state import Run


@pytest.mark.parametrize("works", [True, False], ids=["fits", "runs out of memory"])
def test_a_budget_is_raised_and_kept_only_if_the_larger_micro_batch_works(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    raised: list[int] = []

    class Cheaper(MemoryPlan):
        def raised_tokens(self, *_arguments: Any) -> int:
            return 4096

    def probe(run: Run, plan: MemoryPlan) -> None:
        run.token_budget = 512
        samples = list(run.data.train[:8])
        cheaper = Cheaper(plan.reason, choice=Choice(512, False, True, "", 0))
        if not works:
            attend = run.model.body.forward

            def fail(*arguments: Any, **options: Any) -> Any:
                run.model.body.forward = attend
                raise RuntimeError("CUDA error: out of memory")

            run.model.body.forward = fail
        run.remember_generators()
        raise_budget(run, cheaper, samples, 1)
        raised.append(run.token_budget)

    monkeypatch.setattr(program, "try_largest_batch", probe)
    run_dir = make_run_dir(tmp_path, tiny_model)

    assert run_here(run_dir).status == "succeeded"

    assert raised == [4096 if works else 512]
    assert summary_of(run_dir).choices["token_budget"]["value"] == raised[0]
    assert losses(run_dir)
