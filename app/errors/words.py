"""The texts of errors in English and Chinese. Those of events are in app/events/words.py, those of pydantic in app/http/validation.py.

A sentence stands here once per language. `{names}` are figures given by whoever raises it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.failure import Language
from contracts.text import escape_lines


@dataclass(frozen=True)
class Words:
    """A message and what to do about it, in one language."""

    message: str
    hint: str = ""


def error_words(code: str, language: Language, figures: Mapping[str, object]) -> Words:
    """Return an error's message and hint."""
    words = ERRORS[code][language]
    # Texts among them come from requests, workers and files; numbers have formats of their own.
    figures = {
        name: value if isinstance(value, int | float) else escape_lines(str(value))
        for name, value in figures.items()
    }
    return Words(words.message.format_map(figures), words.hint.format_map(figures))


def _both(en: str, zh: str, hint_en: str = "", hint_zh: str = "") -> dict[Language, Words]:
    return {"en": Words(en, hint_en), "zh": Words(zh, hint_zh)}


UNSTORABLE_VALUE: dict[Language, str] = {
    "en": "contains a value that is too long or cannot be stored",
    "zh": "含有过长或无法存储的值",
}
"""The problem of a body with a value that no column holds."""

ERRORS: dict[str, dict[Language, Words]] = {
    "invalid_field": _both("{problem}", "{problem}", "{hint}", "{hint}"),
    "invalid_json": _both(
        "The body is not valid JSON: {problem}.",
        "请求体不是合法的 JSON：{problem}。",
        "Send one JSON object in UTF-8.",
        "请发送一个 UTF-8 编码的 JSON 对象。",
    ),
    "body_too_deep": _both(
        "The JSON in the body is nested deeper than {limit} levels.",
        "请求体中的 JSON 嵌套超过 {limit} 层。",
    ),
    "invalid_body": _both(
        "The request body {problem}.",
        "请求体无效：{problem}。",
        "Send a JSON object with the header Content-Type: application/json.",
        "请发送 JSON 对象，并带上请求头 Content-Type: application/json。",
    ),
    "invalid_multipart": _both(
        "The upload cannot be read: {problem}.",
        "无法读取上传内容：{problem}。",
        "Send the file as multipart/form-data in a part named `file`: curl -F file=@rows.json",
        "请以 multipart/form-data 上传，文件字段名为 file：curl -F file=@rows.json",
    ),
    "unsafe_character": _both(
        "{field} holds {character}, a character that controls a terminal or turns the direction of text.",
        "{field} 含有 {character}：该字符会控制终端或改变文字方向。",
        "Remove it. Letters of every script and emoji are accepted.",
        "请删除该字符。各种文字与表情符号均可使用。",
    ),
    "bad_label_filter": _both(
        "A label filter is written key:value.",
        "标签筛选应写作 key:value。",
        "For example ?label=team:nlp; several may be given.",
        "例如 ?label=team:nlp，可以给出多个。",
    ),
    "unknown_format": _both(
        "There is no format {format} here.",
        "此处没有格式 {format}。",
        "Formats there are: {offered}.",
        "可用格式：{offered}。",
    ),
    "not_together": _both(
        "{one} has no effect together with {other}.",
        "{one} 与 {other} 同时使用时无效。",
        "Leave one of them out.",
        "请去掉其中一个。",
    ),
    "bad_artifact_name": _both(
        "No artifact can have this name.",
        "产物不能使用这个名称。",
        "Use up to 100 letters, digits, dots, dashes and underscores, the first a letter or digit.",
        "请使用最多 100 个字母、数字、点、连字符和下划线，并以字母或数字开头。",
    ),
    "number_too_large": _both(
        "{field} is larger than {limit}.",
        "{field} 大于 {limit}。",
    ),
    "bad_cursor": _both(
        "The cursor is not one that this list gave out.",
        "该游标不是此列表给出的。",
        "Use the `cursor` of the previous answer unchanged, or leave it out to start over.",
        "请原样使用上一次返回的 cursor，或省略它从头开始。",
    ),
    "dataset_not_found": _both(
        "There is no dataset {dataset}.",
        "数据集 {dataset} 不存在。",
        "Upload the file with POST /v1/datasets and use the id that it answers.",
        "请先用 POST /v1/datasets 上传文件，并使用返回的 id。",
    ),
    "no_training_rows": _both(
        "dataset.eval_size {eval_size} leaves no row to train on: the dataset has {rows}.",
        "dataset.eval_size 为 {eval_size} 时没有可训练的行：数据集共有 {rows} 行。",
        "Lower dataset.eval_size, or upload more rows.",
        "请减小 dataset.eval_size，或上传更多数据。",
    ),
    "model_not_found": _both(
        "No worker knows the model {model}, and none can bring it from the hub.",
        "没有工作节点拥有模型 {model}，也无法从 hub 下载。",
        "Models there are: {models}.",
        "现有模型：{models}。",
    ),
    "dataset_invalid": _both(
        "{count} of the rows looked at cannot be used. {problems}",
        "检查过的数据中有 {count} 行无法使用。{problems}",
        "Expected: {expected}.",
        "要求：{expected}。",
    ),
    "dataset_empty": _both(
        "The file holds no rows.",
        "文件中没有数据行。",
        "Upload a JSON array of objects, or JSONL with one object a line.",
        "请上传由对象组成的 JSON 数组，或每行一个对象的 JSONL。",
    ),
    "checksum_mismatch": _both(
        "The body's SHA-256 is {actual}, announced was {announced}.",
        "请求体的 SHA-256 为 {actual}，与声明的 {announced} 不符。",
        "Send the file again.",
        "请重新发送文件。",
    ),
    "invalid_token": _both(
        "The token is missing or not valid here.",
        "缺少令牌，或令牌在此无效。",
        "Send Authorization: Bearer …; a worker's STEPLINE_WORKER_TOKEN must equal the server's.",
        "请发送 Authorization: Bearer …；工作节点与服务器的 STEPLINE_WORKER_TOKEN 必须一致。",
    ),
    "invalid_host": _both(
        "The Host header is not one host name or address with an optional port: {host}",
        "请求头 Host 不是单个主机名或地址（可带端口）：{host}",
        "Call the server by its own address, for example http://127.0.0.1:8000.",
        "请使用服务器自身的地址访问，例如 http://127.0.0.1:8000。",
    ),
    "host_not_allowed": _both(
        "This server does not answer to the host {host}: STEPLINE_ALLOWED_HOSTS does not list it.",
        "服务器不接受主机 {host} 的请求：STEPLINE_ALLOWED_HOSTS 中没有它。",
        "If {host} is a name of this server, add it to STEPLINE_ALLOWED_HOSTS of the server (separated by commas) "
        "and restart it.",
        "如果 {host} 确实是本服务器的名称，请将其加入服务器的 STEPLINE_ALLOWED_HOSTS（以逗号分隔）并重启服务。",
    ),
    "origin_not_allowed": _both(
        "This {method} request comes from a web page of another origin "
        "(Origin: {origin}, Sec-Fetch-Site: {site}), which may not change anything here.",
        "此 {method} 请求来自其他源的网页（Origin: {origin}，Sec-Fetch-Site: {site}），不允许在此做任何更改。",
        "If you trust that page, add its origin to STEPLINE_CORS_ORIGINS of the server and restart it.",
        "如果信任该网页，请将其源加入服务器的 STEPLINE_CORS_ORIGINS 并重启服务。",
    ),
    "path_not_found": _both(
        "There is nothing at {path}.",
        "路径 {path} 不存在。",
        "/openapi.json lists every path.",
        "/openapi.json 列出了所有路径。",
    ),
    "job_not_found": _both("There is no job {job}.", "任务 {job} 不存在。"),
    "artifact_not_found": _both(
        "Job {job} has no artifact {name}.",
        "任务 {job} 没有产物 {name}。",
        "GET /v1/jobs/{job}/artifacts lists what there is.",
        "GET /v1/jobs/{job}/artifacts 列出了现有产物。",
    ),
    "method_not_allowed": _both(
        "{path} does not take {method}.",
        "{path} 不支持 {method}。",
        "It takes {allowed}.",
        "它支持 {allowed}。",
    ),
    "job_already_ended": _both(
        "Job {job} has already ended ({status}).",
        "任务 {job} 已经结束（{status}）。",
    ),
    "cancel_pending": _both(
        "Job {job} is being cancelled.",
        "任务 {job} 正在取消。",
        "Wait until it is cancelled; then POST /v1/jobs/{job}/retry starts it again.",
        "请等待取消完成；之后可用 POST /v1/jobs/{job}/retry 重新开始。",
    ),
    "job_paused": _both(
        "Job {job} is paused.",
        "任务 {job} 已暂停。",
        "POST /v1/jobs/{job}/resume lets it go on.",
        "请用 POST /v1/jobs/{job}/resume 继续。",
    ),
    "job_running": _both(
        "Job {job} is running.",
        "任务 {job} 正在运行。",
        "Cancel or pause it first, and wait until it has stopped.",
        "请先取消或暂停，并等待其停止。",
    ),
    "dataset_gone": _both(
        "Dataset {dataset} of job {job} has been deleted.",
        "任务 {job} 的数据集 {dataset} 已被删除。",
        "Upload the same file again: it gets the same id, and the job can be retried.",
        "请重新上传同一文件：它会得到相同的 id，之后即可重试该任务。",
    ),
    "summary_not_ready": _both(
        "Job {job} has no summary: it is {status}.",
        "任务 {job} 没有总结：当前状态为 {status}。",
        "A summary is there once the job has succeeded.",
        "任务成功后才有总结。",
    ),
    "idempotency_conflict": _both(
        "This Idempotency-Key was used for a request with another body, which made {job}.",
        "该 Idempotency-Key 已用于另一个不同的请求（任务 {job}）。",
        "Use a new key for a new request; a key is kept for 24 hours.",
        "新的请求请使用新的键；每个键保留 24 小时。",
    ),
    "dataset_in_use": _both(
        "Dataset {dataset} is needed by {job}, which has not ended.",
        "数据集 {dataset} 正被未结束的任务 {job} 使用。",
        "Wait for the job's end or cancel it.",
        "请等待任务结束或先取消任务。",
    ),
    "attempt_superseded": _both(
        "Attempt {attempt} is no longer current ({status}).",
        "尝试 {attempt} 已不再有效（{status}）。",
        "Stop the training process and claim again.",
        "请停止训练进程并重新领取任务。",
    ),
    "records_missing": _both(
        "Attempt {attempt} has records up to {last_seq}, but only those up to {acked_seq} have arrived.",
        "尝试 {attempt} 的记录到 {last_seq} 为止，但只收到了前 {acked_seq} 条。",
        "acked_seq={acked_seq}",
        "acked_seq={acked_seq}",
    ),
    "checkpoint_not_recorded": _both(
        "The record of the checkpoint of step {step} of attempt {attempt} has not arrived.",
        "尚未收到尝试 {attempt} 第 {step} 步检查点的记录。",
        "Sync the records, then offer it again.",
        "请先同步记录，再重新提交。",
    ),
    "attempt_not_found": _both(
        "Job {job} has no ended attempt {number}.",
        "任务 {job} 没有已结束的第 {number} 次尝试。",
    ),
    "checkpoint_file_not_found": _both(
        "No checkpoint here has the file {sha256}.",
        "没有检查点包含文件 {sha256}。",
        "Offer the checkpoint first; one that was pruned is gone.",
        "请先提交检查点；已清理的检查点不复存在。",
    ),
    "artifacts_missing": _both(
        "Attempt {attempt} reports success without {missing}.",
        "尝试 {attempt} 报告成功，但缺少 {missing}。",
        "Upload it, then finish again.",
        "请先上传，再结束。",
    ),
    "body_too_large": _both(
        "The body is larger than the {limit} bytes taken here.",
        "请求体超过了此处允许的 {limit} 字节。",
    ),
    "invalid_http": _both(
        "This is not a valid HTTP/1.1 request: {problem}.",
        "这不是合法的 HTTP/1.1 请求：{problem}。",
        "Check the request line, the headers and the body's framing; if the client speaks https, use http here.",
        "请检查请求行、请求头和请求体的分帧方式；如果客户端使用了 https，请改用 http。",
    ),
    "head_timeout": _both(
        "The request's headers did not arrive within {seconds:g} seconds.",
        "请求头未能在 {seconds:g} 秒内完整到达。",
        "Send the request again. STEPLINE_HEADER_SECONDS sets this limit.",
        "请重新发送请求。该时限由 STEPLINE_HEADER_SECONDS 设置。",
    ),
    "body_timeout": _both(
        "Less than {bytes} bytes of the request's body arrived in {seconds:g} seconds.",
        "请求体在 {seconds:g} 秒内到达的数据不足 {bytes} 字节。",
        "Send the request again. STEPLINE_PROGRESS_SECONDS and STEPLINE_PROGRESS_BYTES set this limit.",
        "请重新发送请求。该限制由 STEPLINE_PROGRESS_SECONDS 和 STEPLINE_PROGRESS_BYTES 设置。",
    ),
    "too_many_connections": _both(
        "Your address already has {limit} connections to this server.",
        "您的地址与服务器之间已有 {limit} 个连接。",
        "Close some, or reuse them. STEPLINE_CONNECTIONS_PER_PEER sets this limit; raise it behind a reverse proxy.",
        "请关闭或复用已有连接。该上限由 STEPLINE_CONNECTIONS_PER_PEER 设置；使用反向代理时请调高。",
    ),
    "too_many_streams": _both(
        "Your address already has {limit} streams and long polls open.",
        "您的地址已打开 {limit} 个事件流和长轮询。",
        "Close some, or poll /v1/jobs/{{id}}/metrics?since=. STEPLINE_STREAMS_PER_PEER sets this limit.",
        "请关闭一部分，或改为轮询 /v1/jobs/{{id}}/metrics?since=。该上限由 STEPLINE_STREAMS_PER_PEER 设置。",
    ),
    "streams_full": _both(
        "{limit} streams and long polls are open on this server, which is all it allows.",
        "服务器上已打开 {limit} 个事件流和长轮询，达到上限。",
        "Try again later, or poll /v1/jobs/{{id}}/metrics?since=. STEPLINE_STREAMS sets this limit.",
        "请稍后重试，或改为轮询 /v1/jobs/{{id}}/metrics?since=。该上限由 STEPLINE_STREAMS 设置。",
    ),
    "head_too_large": _both(
        "The request line and headers are longer than {limit} bytes together.",
        "请求行与请求头合计超过 {limit} 字节。",
        "Leave out headers that are not needed, or put long values into the body.",
        "请去掉不需要的请求头，或将较长的内容放入请求体。",
    ),
    "range_not_satisfiable": _both(
        "The range is outside the file, which has {length} bytes.",
        "所请求的范围超出文件：文件共 {length} 字节。",
        "Write it as Range: bytes=first-last, with first below the file's length.",
        "请写作 Range: bytes=起始-结束，起始须小于文件长度。",
    ),
    "internal_error": _both(
        "Something went wrong on our side. Request {request_id}.",
        "服务器内部出错。请求编号 {request_id}。",
        "The server's log has the details under this number.",
        "服务器日志中有该编号的详细信息。",
    ),
    "database_unavailable": _both(
        "The database cannot be reached at the moment.",
        "数据库暂时无法访问。",
        "Nothing is lost; try again in a few seconds.",
        "没有数据丢失；请几秒后重试。",
    ),
    "storage_unavailable": _both(
        "The server's storage cannot be written at the moment.",
        "服务器存储暂时无法写入。",
        "Check free space and permissions of STEPLINE_DATA_DIR.",
        "请检查 STEPLINE_DATA_DIR 的剩余空间与权限。",
    ),
    "storage_full": _both(
        "A disk of the server is full.",
        "服务器磁盘已满。",
        "Nothing was half written. Free space where STEPLINE_DATA_DIR and the database lie; deleting jobs frees some.",
        "没有写入一半的数据。请清理 STEPLINE_DATA_DIR 与数据库所在磁盘；删除任务可释放空间。",
    ),
}
