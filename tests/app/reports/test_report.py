from datetime import UTC, datetime
from typing import Any

import pytest
from wcwidth import width

from app.reports.boxed import render_markdown, render_report
from app.reports.verdict_words import verdict_hint
from contracts.failure import Language
from contracts.summary import Summary
from contracts.verdicts.verdict import VerdictCode
from tests.factories import make_summary
from tests.judged.bad_runs import BAD
from tests.judged.good_runs import GOOD

# The figures of the reference run, and the report that its author's tool printed (borders stripped).
REFERENCE: dict[str, Any] = {
    "model": "Qwen/Qwen2-0.5B-Instruct",
    "finished_at": datetime(2025, 12, 29, 20, 21, tzinfo=UTC),
    "duration_seconds": 6720.0,
    "steps": 6250,
    "train_loss": 1.6679,
    "eval_loss": 1.6844,
    "windows": [
        {"step": 500 * (place + 1), "loss": loss}
        for place, loss in enumerate(
            [
                1.7242,
                1.7449,
                1.7348,
                1.7085,
                1.6944,
                1.6718,
                1.6553,
                1.6578,
                1.6391,
                1.611,
                1.6138,
                1.603,
            ]
        )
    ],
    "lora_rank": 64,
    "lora_alpha": 128,
    "per_device_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "learning_rate": 2e-4,
    "lr_scheduler": "cosine",
    "train_rows": 100_000,
    "eval_rows": 2_000,
    "trainable_parameters": 35_192_832,
    "all_parameters": 529_225_600,
}
MIXED = {"dataset": "ds_01234567", "weight": 0.5, "rows": 10, "used_rows": 10}
REFERENCE_REPORT = """\
Qwen2-0.5B QLoRA 训练结果摘要

📅 训练信息
• 完成时间: 2025-12-29 20:21
• 训练时长: 1小时52分钟
• 总步数: 6250步

📊 训练指标
• 训练最终loss: 1.6679
• 验证loss: 1.6844
• 困惑度(PPL): 5.39

⚙️ 训练配置
• 模型: Qwen2-0.5B-Instruct + QLoRA
• LoRA rank: 64 | alpha: 128
• Batch大小: 4 × 4 = 16
• 学习率: 2e-4 (cosine衰减)
• 数据: 100k训练 + 2k验证

📈 Loss变化
步 500: 1.7242 | 步 1000: 1.7449 | 步 1500: 1.7348
步 2000: 1.7085 | 步 2500: 1.6944 | 步 3000: 1.6718
步 3500: 1.6553 | 步 4000: 1.6578 | 步 4500: 1.6391
步 5000: 1.6110 | 步 5500: 1.6138 | 步 6000: 1.6030

🎯 评估
• PPL 5.39: 需要改进
• 未过拟合: 训练/验证loss接近
• QLoRA限制: 仅训练6.65%参数
"""


def inside(report: str) -> list[str]:
    rows = [line for line in report.splitlines() if line.startswith("║")]
    return [line.strip("║").strip() for line in rows]


def test_the_reference_figures_produce_the_reference_report_line_by_line() -> None:
    report = render_report(Summary.model_validate(REFERENCE), "zh", UTC)

    lines = inside(report)

    assert [line for line in lines if line] == [x for x in REFERENCE_REPORT.splitlines() if x]
    assert lines[1:] == [*REFERENCE_REPORT.splitlines()[1:], ""]


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "owner/" + "a-very-long-model-name-" * 4},
        {"eval_loss": 800.0, "base_eval_loss": 2.0, "improvement_interval": {"low": -1, "high": 1}},
        {"windows": [{"step": 100_000_000 + n, "loss": 123.4567} for n in range(7)]},
        {
            "quantized_layers": 168,
            "device": "NVIDIA 一个名字很长的加速卡 with a long name 80GB SXM5 " * 2,
            "peak_memory_bytes": 5_100_000_000,
            "predicted_memory_bytes": 4_900_000_000,
            "tokens_per_second": 39.1,
            "truncated_rows": 3,
            "dropped_rows": 2,
            "overlapping_rows": 1,
        },
        {"windows": []},
        {"mixture": [MIXED, MIXED | {"dataset": "owner/" + "long-name-" * 9}]},
    ],
)
def test_every_line_of_a_report_is_64_columns_wide(
    language: Language, changes: dict[str, Any]
) -> None:
    report = render_report(make_summary(**changes), language)

    assert {width(line) for line in report.splitlines()} == {64}


def test_a_report_compares_predicted_and_measured_memory() -> None:
    memory = {"peak_memory_bytes": 5_100_000_000, "predicted_memory_bytes": 4_900_000_000}

    lines: dict[Language, str] = {
        "en": "• Peak memory: predicted 4.56 GiB, measured 4.75 GiB",
        "zh": "• 内存峰值: 预测 4.56 GiB, 实测 4.75 GiB",
    }
    for language, line in lines.items():
        assert line in inside(render_report(make_summary(**memory), language))
    assert "predicted" not in render_report(make_summary(peak_memory_bytes=1), "en")


@pytest.mark.parametrize(
    ("language", "line"),
    [("zh", "ds_01234567 × 0.5: 每轮10条"), ("en", "ds_01234567 × 0.5: 10 rows per epoch")],
)
def test_a_report_names_each_of_several_training_datasets(language: Language, line: str) -> None:
    summary = make_summary(mixture=[MIXED, MIXED | {"dataset": "owner/name"}])

    assert line in render_report(summary, language)
    assert f"- {line.replace('ds_01234567', 'owner/name')}" in render_markdown(summary, language)


def test_a_report_compares_before_and_after_if_the_base_model_was_evaluated() -> None:
    lines = inside(render_report(make_summary(base_eval_loss=2.4, eval_loss=1.6), "en"))

    assert "• Before: loss 2.4000 | PPL 11.02" in lines
    assert "• After: loss 1.6000 | PPL 4.95" in lines


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("zh", "• 验证token准确率: 训练前 51.23%, 训练后 60.00%"),
        ("en", "• Token accuracy (eval): 51.23% before, 60.00% after"),
    ],
)
def test_a_report_shows_the_token_accuracy_before_and_after_training(
    language: Language, line: str
) -> None:
    summary = make_summary(base_eval_token_accuracy=0.51234, eval_token_accuracy=0.6)

    assert line in inside(render_report(summary, language))
    assert line.removeprefix("• ") in render_markdown(summary, language)


def test_a_report_names_the_step_of_an_adapter_that_is_not_from_the_last_step() -> None:
    points = [{"step": step, "loss": loss} for step, loss in [(5, 1.6), (10, 1.7)]]
    kept = make_summary(evaluations=points, eval_loss=1.6)

    assert kept.adapter_step == 5
    assert "• After (adapter of step 5): loss 1.6000 | PPL 4.95" in inside(
        render_report(kept, "en")
    )
    assert "• 训练后(第5步的适配器): loss 1.6000 | PPL 4.95" in inside(render_report(kept, "zh"))
    assert make_summary(evaluations=points, eval_loss=1.7).adapter_step == 10


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (6720, "1小时52分钟", "1 h 52 min"),
        (200.4, "3分钟20秒", "3 min 20 s"),
        (9, "9秒", "9 s"),
        (0.2, "0秒", "0 s"),
        (3600, "1小时0分钟", "1 h 0 min"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, zh: str, en: str) -> None:
    summary = make_summary(duration_seconds=seconds)

    assert f"• 训练时长: {zh}" in inside(render_report(summary, "zh"))
    assert f"• Training time: {en}" in inside(render_report(summary, "en"))


def test_a_markdown_report_shows_the_loss_windows_as_a_table() -> None:
    markdown = render_markdown(make_summary(), "en")

    assert "| step | loss |\n|---:|---:|\n| 5 | 1.9000 |\n| 10 | 1.5000 |" in markdown


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_text_of_every_verdict_fits_the_box(language: Language) -> None:
    summaries = [case.summary for case in (*BAD, *GOOD)]

    reports = [render_report(summary, language) for summary in summaries]

    judged = {verdict.code for summary in summaries for verdict in summary.verdicts}
    assert judged == set(VerdictCode)
    for report in reports:
        assert {width(line) for line in report.splitlines()} == {64}
        assert "{" not in report
    markdown = [render_markdown(summary, language) for summary in summaries]
    assert all("{" not in text for text in markdown)


def test_a_rise_in_eval_loss_is_reported_with_the_lowest_eval_loss() -> None:
    (summary,) = [case.summary for case in BAD if case.name.startswith("overfitted: minimum early")]

    english = " ".join(inside(render_report(summary, "en")))
    assert "• Overfitted: eval loss rose from 1.5500 at step 20 to 1.9000" in english
    assert "• 过拟合: 验证loss从第20步的1.5500升至1.9000" in inside(render_report(summary, "zh"))


def test_truncated_and_dropped_rows_are_reported_with_the_total_number_of_rows() -> None:
    summary = make_summary(
        train_rows=50_000, eval_rows=2_000, truncated_rows=304, dropped_rows=2, overlapping_rows=1
    )

    english = inside(render_report(summary, "en"))
    assert "• Truncated at the maximum length: 304 of 52,002 rows" in english
    assert "• Dropped (truncated before the answer): 2 of 52,002 rows" in english
    chinese = inside(render_report(summary, "zh"))
    assert "• 52,002条数据中有304条超过最大长度, 已被截断" in chinese
    assert "• 52,002条数据中有2条截断后不含回答, 已被丢弃" in chinese
    assert "- Truncated at the maximum length: 304 of 52,002 rows" in render_markdown(summary, "en")


@pytest.mark.parametrize(("fall", "change"), [(0.002, "-0.0020"), (-0.001, "+0.0010")])
def test_a_change_in_eval_loss_is_shown_with_its_sign(fall: float, change: str) -> None:
    summary = make_summary(base_eval_loss=2.0, eval_loss=2.0 - fall)

    english = "• No clear gain over the base model: eval loss changed by "
    assert f"{english}{change}" in " ".join(inside(render_report(summary, "en")))
    assert f"• 较基座模型无明显提升: 验证loss变化{change}" in inside(render_report(summary, "zh"))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_warning_says_what_to_do(language: Language) -> None:
    verdicts = [verdict for case in (*BAD, *GOOD) for verdict in case.summary.verdicts]
    without = {
        verdict.code
        for verdict in verdicts
        if verdict.level == "warning" and verdict_hint(verdict, language) is None
    }

    assert without <= {VerdictCode.DIVERGED}, "its message already says what to do"
