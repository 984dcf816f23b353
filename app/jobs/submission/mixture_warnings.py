"""Warnings about datasets of a mixture of which a job uses almost nothing."""

from collections.abc import Mapping, Sequence

from app.datasets.review.schemas import JobWarning
from contracts.failure import Language
from contracts.job import JobSpec
from contracts.run.mixture import used_rows

WORDS: Mapping[str, Mapping[Language, str]] = {
    "weight_too_small": {
        "en": "An epoch uses only 1 of the {rows:,} training rows of {dataset}: {rows:,} × {weight:g} is less than one row, and at least one is "
        "used. Raise its weight, or remove the dataset.",
        "zh": "每个 epoch 只使用 {dataset} 的 {rows:,} 条训练数据中的 1 条：{rows:,} × {weight:g} 不足一条，而每个数据集至少使用一条。请提高其权重，或移除该数据集。",
    },
    "too_few_steps": {
        "en": "The job will probably use no row of {dataset}: its {steps:,} steps use {passes:,} of the {epoch:,} rows of an epoch, and only "
        "{used:,} of these are from {dataset}. Raise training.max_steps or the weight of the dataset, or remove it.",
        "zh": "任务很可能用不到 {dataset} 的数据：{steps:,} 步只使用一个 epoch 的 {epoch:,} 条数据中的 {passes:,} 条，而其中只有 {used:,} 条来自 {dataset}。"
        "请调大 training.max_steps 或该数据集的权重，或移除该数据集。",
    },
}


def find_unused(
    spec: JobSpec, params: Sequence[str], rows: Sequence[int], language: Language
) -> list[JobWarning]:
    """Return a warning for each dataset of which at most one row is used, although it has more.

    `params`: the path of each dataset in the spec. `rows`: its training rows, without those that are held out.
    """
    if not spec.dataset.is_mixed:
        return []
    uses = [
        used_rows(count, part.weight) for count, part in zip(rows, spec.dataset.parts, strict=True)
    ]
    epoch, steps = sum(uses), spec.training.max_steps
    passes = epoch if steps is None else min(epoch, steps * spec.effective_batch_size)
    warnings = []
    for param, part, count, used in zip(params, spec.dataset.parts, rows, uses, strict=True):
        if count * part.weight < 0.5:
            code, kept = "weight_too_small", 1
        elif used * passes < epoch:
            code, kept = "too_few_steps", 0
        else:
            continue
        message = WORDS[code][language].format(
            dataset=part.name,
            rows=count,
            weight=part.weight,
            steps=steps,
            passes=passes,
            epoch=epoch,
            used=used,
        )
        warnings.append(JobWarning(param=param, code=code, rows=kept, message=message))
    return warnings
