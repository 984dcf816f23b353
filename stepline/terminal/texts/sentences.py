"""Errors, questions and messages, in English and Chinese. `{name}` is filled in by `say`."""

SENTENCES: dict[str, tuple[str, str]] = {
    "error": ("Error: {message}", "错误：{message}"),
    "error.unreachable": (
        "Cannot reach {url} ({reason}). Start a service there, or choose another address with --server or `stepline login`.",
        "无法连接 {url}（{reason}）。请在该地址启动服务，或用 --server、`stepline login` 选择其他地址。",
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
    "error.column": (
        "--column: write KEY=NAME, for example prompt=question",
        "--column：请写成 KEY=NAME，例如 prompt=question",
    ),
    "error.dataset_object": (
        "`dataset` in the spec is not an object, so --data and --eval cannot be added to it.",
        "配置中的 `dataset` 不是对象，无法加入 --data 或 --eval。",
    ),
    "error.not_text": (
        "An argument is not valid text in the encoding of this terminal.",
        "有参数不是有效的文本（与终端的编码不符）。",
    ),
    "error.config_file": (
        "{path} cannot be read as settings ({reason}). Correct or delete the file; it may contain API keys.",
        "无法读取设置文件 {path}（{reason}）。请修正或删除该文件；其中可能有 API 密钥。",
    ),
    "error.no_key": (
        "Standard input contains no key. To remove the stored key, use --key ''.",
        "标准输入中没有密钥。要删除已保存的密钥，请用 --key ''。",
    ),
    "error.config_key": (
        "Unknown setting {key}. Use server or lang.",
        "未知设置 {key}。可用 server 或 lang。",
    ),
    "error.config_lang": (
        "lang must be en or zh, not {value}.",
        "lang 必须是 en 或 zh，而不是 {value}。",
    ),
    "error.compare_one": ("Name at least two jobs.", "请给出至少两个任务。"),
    "error.no_data": (
        "{source} is neither a file nor the id of a dataset (ds_…).",
        "{source} 既不是文件，也不是数据集 ID（ds_…）。",
    ),
    "error.no_command": ("There is no command {name}. {hint}", "没有命令 {name}。{hint}"),
    "error.meant": ("Did you mean {name}?", "是否想用 {name}？"),
    "error.see_help": (
        "See '{command} --help'.",
        "请查看“{command} --help”。",
    ),
    "error.no_option": ("There is no option {name}. {hint}", "没有选项 {name}。{hint}"),
    "error.missing": ("{name} is missing.", "缺少 {name}。"),
    "error.bad_value": ("Invalid value for {name}: {reason}", "{name} 的值无效：{reason}"),
    "error.no_shell": ("Name the shell: {shells}.", "请指定 shell：{shells}。"),
    "error.no_address": (
        "Give the address of the server, for example http://gpu-host:8000",
        "请给出服务器地址，例如 http://gpu-host:8000",
    ),
    "error.needs_yes": (
        "Cannot ask for confirmation, because standard input is not a terminal. Add --yes.",
        "标准输入不是终端，无法确认。请加上 --yes。",
    ),
    "warning.plain_http": (
        "Warning: the address begins with http://, so the key crosses the network unencrypted.",
        "警告：地址以 http:// 开头，密钥在网络上以明文传输。",
    ),
    "ask.server": ("Server address", "服务器地址"),
    "ask.key": ("API key", "API 密钥"),
    "ask.submit": ("Submit this job?", "提交该任务？"),
    "ask.delete": ("Delete {what}?", "删除 {what}？"),
    "said.logged_in": (
        "{url} responds; workers online: {count}. Saved in {file}.",
        "{url} 应答正常；在线工作节点：{count}。已保存到 {file}。",
    ),
    "said.not_submitted": ("Not submitted.", "未提交。"),
    "said.submitted": ("Submitted {job}.", "已提交 {job}。"),
    "said.follow": (
        "Follow it with: stepline watch {job}",
        "要跟踪该任务，请运行：stepline watch {job}",
    ),
    "said.next": (
        "Report:   stepline report {job}\nAdapter:  stepline download {job}",
        "训练报告：  stepline report {job}\n下载适配器：stepline download {job}",
    ),
    "said.interrupted": (
        "Stopped watching. Job {job} continues.\n  follow it again:  stepline watch {job}\n  cancel it:        stepline cancel {job}",
        "已停止跟踪，任务 {job} 不受影响。\n  再次跟踪：  stepline watch {job}\n  取消任务：  stepline cancel {job}",
    ),
    "said.uploading": ("Uploading {file}", "正在上传 {file}"),
    "said.checking": ("Checking {file}", "正在校验 {file}"),
    "said.downloading": ("Downloading {file}", "正在下载 {file}"),
    "said.dataset": ("Dataset {id}: {rows} rows.", "数据集 {id}：{rows} 条。"),
    "said.saved": ("Saved {path} ({size}).", "已保存 {path}（{size}）。"),
    "said.deleted": ("Deleted {id}.", "已删除 {id}。"),
    "said.none": ("None.", "无。"),
    "said.more": ("There are more entries; raise --limit.", "还有更多条目；请调大 --limit。"),
    "said.more_below": ("There are more jobs.", "还有更多任务。"),
    "said.refreshing": (
        "Refreshes every 2 s. Ctrl-C ends the list, not the jobs.",
        "每 2 秒刷新一次。按 Ctrl-C 退出列表，任务继续运行。",
    ),
    "said.download_interrupted": (
        "The download is incomplete. Run the command again to continue it.",
        "下载未完成。再次运行该命令即可继续。",
    ),
    "said.action": ("{job}: {status}", "{job}：{status}"),
    "said.asked.cancel": ("{job}: cancellation requested", "{job}：已请求取消"),
    "said.asked.pause": (
        "{job}: pause requested; it takes effect after a checkpoint",
        "{job}：已请求暂停，写入检查点后生效",
    ),
    "said.lost": ("Connection lost; reconnecting …", "连接已断开，正在重新连接……"),
    "said.restored": ("Connection restored.", "连接已恢复。"),
}
