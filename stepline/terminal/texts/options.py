"""The help of the options, in English and Chinese."""

OPTIONS: dict[str, tuple[str, str]] = {
    "option.server": (
        "Server address (default: STEPLINE_SERVER_URL, else the configured one, else http://127.0.0.1:8000).",
        "服务器地址（默认：STEPLINE_SERVER_URL，其次为配置的地址，再次为 http://127.0.0.1:8000）。",
    ),
    "option.key": (
        "API key for this server. `-` asks for it, or reads it from standard input; '' removes the stored key.",
        "该服务器的 API 密钥。`-` 表示询问或从标准输入读取；'' 表示删除已保存的密钥。",
    ),
    "option.lang": ("Language of messages.", "消息的语言。"),
    "option.json": ("Print machine-readable JSON.", "输出供程序读取的 JSON。"),
    "option.yes": ("Do not ask for confirmation.", "跳过确认。"),
    "option.model": (
        "Model: an id on the hub, or a model listed by `stepline models`.",
        "模型：Hub 上的 ID，或 `stepline models` 列出的模型。",
    ),
    "option.data": (
        "Training data: a file to upload, or the id of a dataset.",
        "训练集：要上传的文件，或数据集的 ID。",
    ),
    "option.eval": (
        "Evaluation data: a file to upload, or the id of a dataset.",
        "验证集：要上传的文件，或数据集的 ID。",
    ),
    "option.set": (
        "Set a field of the spec; VALUE is JSON or text. Can be repeated.",
        "设置任务配置中的字段；VALUE 为 JSON 或文本。可重复使用。",
    ),
    "option.name": ("Name of the job.", "任务名称。"),
    "option.preset": (
        "Preset to use for settings that the spec does not contain.",
        "预设；任务配置中未给出的设置取自该预设。",
    ),
    "option.dry_run": ("Show the plan and do not submit.", "只显示计划，不提交。"),
    "option.watch": ("Follow the job after submission.", "提交后跟踪任务。"),
    "option.timeout": (
        "Stop watching after this many seconds, with exit status 124.",
        "达到该秒数后停止跟踪，退出码为 124。",
    ),
    "option.refresh": (
        "Refresh the table until Ctrl-C.",
        "持续刷新列表，直到按 Ctrl-C。",
    ),
    "option.status": (
        "List only jobs with this status. Can be repeated.",
        "只列出该状态的任务。可重复使用。",
    ),
    "option.label": (
        "List only jobs with this label (KEY or KEY:VALUE). Can be repeated.",
        "只列出带该标签的任务（KEY 或 KEY:VALUE）。可重复使用。",
    ),
    "option.search": (
        "List only jobs whose name, model or id contains this text.",
        "只列出名称、模型或 ID 含该文本的任务。",
    ),
    "option.sort": (
        "Sort order, such as name, eval_loss or -ended_at.",
        "排序方式，例如 name、eval_loss 或 -ended_at。",
    ),
    "option.kind": (
        "Only the models on the workers (base), or only the adapters.",
        "只列出工作节点上的模型（base），或只列出适配器（adapter）。",
    ),
    "option.limit": ("Maximum number of entries.", "最多列出的条数。"),
    "option.follow": ("Print new lines until the job ends.", "持续打印新行，直到任务结束。"),
    "option.file": ("Name of the file (default: adapter.zip).", "文件名（默认：adapter.zip）。"),
    "option.output": (
        "File or directory to write to (default: the current directory).",
        "写入的文件或目录（默认：当前目录）。",
    ),
    "option.markdown": ("Print Markdown.", "输出 Markdown。"),
    "option.rows": ("Number of rows.", "条数。"),
    "option.format": (
        "Format of the rows (default: detected automatically).",
        "数据的格式（默认：自动识别）。",
    ),
    "option.column": (
        "The column NAME contains KEY, for example prompt=question. Repeatable.",
        "列 NAME 的内容是 KEY，例如 prompt=question。可重复。",
    ),
    "option.encoding": (
        "Encoding of the text, for example gb18030 or utf-16 (default: detected automatically).",
        "文本编码，例如 gb18030 或 utf-16（默认：自动识别）。",
    ),
}
