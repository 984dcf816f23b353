"""Texts for verdicts in English and Chinese: the result, and a recommended action."""

from collections.abc import Mapping

from app.reports.figures import perplexity_text
from contracts.failure import Language
from contracts.verdicts.verdict import Verdict, VerdictCode


def verdict_message(verdict: Verdict, language: Language) -> str:
    """Return a sentence or phrase with the verdict's values, as in the boxed report."""
    figures: dict[str, float | str] = dict(verdict.figures)
    for name in ("perplexity", "base_perplexity"):
        if name in verdict.figures:
            figures[name] = perplexity_text(verdict.figures[name])
    if "loss_fall" in verdict.figures:
        figures["loss_rise"] = -verdict.figures["loss_fall"]
    rose = "lowest_eval_loss" in figures
    words = _EVAL_LOSS_ROSE[language] if rose else _MESSAGES[language][verdict.code]
    return words.format(**figures)


def verdict_hint(verdict: Verdict, language: Language) -> str | None:
    """Return the recommended action for the verdict, or None."""
    return _HINTS[language].get(verdict.code)


_MESSAGES: Mapping[Language, Mapping[VerdictCode, str]] = {
    "zh": {
        VerdictCode.DIVERGED: "训练发散: 末段训练loss为{recent_train_loss:.4f}, 适配器不可用, 请降低学习率后重新训练",
        VerdictCode.DEGENERATE_DATA: "数据过于单一, loss无法反映效果: "
        "训练集{train_rows:.0f}条, 去重后{train_distinct_rows:.0f}条, "
        "最常见的回答占{train_top_answer_share:.0%}; "
        "验证集{eval_rows:.0f}条, 去重后{eval_distinct_rows:.0f}条, "
        "最常见的回答占{eval_top_answer_share:.0%}",
        VerdictCode.LEAKED_EVALUATION: "验证数据泄漏: {eval_rows:.0f}条验证数据中有{rows:.0f}条({share:.1%})"
        "也出现在训练数据中, 验证loss偏低",
        VerdictCode.FEW_EVAL_ROWS: "验证数据仅{rows:.0f}条, 指标不可靠",
        VerdictCode.PERPLEXITY_EXCELLENT: "PPL {perplexity}: 优秀",
        VerdictCode.PERPLEXITY_GOOD: "PPL {perplexity}: 良好",
        VerdictCode.PERPLEXITY_NEEDS_WORK: "PPL {perplexity}: 需要改进",
        VerdictCode.PERPLEXITY_OF_BASE: "PPL {perplexity}: 基座模型训练前已达{base_perplexity}",
        VerdictCode.NOT_OVERFITTED: "未过拟合: 训练/验证loss接近",
        VerdictCode.EVAL_BELOW_TRAIN: "未过拟合: 验证loss低于近期训练loss",
        VerdictCode.EVAL_STILL_FALLING: "未过拟合: 验证loss仍在下降",
        VerdictCode.GAP_UNCHANGED: "未过拟合: 训练/验证loss的差距在训练前就已存在",
        VerdictCode.OVERFITTED: "过拟合: 验证loss {eval_loss:.4f} 明显高于近期训练loss {recent_train_loss:.4f}",
        VerdictCode.TRAINABLE_SHARE: "QLoRA限制: 仅训练{share:.2%}参数",
        VerdictCode.IMPROVED: "优于基座模型: 验证loss下降{loss_fall:.4f}",
        VerdictCode.NOT_IMPROVED: "较基座模型无明显提升: 验证loss变化{loss_rise:+.4f}",
        VerdictCode.WORSE_THAN_BASE: "不如基座模型: 验证loss上升{loss_rise:.4f}",
        VerdictCode.ROWS_TRUNCATED: "{of:,.0f}条数据中有{rows:,.0f}条超过最大长度, 已被截断",
        VerdictCode.ROWS_DROPPED: "{of:,.0f}条数据中有{rows:,.0f}条截断后不含回答, 已被丢弃",
        VerdictCode.ROWS_OVERLAP: "{rows:.0f}条验证数据也出现在训练数据中",
    },
    "en": {
        VerdictCode.DIVERGED: "Diverged: train loss ended at {recent_train_loss:.4f}. The adapter is unusable; "
        "train again with a lower learning rate",
        VerdictCode.DEGENERATE_DATA: "Too little variety in the data for the losses to mean anything: "
        "{train_distinct_rows:.0f} of {train_rows:.0f} training rows are distinct, "
        "{train_top_answer_share:.0%} have the same answer; "
        "{eval_distinct_rows:.0f} of {eval_rows:.0f} evaluation rows are distinct, "
        "{eval_top_answer_share:.0%} have the same answer",
        VerdictCode.LEAKED_EVALUATION: "Leaked evaluation data: {rows:.0f} of {eval_rows:.0f} evaluation rows ({share:.1%}) "
        "are also in the training data, so the eval loss is too low",
        VerdictCode.FEW_EVAL_ROWS: "Too few evaluation rows to rely on: {rows:.0f}",
        VerdictCode.PERPLEXITY_EXCELLENT: "PPL {perplexity}: excellent",
        VerdictCode.PERPLEXITY_GOOD: "PPL {perplexity}: good",
        VerdictCode.PERPLEXITY_NEEDS_WORK: "PPL {perplexity}: needs work",
        VerdictCode.PERPLEXITY_OF_BASE: "PPL {perplexity}: the base model already had {base_perplexity}",
        VerdictCode.NOT_OVERFITTED: "Not overfitted: train and eval loss are close",
        VerdictCode.EVAL_BELOW_TRAIN: "Not overfitted: eval loss is below the recent train loss",
        VerdictCode.EVAL_STILL_FALLING: "Not overfitted: eval loss was still falling",
        VerdictCode.GAP_UNCHANGED: "Not overfitted: the gap between eval and train loss existed before training",
        VerdictCode.OVERFITTED: "Overfitted: eval loss {eval_loss:.4f} is well above the recent train loss {recent_train_loss:.4f}",
        VerdictCode.TRAINABLE_SHARE: "QLoRA limit: only {share:.2%} of the parameters were trained",
        VerdictCode.IMPROVED: "Better than the base model: eval loss fell by {loss_fall:.4f}",
        VerdictCode.NOT_IMPROVED: "No clear gain over the base model: eval loss changed by {loss_rise:+.4f}",
        VerdictCode.WORSE_THAN_BASE: "Worse than the base model: eval loss rose by {loss_rise:.4f}",
        VerdictCode.ROWS_TRUNCATED: "Truncated at the maximum length: {rows:,.0f} of {of:,.0f} rows",
        VerdictCode.ROWS_DROPPED: "Dropped (truncated before the answer): {rows:,.0f} of {of:,.0f} rows",
        VerdictCode.ROWS_OVERLAP: "{rows:.0f} evaluation rows are also in the training data",
    },
}

_EVAL_LOSS_ROSE: Mapping[Language, str] = {
    "zh": "过拟合: 验证loss从第{lowest_eval_step:.0f}步的{lowest_eval_loss:.4f}升至{eval_loss:.4f}",
    "en": "Overfitted: eval loss rose from {lowest_eval_loss:.4f} at step {lowest_eval_step:.0f} to {eval_loss:.4f}",
}
"""Used for OVERFITTED if the eval loss rose after its minimum."""

_HINTS: Mapping[Language, Mapping[VerdictCode, str]] = {
    "zh": {
        VerdictCode.DEGENERATE_DATA: "请去除重复数据，补充不同的问题和回答后再训练。",
        VerdictCode.LEAKED_EVALUATION: "请从训练数据中删除这些条目，或改用另一份验证数据，再比较验证 loss。",
        VerdictCode.FEW_EVAL_ROWS: "请增加验证数据，例如提高 dataset.eval_size，再据此判断效果。",
        VerdictCode.PERPLEXITY_NEEDS_WORK: "如果验证 loss 仍在下降，可增加训练轮数；否则请增加或清洗数据，或换用更大的模型。",
        VerdictCode.EVAL_STILL_FALLING: "可增加训练轮数或步数，loss 可能进一步降低。",
        VerdictCode.OVERFITTED: "请减少训练轮数、启用早停、增加数据，或提高 LoRA dropout。",
        VerdictCode.NOT_IMPROVED: "请检查数据与任务是否匹配；若匹配，可提高学习率或增加训练步数。",
        VerdictCode.WORSE_THAN_BASE: "请勿使用该适配器。请检查数据格式，降低学习率后重新训练。",
        VerdictCode.ROWS_TRUNCATED: "如果被截断的内容重要，请提高 training.max_length。",
        VerdictCode.ROWS_DROPPED: "请提高 training.max_length，或缩短这些数据的提示部分。",
        VerdictCode.ROWS_OVERLAP: "请从训练数据中删除这些条目，否则验证 loss 会略微偏低。",
    },
    "en": {
        VerdictCode.DEGENERATE_DATA: "Remove the duplicates and add rows with other questions and answers, then train again.",
        VerdictCode.LEAKED_EVALUATION: "Remove these rows from the training data, or evaluate on other rows, before you compare eval losses.",
        VerdictCode.FEW_EVAL_ROWS: "Use more evaluation rows, for example with a higher dataset.eval_size, before you judge the result.",
        VerdictCode.PERPLEXITY_NEEDS_WORK: "If the eval loss is still falling, train for more epochs; otherwise, add or clean data, or use a larger model.",
        VerdictCode.EVAL_STILL_FALLING: "More epochs or steps may lower it further.",
        VerdictCode.OVERFITTED: "Train for fewer epochs, use early stopping, add data, or raise the LoRA dropout.",
        VerdictCode.NOT_IMPROVED: "Check that the data fits the task; if it does, raise the learning rate or train for more steps.",
        VerdictCode.WORSE_THAN_BASE: "Do not use this adapter. Check the format of the data, and train again with a lower learning rate.",
        VerdictCode.ROWS_TRUNCATED: "If the part that was cut matters, raise training.max_length.",
        VerdictCode.ROWS_DROPPED: "Raise training.max_length, or shorten the prompts of these rows.",
        VerdictCode.ROWS_OVERLAP: "Remove these rows from the training data; they make the eval loss slightly too low.",
    },
}
"""There is no action for DIVERGED, whose message already says what to do, or for a good or neutral verdict."""
