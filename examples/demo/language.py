"""What the demo prints, in English and Chinese."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]

SENTENCES: dict[str, tuple[str, str]] = {
    "service": (
        "[1/4] Starting the service: API, broker and worker ({log})",
        "[1/4] 启动服务：API、消息中间件与工作节点（{log}）",
    ),
    "ready": ("      The page is at {url}", "      网页地址：{url}"),
    "base": (
        "[2/4] Building a small Qwen2 by training all its parameters briefly on plain text (kept for the next run)",
        "[2/4] 构建小型 Qwen2：用普通文本做一次简短的全参数训练（下次运行直接复用）",
    ),
    "no_base": (
        "Building the base model failed (exit status {status}).",
        "构建基座模型失败（退出码 {status}）。",
    ),
    "port_in_use": (
        "Port {port} is in use or not allowed. Choose another one with --port, or omit --port.",
        "端口 {port} 已被占用或无权使用。请用 --port 指定其他端口，或不加 --port。",
    ),
    "submit": (
        "[3/4] Uploading data for a task that the base model has never seen, and submitting the job",
        "[3/4] 上传基座模型没见过的数据集并提交任务",
    ),
    "train": (
        "[4/4] Training with QLoRA on the 4-bit base model",
        "[4/4] 在 4-bit 量化的基座模型上做 QLoRA 训练",
    ),
    "watch": ("      Watch it at {url}", "      网页查看：{url}"),
    "step": ("step", "步"),
    "eta": ("left", "剩余"),
    "rows": ("{done}/{total} rows", "{done}/{total} 行"),
    "report": ("This report in Chinese: {url}", "英文报告：{url}"),
    "address": (
        "The service is at {url} (API description: {url}/docs). Ctrl-C stops it.",
        "服务地址：{url}（接口文档：{url}/docs）。按 Ctrl-C 停止。",
    ),
    "halved": (
        "Held-out perplexity: {before} before, {after} after.",
        "留出集困惑度：训练前 {before}，训练后 {after}。",
    ),
    "not_halved": (
        "Held-out perplexity went from {before} to {after}: it did not halve.",
        "留出集困惑度从 {before} 变为 {after}，没有减半。",
    ),
    "failed": (
        "Job {job} ended as {status}: {error}",
        "任务 {job} 已结束，状态为 {status}：{error}",
    ),
    "service_ended": (
        "The service exited unexpectedly. Its log ends with:\n{tail}",
        "服务意外退出，日志末尾：\n{tail}",
    ),
    "not_ready": (
        "The service is not ready after {seconds} s; see {log}",
        "服务 {seconds} 秒后仍未就绪，见 {log}",
    ),
    "queued": ("queued", "排队"),
    "placing": ("placing", "准备"),
    "loading": ("loading", "加载"),
    "tokenizing": ("tokenizing", "分词"),
    "evaluating": ("evaluating", "评估"),
    "training": ("training", "训练"),
    "saving": ("saving", "保存"),
    "uploading": ("uploading", "上传"),
}


def choose_language(environ: Mapping[str, str]) -> Language:
    """Return the terminal's language from the usual environment variables."""
    chosen = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return "zh" if chosen.startswith("zh") else "en"


def say(language: Language, sentence: str, **figures: object) -> str:
    """Return the sentence with this name, with its placeholders filled in."""
    return SENTENCES[sentence][language == "zh"].format(**figures)
