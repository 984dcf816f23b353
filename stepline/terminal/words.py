"""The texts of the terminal client in both languages. `say` fills in `{name}`."""

from stepline.terminal.language import Language, choose_language

WORDS: dict[str, tuple[str, str]] = {
    # Help
    "help.program": (
        "Submit, follow and manage fine-tuning jobs, or start a service (stepline up).",
        "提交、查看和管理微调任务，或启动服务（stepline up）。",
    ),
    "help.config": (
        "Show or change the server address and the language. KEY is server or lang; an empty VALUE removes it.",
        "显示或修改服务器地址和语言。KEY 为 server 或 lang；VALUE 为空则删除该项。",
    ),
    "help.submit": (
        "Submit a job from a SPEC.json, or with --model and --data. Shows the plan and asks before submitting.",
        "提交任务：给出 SPEC.json，或者 --model 和 --data。提交前显示计划并询问。",
    ),
    "help.watch": (
        "Follow a job until it ends. Ctrl-C leaves the job running.",
        "跟踪任务直到结束。按 Ctrl-C 退出后任务继续运行。",
    ),
    "help.jobs": ("List jobs, newest first.", "列出任务，最新的在前。"),
    "help.logs": ("Print a job's log.", "打印任务的日志。"),
    "help.report": ("Print the report of a job that succeeded.", "打印成功任务的报告。"),
    "help.compare": ("Compare the settings and results of jobs.", "比较任务的设置和结果。"),
    "help.download": (
        "Download a job's adapter, or another file with --file.",
        "下载任务的适配器，或用 --file 下载其他文件。",
    ),
    "help.cancel": ("Cancel jobs.", "取消任务。"),
    "help.pause": (
        "Pause jobs. A running job first writes a checkpoint.",
        "暂停任务。运行中的任务会先写入检查点。",
    ),
    "help.resume": ("Queue paused jobs again.", "让暂停的任务重新排队。"),
    "help.retry": ("Queue failed or cancelled jobs again.", "让失败或已取消的任务重新排队。"),
    "help.delete": (
        "Delete jobs that are not running, with their files. Asks for confirmation.",
        "删除未在运行的任务及其文件，删除前会询问。",
    ),
    "help.datasets": (
        "Upload, list, preview and delete datasets.",
        "上传、列出、预览和删除数据集。",
    ),
    "help.datasets.upload": (
        "Upload a file and wait until the server has checked it.",
        "上传文件，并等待服务器检查完毕。",
    ),
    "help.datasets.list": ("List datasets, newest first.", "列出数据集，最新的在前。"),
    "help.datasets.preview": (
        "Show rows as a model's chat template renders them.",
        "按模型的对话模板渲染并显示数据行。",
    ),
    "help.datasets.delete": (
        "Delete datasets. Asks for confirmation.",
        "删除数据集，删除前会询问。",
    ),
    "help.models": ("List the models on the workers.", "列出工作节点上的模型。"),
    "help.workers": ("List the workers.", "列出工作节点。"),
    "help.up": (
        "Start a service on this machine: API, worker, broker.",
        "在本机启动服务：API、工作节点和消息代理。",
    ),
    "help.serve": ("Run the API.", "运行 API。"),
    "help.worker": ("Run the workers of this machine.", "运行本机的工作节点。"),
    "help.migrate": ("Upgrade the database.", "升级数据库。"),
    "help.doctor": (
        "Check whether this machine can run a worker.",
        "检查本机能否运行工作节点。",
    ),
    "section.client": ("Commands for a service", "使用服务的命令"),
    "section.server": ("Commands that run a service", "运行服务的命令"),
    # Options
    "option.server": (
        "Server address (default: STEPLINE_SERVER_URL, else the configured one, else http://127.0.0.1:8000).",
        "服务器地址（默认：STEPLINE_SERVER_URL，其次为配置的地址，再次为 http://127.0.0.1:8000）。",
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
        "训练数据：要上传的文件，或数据集的 ID。",
    ),
    "option.eval": (
        "Evaluation data: a file to upload, or the id of a dataset.",
        "评估数据：要上传的文件，或数据集的 ID。",
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
    "option.limit": ("Maximum number of entries.", "最多列出的条数。"),
    "option.follow": ("Print new lines until the job ends.", "持续打印新行，直到任务结束。"),
    "option.file": ("Name of the file (default: adapter.zip).", "文件名（默认：adapter.zip）。"),
    "option.output": (
        "File or directory to write to (default: the current directory).",
        "写入的文件或目录（默认：当前目录）。",
    ),
    "option.markdown": ("Print Markdown.", "输出 Markdown。"),
    "option.rows": ("Number of rows.", "行数。"),
    "option.format": (
        "Format of the rows (default: detected automatically).",
        "数据行的格式（默认：自动识别）。",
    ),
    # Errors and questions
    "error": ("Error: {message}", "错误：{message}"),
    "error.unreachable": (
        "Cannot reach {url}. Start a service there, or choose another address with --server or `stepline config server URL`.",
        "无法连接 {url}。请在该地址启动服务，或用 --server、`stepline config server URL` 选择其他地址。",
    ),
    "error.timeout": (
        "Job {job} did not end within {seconds} s. It continues; follow it with: stepline watch {job}",
        "任务 {job} 未在 {seconds} 秒内结束，任务不受影响。要继续跟踪，请运行：stepline watch {job}",
    ),
    "error.no_spec": (
        "Specify a SPEC.json, or --model and --data.",
        "请给出 SPEC.json，或者 --model 和 --data。",
    ),
    "error.set": (
        "--set {value}: write FIELD=VALUE, for example training.epochs=2",
        "--set {value}：请写成 FIELD=VALUE，例如 training.epochs=2",
    ),
    "error.set_path": (
        "--set {value}: {field} is not an object",
        "--set {value}：{field} 不是对象",
    ),
    "error.spec": ("{path} is not a JSON object: {reason}", "{path} 不是 JSON 对象：{reason}"),
    "error.config_key": (
        "Unknown setting {key}. Use server or lang.",
        "未知设置 {key}。可用 server 或 lang。",
    ),
    "error.config_lang": (
        "lang must be en or zh, not {value}.",
        "lang 必须是 en 或 zh，而不是 {value}。",
    ),
    "error.needs_yes": (
        "Cannot ask for confirmation, because standard input is not a terminal. Add --yes.",
        "标准输入不是终端，无法确认。请加上 --yes。",
    ),
    "ask.submit": ("Submit this job?", "提交该任务？"),
    "ask.delete": ("Delete {what}?", "删除 {what}？"),
    "said.not_submitted": ("Not submitted.", "未提交。"),
    "said.submitted": ("Submitted {job}.", "已提交 {job}。"),
    "said.follow": (
        "Follow it with: stepline watch {job}",
        "要跟踪该任务，请运行：stepline watch {job}",
    ),
    "said.interrupted": (
        "Stopped watching. Job {job} continues.\n  follow it again:  stepline watch {job}\n  cancel it:        stepline cancel {job}",
        "已停止跟踪，任务 {job} 不受影响。\n  再次跟踪：  stepline watch {job}\n  取消任务：  stepline cancel {job}",
    ),
    "said.uploading": ("Uploading {file}", "正在上传 {file}"),
    "said.checking": ("Checking {file}", "正在检查 {file}"),
    "said.downloading": ("Downloading {file}", "正在下载 {file}"),
    "said.dataset": ("Dataset {id}: {rows} rows.", "数据集 {id}：{rows} 行。"),
    "said.saved": ("Saved {path} ({size}).", "已保存 {path}（{size}）。"),
    "said.deleted": ("Deleted {id}.", "已删除 {id}。"),
    "said.none": ("None.", "无。"),
    "said.more": ("There are more entries; raise --limit.", "还有更多条目；请调大 --limit。"),
    "said.action": ("{job}: {status}", "{job}：{status}"),
    "said.asked.cancel": ("{job}: cancellation requested", "{job}：已请求取消"),
    "said.asked.pause": (
        "{job}: pause requested; it takes effect after a checkpoint",
        "{job}：已请求暂停，写入检查点后生效",
    ),
    "said.lost": ("Connection lost; reconnecting …", "连接已断开，正在重新连接……"),
    "said.restored": ("Connection restored.", "连接已恢复。"),
    # Columns and values
    "job": ("Job", "任务"),
    "name": ("Name", "名称"),
    "status": ("Status", "状态"),
    "progress": ("Progress", "进度"),
    "loss": ("Loss", "损失"),
    "eval_loss": ("Eval loss", "评估损失"),
    "model": ("Model", "模型"),
    "created": ("Submitted", "提交时间"),
    "dataset": ("Dataset", "数据集"),
    "file": ("File", "文件"),
    "rows": ("Rows", "行数"),
    "size": ("Size", "大小"),
    "worker": ("Worker", "工作节点"),
    "device": ("Device", "设备"),
    "queue": ("Queue", "队列"),
    "parameters": ("Parameters", "参数量"),
    "context": ("Context", "上下文"),
    "live": ("Online", "在线"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "memory": ("Memory", "内存"),
    "gpu_memory": ("GPU memory", "显存"),
    "gpu": ("GPU", "GPU"),
    "cpu": ("CPU", "CPU"),
    "throughput": ("Throughput", "吞吐量"),
    "tokens_per_second": ("{value} tokens/s", "{value} token/秒"),
    "learning_rate": ("Learning rate", "学习率"),
    "steps": ("Steps", "步数"),
    "step": ("step {step} of {total}", "第 {step} 步，共 {total} 步"),
    "rows_done": ("{done} of {total} rows", "{done} 行，共 {total} 行"),
    "eta": ("{time} left", "剩余 {time}"),
    "queued": ("position {position} in the queue", "队列中第 {position} 位"),
    "health": ("Health", "健康状况"),
    "plan": ("Plan", "计划"),
    "train_rows": ("Training rows", "训练行数"),
    "eval_rows": ("Evaluation rows", "评估行数"),
    "time": ("Time", "时间"),
    "fits": ("Fits", "能否容纳"),
    "warning": ("Warning", "警告"),
    "field": ("Field", "字段"),
    "server": ("Server", "服务器"),
    "lang": ("Language", "语言"),
    "status.queued": ("queued", "排队中"),
    "status.running": ("running", "运行中"),
    "status.paused": ("paused", "已暂停"),
    "status.succeeded": ("succeeded", "成功"),
    "status.failed": ("failed", "失败"),
    "status.cancelled": ("cancelled", "已取消"),
    "status.validating": ("validating", "检查中"),
    "status.ready": ("ready", "可用"),
    "phase.placing": ("placing files", "准备文件"),
    "phase.loading": ("loading the model", "加载模型"),
    "phase.tokenizing": ("tokenizing", "分词"),
    "phase.evaluating": ("evaluating", "评估"),
    "phase.training": ("training", "训练"),
    "phase.saving": ("saving", "保存"),
    "phase.uploading": ("uploading", "上传"),
    "unknown": ("unknown", "未知"),
}


def say(key: str, language: Language | None = None, /, **values: object) -> str:
    """Return a sentence in `language`, or in the language of the environment."""
    english, chinese = WORDS[key]
    chosen = choose_language() if language is None else language
    return (chinese if chosen == "zh" else english).format(**values)
