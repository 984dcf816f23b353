"""Renders a summary as the boxed report (训练结果摘要) or as Markdown, in Chinese or English.

This file contains only texts and layout; contracts.summary computes all numbers and verdicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo

from wcwidth import center, ljust, width, wrap

from app.reports.figures import perplexity_text
from app.reports.verdict_words import verdict_message
from contracts.failure import Language
from contracts.summary import Summary
from contracts.values.sizes import format_bytes
from contracts.values.text import escape

COLUMNS = 64
"""Width of the box in terminal columns (wcwidth), including its borders."""
_INSIDE = COLUMNS - 2
_TEXT = _INSIDE - 4
_SEPARATOR = " | "


def render_report(summary: Summary, language: Language, zone: tzinfo | None = None) -> str:
    """Return the boxed report. `zone`: time zone of the finish time; this machine's by default."""
    words = _WORDS[language]
    lines = ["╔" + "═" * _INSIDE + "╗", "║" + center(_title(summary, words), _INSIDE) + "║"]
    lines += ["╠" + "═" * _INSIDE + "╣", _row("")]
    for heading, items in _sections(summary, language, zone):
        lines.append(_row(heading))
        for item in map(escape, items):
            lines += [_row(part) for part in wrap(item, _TEXT, subsequent_indent="  ")]
        lines.append(_row(""))
    lines.append("╚" + "═" * _INSIDE + "╝")
    return "\n".join(lines) + "\n"


def render_markdown(summary: Summary, language: Language, zone: tzinfo | None = None) -> str:
    """Return the report as Markdown, with the losses in a table."""
    words = _WORDS[language]
    parts = [f"# {_title(summary, words)}", ""]
    for heading, items in _sections(summary, language, zone):
        parts += [f"## {heading}", ""]
        if heading == words.loss_heading:
            parts += [f"| {words.step} | loss |", "|---:|---:|"]
            parts += [f"| {point.step} | {point.loss:.4f} |" for point in summary.windows]
        else:
            parts += [f"- {escape(item).removeprefix('• ').strip()}" for item in items]
        parts.append("")
    return "\n".join(parts)


@dataclass(frozen=True)
class _Words:
    title: str
    run_heading: str
    finished: str
    duration: str
    steps: str
    metrics_heading: str
    train_loss: str
    eval_loss: str
    perplexity: str
    config_heading: str
    model: str
    batch: str
    learning_rate: str
    schedules: dict[str, str]
    data: str
    mixed: str
    """One of several training datasets."""
    loss_heading: str
    step: str
    measured_heading: str
    base: str
    tuned: str
    tuned_earlier: str
    """Used if the adapter is not from the last step."""
    gain: str
    accuracy: str
    layers: str
    parameters: str
    device: str
    predicted: str
    speed: str
    verdict_heading: str
    time_units: tuple[str, str, str]
    """Hours, minutes, seconds, each with surrounding spaces."""


_WORDS: dict[Language, _Words] = {
    "zh": _Words(
        title="{model} QLoRA 训练结果摘要",
        run_heading="📅 训练信息",
        finished="• 完成时间: {at}",
        duration="• 训练时长: {duration}",
        steps="• 总步数: {steps}步",
        metrics_heading="📊 训练指标",
        train_loss="• 训练最终loss: {loss:.4f}",
        eval_loss="• 验证loss: {loss:.4f}",
        perplexity="• 困惑度(PPL): {perplexity}",
        config_heading="⚙️ 训练配置",
        model="• 模型: {model} + QLoRA",
        batch="• Batch大小: {micro} × {accumulation} = {effective}",
        learning_rate="• 学习率: {rate} ({schedule})",
        schedules={"cosine": "cosine衰减", "linear": "线性衰减", "constant": "恒定"},
        data="• 数据: {train}训练 + {eval}验证",
        mixed="  {dataset} × {weight:g}: 每轮{rows}条",
        loss_heading="📈 Loss变化",
        step="步",
        measured_heading="🔍 实测",
        base="• 训练前: loss {loss:.4f} | PPL {perplexity}",
        tuned="• 训练后: loss {loss:.4f} | PPL {perplexity}",
        tuned_earlier="• 训练后(第{step}步的适配器): loss {loss:.4f} | PPL {perplexity}",
        gain="• 验证loss降幅95%置信区间: {low:.4f} ~ {high:.4f}",
        accuracy="• 验证token准确率: 训练前 {before:.2%}, 训练后 {after:.2%}",
        layers="• 4位量化: {layers}个线性层 (NF4)",
        parameters="• 可训练参数: {trainable:,} / {all:,} ({share:.2%})",
        device="• 设备: {device}{memory}",
        predicted="• 内存峰值: 预测 {predicted}, 实测 {measured}",
        speed="• 速度: {tokens:,.0f} tokens/秒",
        verdict_heading="🎯 评估",
        time_units=("小时", "分钟", "秒"),
    ),
    "en": _Words(
        title="{model} QLoRA training summary",
        run_heading="📅 Run",
        finished="• Finished: {at}",
        duration="• Training time: {duration}",
        steps="• Steps: {steps}",
        metrics_heading="📊 Metrics",
        train_loss="• Train loss (mean of the run): {loss:.4f}",
        eval_loss="• Eval loss: {loss:.4f}",
        perplexity="• Perplexity (PPL): {perplexity}",
        config_heading="⚙️ Configuration",
        model="• Model: {model} + QLoRA",
        batch="• Batch size: {micro} × {accumulation} = {effective}",
        learning_rate="• Learning rate: {rate} ({schedule})",
        schedules={"cosine": "cosine decay", "linear": "linear decay", "constant": "constant"},
        data="• Data: {train} train + {eval} eval",
        mixed="  {dataset} × {weight:g}: {rows} rows per epoch",
        loss_heading="📈 Loss",
        step="step",
        measured_heading="🔍 Measured",
        base="• Before: loss {loss:.4f} | PPL {perplexity}",
        tuned="• After: loss {loss:.4f} | PPL {perplexity}",
        tuned_earlier="• After (adapter of step {step}): loss {loss:.4f} | PPL {perplexity}",
        gain="• Drop in eval loss, 95% CI: {low:.4f} to {high:.4f}",
        accuracy="• Token accuracy (eval): {before:.2%} before, {after:.2%} after",
        layers="• 4-bit: {layers} linear layers (NF4)",
        parameters="• Trainable parameters: {trainable:,} of {all:,} ({share:.2%})",
        device="• Device: {device}{memory}",
        predicted="• Peak memory: predicted {predicted}, measured {measured}",
        speed="• Speed: {tokens:,.0f} tokens/s",
        verdict_heading="🎯 Verdict",
        time_units=(" h ", " min ", " s "),
    ),
}


def _title(summary: Summary, words: _Words) -> str:
    """Return the title with the model's name, without its owner and suffix: Qwen/Qwen2-0.5B-Instruct becomes Qwen2-0.5B."""
    name = _short_name(summary)
    for ending in ("-Instruct", "-Chat"):
        name = name.removesuffix(ending)
    room = _INSIDE - 2 - width(words.title.format(model=""))
    return words.title.format(model=_shorten(name, room))


def _sections(
    summary: Summary, language: Language, zone: tzinfo | None
) -> Iterator[tuple[str, list[str]]]:
    words = _WORDS[language]
    finished = summary.finished_at.astimezone(zone)
    yield (
        words.run_heading,
        [
            words.finished.format(at=f"{finished:%Y-%m-%d %H:%M}"),
            words.duration.format(duration=_duration(summary.duration_seconds, words)),
            words.steps.format(steps=summary.steps),
        ],
    )
    yield (
        words.metrics_heading,
        [
            words.train_loss.format(loss=summary.train_loss),
            words.eval_loss.format(loss=summary.eval_loss),
            words.perplexity.format(perplexity=perplexity_text(summary.perplexity)),
        ],
    )
    yield words.config_heading, _configuration(summary, words)
    yield words.loss_heading, _window_lines(summary, words)
    measured = list(_measured(summary, words))
    if measured:
        yield words.measured_heading, measured
    yield (
        words.verdict_heading,
        [f"• {verdict_message(each, language)}" for each in summary.verdicts],
    )


def _configuration(summary: Summary, words: _Words) -> list[str]:
    micro, accumulation = summary.per_device_batch_size, summary.gradient_accumulation_steps
    return [
        words.model.format(model=_short_name(summary)),
        f"• LoRA rank: {summary.lora_rank} | alpha: {summary.lora_alpha:g}",
        words.batch.format(micro=micro, accumulation=accumulation, effective=micro * accumulation),
        words.learning_rate.format(
            rate=_rate(summary.learning_rate),
            schedule=words.schedules.get(summary.lr_scheduler, summary.lr_scheduler),
        ),
        words.data.format(train=_count(summary.train_rows), eval=_count(summary.eval_rows)),
        *[
            words.mixed.format(
                dataset=each.dataset, weight=each.weight, rows=_count(each.used_rows)
            )
            for each in summary.mixture
        ],
    ]


def _window_lines(summary: Summary, words: _Words) -> list[str]:
    """Return the windows, three per line, or fewer if they do not fit."""
    cells = [f"{words.step} {point.step}: {point.loss:.4f}" for point in summary.windows]
    widest = max(map(width, cells), default=0)
    per_line = max(1, min(3, (_TEXT + len(_SEPARATOR)) // (widest + len(_SEPARATOR))))
    return [
        _SEPARATOR.join(cells[start : start + per_line]) for start in range(0, len(cells), per_line)
    ]


def _measured(summary: Summary, words: _Words) -> Iterator[str]:
    """Yield a line for each available optional measurement."""
    if summary.base_eval_loss is not None and summary.base_perplexity is not None:
        before = perplexity_text(summary.base_perplexity)
        yield words.base.format(loss=summary.base_eval_loss, perplexity=before)
        after = perplexity_text(summary.perplexity)
        step = summary.adapter_step
        tuned = words.tuned if step == summary.steps else words.tuned_earlier
        yield tuned.format(step=step, loss=summary.eval_loss, perplexity=after)
    if summary.improvement_interval is not None:
        interval = summary.improvement_interval
        yield words.gain.format(low=interval.low, high=interval.high)
    before_training, after_training = summary.base_eval_token_accuracy, summary.eval_token_accuracy
    if before_training is not None and after_training is not None:
        yield words.accuracy.format(before=before_training, after=after_training)
    if summary.quantized_layers is not None:
        yield words.layers.format(layers=summary.quantized_layers)
        yield words.parameters.format(
            trainable=summary.trainable_parameters,
            all=summary.all_parameters,
            share=summary.trainable_share,
        )
    if summary.device is not None:
        peak = summary.peak_memory_bytes
        memory = "" if peak is None else f" | {format_bytes(peak)}"
        yield words.device.format(device=summary.device, memory=memory)
    if summary.predicted_memory_bytes is not None and summary.peak_memory_bytes is not None:
        yield words.predicted.format(
            predicted=format_bytes(summary.predicted_memory_bytes),
            measured=format_bytes(summary.peak_memory_bytes),
        )
    if summary.tokens_per_second is not None:
        yield words.speed.format(tokens=summary.tokens_per_second)


def _row(text: str) -> str:
    return "║" + ljust(f"  {text}", _INSIDE) + "║"


def _short_name(summary: Summary) -> str:
    return escape(summary.model.rsplit("/", 1)[-1])


def _shorten(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1] + "…"


def _duration(seconds: float, words: _Words) -> str:
    """Return the duration in its two largest units, for example 1小时52分钟 or 3 min 20 s."""
    whole = round(seconds)
    parts = (whole // 3600, whole % 3600 // 60, whole % 60)
    first = next((place for place, part in enumerate(parts) if part), 2)
    shown = [
        f"{parts[place]}{words.time_units[place]}" for place in range(first, min(first + 2, 3))
    ]
    return "".join(shown).strip()


def _rate(value: float) -> str:
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _count(rows: int) -> str:
    return f"{rows // 1000}k" if rows and rows % 1000 == 0 else str(rows)
