"""The help of the commands, in English and Chinese."""

HELP: dict[str, tuple[str, str]] = {
    "help.program": (
        "Submit, follow and manage fine-tuning jobs, or start a service (stepline up).",
        "提交、查看和管理微调任务，或启动服务（stepline up）。",
    ),
    "usage": ("Usage: ", "用法："),
    "options": ("Options", "选项"),
    "help.help": ("Show this message and exit.", "显示此帮助并退出。"),
    "help.version": ("Show the version and exit.", "显示版本并退出。"),
    "help.login": (
        "Check that a Stepline server responds at SERVER, and use it from now on.",
        "检查 SERVER 处的 Stepline 服务器是否应答，此后使用该服务器。",
    ),
    "help.config": (
        "Show or change the server address and the language. KEY is server or lang; an empty VALUE removes it.",
        "显示或修改服务器地址和语言。KEY 为 server 或 lang；VALUE 为空则删除该项。",
    ),
    "help.completion": (
        'Print a program that completes commands and ids in a shell: eval "$(stepline completion bash)"',
        '打印用于 shell 补全命令和 ID 的脚本：eval "$(stepline completion bash)"',
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
        "上传文件，并等待服务器校验完毕。",
    ),
    "help.datasets.list": ("List datasets, newest first.", "列出数据集，最新的在前。"),
    "help.datasets.preview": (
        "Show rows as a model's chat template renders them.",
        "按模型的对话模板渲染并显示数据。",
    ),
    "help.datasets.delete": (
        "Delete datasets. Asks for confirmation.",
        "删除数据集，删除前会询问。",
    ),
    "help.models": (
        "List the models on the workers, and the adapters that jobs have trained.",
        "列出工作节点上的模型，以及任务训练出的适配器。",
    ),
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
}
