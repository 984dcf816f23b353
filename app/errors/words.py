"""Error messages in English and Chinese. Messages about individual fields are in field_words.py; events are in app/events/words.py.

`{names}` are placeholders for the error's values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.failure import Language
from contracts.values.text import escape_lines


@dataclass(frozen=True)
class Words:
    """A message and a hint in one language."""

    message: str
    hint: str = ""


def error_words(code: str, language: Language, figures: Mapping[str, object]) -> Words:
    """Return an error's message and hint, with its values filled in."""
    words = ERRORS[code][language]
    # Strings are escaped, because they come from requests, workers and files. Numbers stay numbers for formatting.
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
"""Describes a body with values that the database cannot store."""

ERRORS: dict[str, dict[Language, Words]] = {
    "invalid_field": _both("{problem}", "{problem}", "{hint}", "{hint}"),
    "invalid_json": _both(
        "The request body is not valid JSON: {problem}.",
        "请求体不是合法的 JSON：{problem}。",
        "Send one JSON object in UTF-8.",
        "请发送一个 UTF-8 编码的 JSON 对象。",
    ),
    "body_too_deep": _both(
        "The JSON in the request body is nested deeper than {limit} levels.",
        "请求体中的 JSON 嵌套超过 {limit} 层。",
        "Send a body with fewer levels of nesting.",
        "请减少嵌套层数。",
    ),
    "invalid_body": _both(
        "The request body {problem}.",
        "请求体无效：{problem}。",
        "Send a JSON object with the header Content-Type: application/json.",
        "请发送 JSON 对象，并设置请求头 Content-Type: application/json。",
    ),
    "invalid_multipart": _both(
        "The upload cannot be parsed: {problem}.",
        "无法解析上传内容：{problem}。",
        "Send the file as multipart/form-data with the field name `file`: curl -F file=@rows.json",
        "请以 multipart/form-data 上传，文件字段名为 `file`：curl -F file=@rows.json",
    ),
    "unsafe_character": _both(
        "{field} contains {character}, a control character or a character that changes the text direction.",
        "{field} 含有不允许的字符 {character}（控制字符或改变文字方向的字符）。",
        "Remove it. Emoji and letters of any script are accepted.",
        "请删除该字符。各种文字和表情符号均可使用。",
    ),
    "bad_label_filter": _both(
        "A label filter must have the form key:value, or key for any value.",
        "标签筛选的格式应为 key:value；只写 key 表示任意值。",
        "For example: ?label=team:nlp. Repeat `label` to filter by several labels.",
        "例如 ?label=team:nlp；可重复 `label` 按多个标签筛选。",
    ),
    "too_many_labels": _both(
        "The job would have {count} labels; at most {most} are allowed.",
        "修改后该任务将有 {count} 个标签，上限为 {most} 个。",
        "Remove a label in the same request: set its value to null.",
        "请在同一请求中删除部分标签（将其值设为 null）。",
    ),
    "unknown_format": _both(
        "This path does not support the format {format}.",
        "该路径不支持格式 {format}。",
        "Use one of: {offered}.",
        "可用格式：{offered}。",
    ),
    "not_together": _both(
        "{one} has no effect when combined with {other}.",
        "{one} 与 {other} 同时使用时无效。",
        "Remove one of them.",
        "请去掉其中一个。",
    ),
    "bad_artifact_name": _both(
        "The artifact name is invalid.",
        "产物名称无效。",
        "Use up to 100 letters, digits, dots, hyphens and underscores. The first character must be a letter or a digit.",
        "请使用不超过 100 个字母、数字、点、连字符或下划线，并以字母或数字开头。",
    ),
    "number_too_large": _both(
        "{field} contains a number larger than {limit}.",
        "{field} 中的数值超过上限 {limit}。",
    ),
    "bad_cursor": _both(
        "The cursor does not belong to this list.",
        "该游标不属于此列表。",
        "Send the `cursor` of the previous page unchanged, or omit it to start from the first page.",
        "请原样传回上一页的 `cursor`，或省略它从第一页开始。",
    ),
    "finding_not_found": _both(
        "Job {job} does not currently have the finding {finding}.",
        "任务 {job} 目前没有 {finding} 这项健康告警。",
        "Its findings are: {codes}. GET the job to see them.",
        "当前的告警：{codes}。可通过 GET 查询该任务。",
    ),
    "dataset_not_found": _both(
        "Dataset {dataset} does not exist.",
        "数据集 {dataset} 不存在。",
        "Upload the file with POST /v1/datasets and use the id in the response.",
        "请先用 POST /v1/datasets 上传文件，再使用返回的 id。",
    ),
    "dataset_not_reviewed": _both(
        "The rows of dataset {dataset} could not be reviewed within the limits STEPLINE_REVIEW_SECONDS and "
        "STEPLINE_REVIEW_MEMORY_BYTES.",
        "无法在 STEPLINE_REVIEW_SECONDS 和 STEPLINE_REVIEW_MEMORY_BYTES 的限制内检查数据集 {dataset}。",
        "The dataset can be used without a review. The server's log has details.",
        "不检查也可以使用该数据集。详情见服务器日志。",
    ),
    "no_training_rows": _both(
        "With a dataset.eval_size of {eval_size}, no rows remain for training: the dataset has {rows} rows.",
        "dataset.eval_size 为 {eval_size} 时没有剩余的训练数据：数据集共 {rows} 条。",
        "Lower dataset.eval_size or upload more rows.",
        "请减小 dataset.eval_size，或上传更多数据。",
    ),
    "no_training_rows_of_dataset": _both(
        "With a dataset.eval_size of {eval_size}, one of the datasets would have no rows left for training: the datasets have {rows} rows.",
        "dataset.eval_size 为 {eval_size} 时，有的数据集没有剩余的训练数据：各数据集的条数为 {rows}。",
        "Lower dataset.eval_size, or remove datasets without rows to train on.",
        "请减小 dataset.eval_size，或去掉没有可训练数据的数据集。",
    ),
    "too_many_gpus": _both(
        "resources.gpus is {gpus}, but an update has only {samples} samples (training.per_device_batch_size × "
        "training.gradient_accumulation_steps). Each GPU needs at least one.",
        "resources.gpus 为 {gpus}，但每次更新只有 {samples} 个样本（training.per_device_batch_size × "
        "training.gradient_accumulation_steps）。每张 GPU 至少需要一个样本。",
        "Set resources.gpus to at most {samples}, or raise training.gradient_accumulation_steps.",
        "请将 resources.gpus 设为不超过 {samples}，或增大 training.gradient_accumulation_steps。",
    ),
    "model_not_found": _both(
        "No worker has the model {model} or can download it from the hub.",
        "所有工作节点上都没有模型 {model}，也无法从 Hub 下载。",
        "{guess}Available models: {models}. Use one of them, or add {model} to the models directory of a worker.",
        "{guess}可用模型：{models}。也可将该模型放入工作节点的模型目录。",
    ),
    "model_not_listed": _both(
        "No worker has reported the model {model}.",
        "没有工作节点上报过模型 {model}。",
        "GET /v1/models lists the models on the workers. Models on the hub are not listed.",
        "GET /v1/models 列出各工作节点上的模型，不含 Hub 上的模型。",
    ),
    "model_not_deletable": _both(
        "{model} is a model on the workers, and cannot be deleted over the API.",
        "{model} 是工作节点上的模型，不能通过 API 删除。",
        "Only fine-tuned models (ft:…), the adapters of jobs, can be deleted. To remove this model, delete it from the models directory of each worker.",
        "只能删除微调得到的模型（ft:…），即任务的 adapter。要移除该模型，请从各工作节点的模型目录中删除。",
    ),
    "model_not_installed": _both(
        "No worker has the model {model} on its disk.",
        "所有工作节点上都没有安装模型 {model}。",
        "{guess}Models on the workers: {models}. Previews and token counts never download a model: use one of these, add {model} to the models directory of a "
        "worker, or download it with POST /v1/models/{model}/prefetch.",
        "{guess}各工作节点的模型：{models}。预览和 token 统计不会下载模型：请选用其中之一，或将该模型放入工作节点的模型目录，或用 POST /v1/models/{model}/prefetch 下载。",
    ),
    "workers_too_old": _both(
        "The workers that could do this run an earlier version of Stepline: {workers}.",
        "能够执行此操作的工作节点版本过旧：{workers}。",
        "Upgrade these workers.",
        "请升级这些工作节点。",
    ),
    "hub_not_enabled": _both(
        "No live worker may download from the hub.",
        "没有在线的工作节点允许从 Hub 下载。",
        "Start a worker with STEPLINE_HUB=true, copy a model to the models directory of a worker, or upload a dataset. Live workers: {workers}.",
        "请以 STEPLINE_HUB=true 启动工作节点，或将模型复制到工作节点的模型目录，数据集可直接上传。在线工作节点：{workers}。",
    ),
    "row_not_found": _both(
        "Dataset {dataset} has no row {row}; it has {count} rows.",
        "数据集 {dataset} 没有第 {row} 行，共 {count} 行。",
        "Rows are counted from 0.",
        "行号从 0 开始。",
    ),
    "preview_rows_too_large": _both(
        "The chosen rows total more than {limit} bytes.",
        "所选数据合计超过 {limit} 字节。",
        "Choose fewer rows.",
        "请减少行数。",
    ),
    "errand_not_found": _both(
        "There is no errand {errand}.",
        "不存在短任务 {errand}。",
        "Errands are kept for an hour after they end. Send the request that created the errand again.",
        "短任务结束后保留一小时。请重新发送创建它的请求。",
    ),
    "errand_superseded": _both(
        "Errand {errand} has ended or was given to another worker.",
        "短任务 {errand} 已结束或已交给其他工作节点。",
    ),
    "errand_ended": _both(
        "Errand {errand} is {status}; it cannot be cancelled.",
        "短任务 {errand} 的状态为 {status}，无法取消。",
    ),
    "file_not_found": _both(
        "File {file} does not exist.",
        "文件 {file} 不存在。",
        "Upload the file with POST /v1/files, or list the files with GET /v1/files. A file no longer exists once it or its dataset has been deleted.",
        "请用 POST /v1/files 上传文件，或用 GET /v1/files 查看现有文件。文件或其数据集被删除后，该文件就不再存在。",
    ),
    "file_of_job": _both(
        "File {file} was written by job {job} and cannot be deleted separately.",
        "文件 {file} 由任务 {job} 生成，不能单独删除。",
        "Delete the job with DELETE /v1/jobs/{job}.",
        "请用 DELETE /v1/jobs/{job} 删除该任务。",
    ),
    "unsupported_method": _both(
        "The method {method} is not supported: Stepline supports only supervised fine-tuning.",
        "不支持 {method} 方法：Stepline 只支持监督微调。",
        "Set `method.type` to `supervised`, or omit `method`. If the rows contain rated answers, set `stepline.dataset.preference` to train on only the good ones.",
        "请将 `method.type` 设为 `supervised`，或省略 `method`。如果数据带有偏好标注，可用 `stepline.dataset.preference` 只训练好的回答。",
    ),
    "unsupported_integration": _both(
        "The integration {integration} is not configured on this server.",
        "此服务器没有配置集成 {integration}。",
        "Omit `integrations`, or ask the operator to set STEPLINE_WANDB=true for the server and the workers, and WANDB_API_KEY "
        "or WANDB_MODE=offline for the workers.",
        "请省略 `integrations`，或请运维人员为服务器和工作节点设置 STEPLINE_WANDB=true，并为工作节点设置 WANDB_API_KEY 或 WANDB_MODE=offline。",
    ),
    "unsupported_filter": _both(
        "The filter {filter} is not supported.",
        "不支持筛选条件 {filter}。",
        "Filter by values, such as metadata[key]=value, or by metadata=null alone, which lists jobs without metadata.",
        "请按值筛选，例如 metadata[key]=value；或单独使用 metadata=null，列出没有元数据的任务。",
    ),
    "field_given_twice": _both(
        "{field} and {other} set the same value.",
        "{field} 与 {other} 设置的是同一项。",
        "Remove one of the two.",
        "请删除其中一个。",
    ),
    "upload_not_found": _both(
        "Upload {upload} does not exist.",
        "上传 {upload} 不存在。",
        "Create an upload with POST /v1/uploads. Uploads that have ended are deleted after a week.",
        "请用 POST /v1/uploads 创建上传。已结束的上传会在一周后删除。",
    ),
    "upload_ended": _both(
        "Upload {upload} is {status}.",
        "上传 {upload} 的状态为 {status}，不再接受请求。",
        "Create another upload with POST /v1/uploads.",
        "请用 POST /v1/uploads 创建新的上传。",
    ),
    "upload_too_large": _both(
        "The file has {bytes} bytes, which exceeds the limit of {limit}.",
        "文件大小为 {bytes} 字节，超过上限 {limit}。",
        "Compress or split the file, or raise STEPLINE_MAX_UPLOAD_BYTES on the server.",
        "请压缩或拆分文件，或在服务器上调大 STEPLINE_MAX_UPLOAD_BYTES。",
    ),
    "too_many_uploads": _both(
        "{count} uploads are open; no more are accepted.",
        "已有 {count} 个未完成的上传，暂不接受更多。",
        "Complete or cancel uploads, or wait until they expire.",
        "请完成或取消已有的上传，或等待其过期。",
    ),
    "webhook_endpoint_not_found": _both(
        "There is no webhook endpoint {endpoint_id}.", "不存在 webhook 端点 {endpoint_id}。"
    ),
    "too_many_webhook_endpoints": _both(
        "There are already {limit} webhook endpoints, which is the maximum.",
        "已有 {limit} 个 webhook 端点，达到上限。",
        "Delete an endpoint that is no longer needed.",
        "请删除不再需要的端点。",
    ),
    "webhook_url_invalid": _both(
        "url must be an http or https URL with a host name, without a user name, a password or a fragment.",
        "url 应为含主机名的 http 或 https 地址，且不含用户名、密码和片段。",
    ),
    "webhook_address_refused": _both(
        "The server does not send webhooks to {address}, because it is not a public address.",
        "服务器不向 {address} 发送 webhook，因为它不是公网地址。",
        "The operator can allow its network with STEPLINE_WEBHOOK_NETWORKS.",
        "运维人员可通过 STEPLINE_WEBHOOK_NETWORKS 允许该网段。",
    ),
    "webhook_test_failed": _both(
        "The receiver of {endpoint_id} did not respond ({reason}).",
        "{endpoint_id} 的接收方没有响应（{reason}）。",
        "Check that the URL can be reached from the server.",
        "请检查服务器能否访问该 URL。",
    ),
    "webhooks_local_only": _both(
        "Webhook endpoints can be managed only from the server's own host.",
        "只能在服务器本机上管理 webhook 端点。",
        "Send the request to the loopback address, for example over SSH.",
        "请通过回环地址发送请求，例如先用 SSH 登录服务器。",
    ),
    "too_many_parts": _both(
        "The upload already has {limit} parts, which is the maximum.",
        "该上传已有 {limit} 个分片，达到上限。",
        "Cancel the upload and send larger parts.",
        "请取消该上传，并使用更大的分片。",
    ),
    "parts_too_large": _both(
        "With this part, the upload would have {received} bytes, but only {bytes} were declared.",
        "加上此分片后共 {received} 字节，超过声明的 {bytes} 字节。",
        "Check whether a part was sent twice, and whether `bytes` is the size of the whole file.",
        "请检查是否重复发送了分片，以及 bytes 是否为整个文件的大小。",
    ),
    "part_not_found": _both(
        "The upload has no unused part {part}.",
        "该上传中没有可用的分片 {part}。",
        "List each part's id once, in the order of the file.",
        "请按文件顺序列出每个分片的 id，且每个只列一次。",
    ),
    "md5_mismatch": _both(
        "The MD5 of the parts is {found}, but the request declared {declared}.",
        "各分片合并后的 MD5 为 {found}，与声明的 {declared} 不一致。",
        "Check the order of part_ids, and send damaged parts again.",
        "请检查 part_ids 的顺序，并重新发送损坏的分片。",
    ),
    "upload_size_mismatch": _both(
        "The parts have {received} bytes in total, but {bytes} were declared.",
        "各分片共 {received} 字节，与声明的 {bytes} 字节不符。",
        "Send the missing parts, and list all of them in part_ids.",
        "请补发缺少的分片，并在 part_ids 中列出全部分片。",
    ),
    "too_many_errands": _both(
        "{count} errands are waiting for a worker; no more are accepted.",
        "已有 {count} 个短任务在等待工作节点，暂不接受更多。",
        "Try again in a few seconds.",
        "请稍后重试。",
    ),
    "dataset_not_measured": _both(
        "The tokens of dataset {dataset} have not been counted with the model {model}.",
        "尚未用模型 {model} 统计数据集 {dataset} 的 token。",
        'To have a worker count them, send POST /v1/datasets/{dataset}/tokens with {{"model": "{model}"}}.',
        '请用 POST /v1/datasets/{dataset}/tokens（请求体 {{"model": "{model}"}}）让工作节点统计。',
    ),
    "measurement_failed": _both(
        "The tokens could not be counted with the model {model}: {problem} {detail}",
        "无法用模型 {model} 统计 token：{problem}{detail}",
    ),
    "measurement_unavailable": _both(
        "The tokens have not been counted with the model {model}: {problem} {detail}",
        "暂时无法用模型 {model} 统计 token：{problem}{detail}",
        "Try again. GET /v1/workers shows whether the workers are alive.",
        "请重试。GET /v1/workers 可查看工作节点是否在线。",
    ),
    "preview_failed": _both(
        "The rows could not be rendered with the model {model}: {problem} {detail}",
        "无法用模型 {model} 渲染这些数据：{problem}{detail}",
    ),
    "preview_unavailable": _both(
        "No preview with the model {model} is available: {problem} {detail}",
        "暂时无法用模型 {model} 预览：{problem}{detail}",
        "Try again. GET /v1/workers shows whether the workers are alive.",
        "请重试。GET /v1/workers 可查看工作节点是否在线。",
    ),
    "worker_not_found": _both(
        "Worker {worker} has not sent a hello.",
        "工作节点 {worker} 尚未发送 hello。",
        "Send a hello first, then the report.",
        "请先发送 hello，再上报。",
    ),
    "dataset_invalid": _both(
        "Invalid rows found: {count}. {problems}",
        "发现 {count} 条无效数据。{problems}",
        "Each row must be {expected}.",
        "要求：{expected}。",
    ),
    "dataset_unreadable": _both(
        "The file cannot be read: {problem}.",
        "无法读取文件：{problem}。",
        "Upload JSON, JSONL, CSV, TSV, Parquet or Arrow, either as is, compressed with gzip or zstd, or in a ZIP archive.",
        "支持 JSON、JSONL、CSV、TSV、Parquet 和 Arrow，可用 gzip、zstd 压缩，或打包为 ZIP。",
    ),
    "column_not_found": _both(
        "No row has a column named '{column}'.",
        "没有任何一行包含名为“{column}”的列。",
        "Check the spelling. The columns of the first row are: {columns}.",
        "请检查拼写。第一行的列为：{columns}。",
    ),
    "dataset_empty": _both(
        "The file has no rows.",
        "文件中没有数据。",
        "Upload a JSON array of objects, JSONL with one object per line, or a table with a row of column names.",
        "请上传 JSON（对象数组）、JSONL（每行一个对象）或首行为列名的表格。",
    ),
    "checksum_mismatch": _both(
        "The SHA-256 of the received body is {actual}, but the request declared {announced}.",
        "收到的请求体的 SHA-256 为 {actual}，与声明的 {announced} 不一致。",
        "Upload the file again.",
        "请重新上传文件。",
    ),
    "invalid_token": _both(
        "The token is missing or invalid.",
        "令牌缺失或无效。",
        "Send Authorization: Bearer …. STEPLINE_WORKER_TOKEN must be the same on the worker and the server.",
        "请发送 Authorization: Bearer …。工作节点与服务器的 STEPLINE_WORKER_TOKEN 必须一致。",
    ),
    "invalid_host": _both(
        "The Host header must be one host name or address with an optional port: {host}",
        "请求头 Host 应为单个主机名或地址（可带端口）：{host}",
        "Use the server's own address, for example http://127.0.0.1:8000.",
        "请使用服务器自身的地址，例如 http://127.0.0.1:8000。",
    ),
    "host_not_allowed": _both(
        "The server rejects requests for the host {host}: STEPLINE_ALLOWED_HOSTS does not list it.",
        "服务器拒绝发往主机 {host} 的请求：STEPLINE_ALLOWED_HOSTS 未包含该主机。",
        "If {host} is a name of this server, add it to STEPLINE_ALLOWED_HOSTS on the server (separated by commas) "
        "and restart the server.",
        "如果 {host} 是本服务器的名称，请将其加入服务器的 STEPLINE_ALLOWED_HOSTS（以逗号分隔）并重启服务器。",
    ),
    "origin_not_allowed": _both(
        "The server rejects this {method} request: it was sent by a web page from another origin "
        "(Origin: {origin}, Sec-Fetch-Site: {site}).",
        "服务器拒绝此 {method} 请求：请求来自其他源的网页（Origin: {origin}，Sec-Fetch-Site: {site}）。",
        "If you trust that page, add its origin to STEPLINE_CORS_ORIGINS on the server and restart the server.",
        "如果信任该网页，请将其源加入服务器的 STEPLINE_CORS_ORIGINS 并重启服务器。",
    ),
    "path_not_found": _both(
        "The path {path} does not exist.",
        "路径 {path} 不存在。",
        "/openapi.json lists all paths.",
        "所有路径见 /openapi.json。",
    ),
    "job_not_found": _both(
        "Job {job} does not exist.",
        "任务 {job} 不存在。",
        "GET /v1/jobs lists the jobs. A deleted job is not listed.",
        "GET /v1/jobs 列出所有任务，不含已删除的任务。",
    ),
    "artifact_not_found": _both(
        "Job {job} has no artifact {name}.",
        "任务 {job} 没有产物 {name}。",
        "GET /v1/jobs/{job}/artifacts lists its artifacts.",
        "现有产物见 GET /v1/jobs/{job}/artifacts。",
    ),
    "method_not_allowed": _both(
        "{path} does not support {method}.",
        "{path} 不支持 {method}。",
        "Use {allowed}.",
        "请使用 {allowed}。",
    ),
    "job_already_ended": _both(
        "Job {job} has already ended ({status}).",
        "任务 {job} 已结束（{status}）。",
    ),
    "cancel_pending": _both(
        "Job {job} is being cancelled.",
        "任务 {job} 正在取消。",
        "Wait until its status is `cancelled`, then start it again with POST /v1/jobs/{job}/retry.",
        "请等待其状态变为 `cancelled`，再用 POST /v1/jobs/{job}/retry 重试。",
    ),
    "does_not_fit": _both(
        "The job was not submitted, because it is not known to fit a worker that is online. {reason}",
        "任务未提交，因为无法确定有在线的工作节点能容纳它。{reason}",
        "Reduce training.max_length or lora.rank, use the preset low-memory, or start a worker on a device with more memory. "
        "Without require_fit, the job waits in the queue for a suitable worker.",
        "请减小 training.max_length 或 lora.rank，使用预设 low-memory，或在内存更大的设备上启动工作节点。不使用 require_fit 时，"
        "任务会排队等待合适的工作节点。",
    ),
    "job_paused": _both(
        "Job {job} is paused.",
        "任务 {job} 已暂停。",
        "Resume it with POST /v1/jobs/{job}/resume.",
        "请用 POST /v1/jobs/{job}/resume 恢复。",
    ),
    "job_running": _both(
        "Job {job} is running.",
        "任务 {job} 正在运行。",
        "Cancel or pause it and wait until it has stopped.",
        "请先取消或暂停任务，并等待其停止。",
    ),
    "job_not_queued": _both(
        "The priority of job {job} cannot be changed: the job is {status}, not queued.",
        "无法修改任务 {job} 的优先级：任务当前状态为 {status}，不在队列中。",
        "Priority affects only queued jobs. Send the other fields without `priority`.",
        "优先级只影响排队中的任务。请去掉 priority 后重新提交其他字段。",
    ),
    "job_not_ended": _both(
        "Job {job} cannot be archived: it is {status}.",
        "无法归档任务 {job}：任务当前状态为 {status}。",
        "Archive it after it has ended, or cancel it first.",
        "请等待任务结束，或先取消任务，再归档。",
    ),
    "edit_conflict": _both(
        "Job {job} has been edited since the version that If-Match names.",
        "任务 {job} 在 If-Match 所指的版本之后已被修改。",
        "Read the job again, check the changes, and send the edit with the new ETag.",
        "请重新读取任务，确认他人的修改，再用新的 ETag 提交。",
    ),
    "dataset_gone": _both(
        "Dataset {dataset} of job {job} has been deleted.",
        "任务 {job} 的数据集 {dataset} 已被删除。",
        "Upload the same file again (it gets the same id), then retry the job.",
        "请重新上传同一文件（id 不变），然后重试任务。",
    ),
    "summary_not_ready": _both(
        "Job {job} has no summary: its status is {status}.",
        "任务 {job} 尚无训练报告：当前状态为 {status}。",
        "Only a job that has succeeded has a summary.",
        "任务成功后才会生成训练报告。",
    ),
    "idempotency_conflict": _both(
        "This Idempotency-Key belongs to a different request, which created job {job}.",
        "该 Idempotency-Key 已用于另一个请求，该请求创建了任务 {job}。",
        "Use a new key for a new request. The server keeps a key for 24 hours.",
        "新请求请使用新的 Idempotency-Key，服务器会保留 24 小时。",
    ),
    "dataset_validating": _both(
        "Dataset {dataset} is still being checked.",
        "数据集 {dataset} 仍在校验中。",
        "Wait until its status is ready, then send the request again. GET /v1/datasets/{dataset} shows the progress.",
        "请等到其状态变为 ready 后重试。可通过 GET /v1/datasets/{dataset} 查看进度。",
    ),
    "dataset_failed": _both(
        "Dataset {dataset} failed its check and cannot be used.",
        "数据集 {dataset} 未通过校验，无法使用。",
        "GET /v1/datasets/{dataset} lists the problems. Fix the file and upload it again.",
        "可通过 GET /v1/datasets/{dataset} 查看问题。请修正文件后重新上传。",
    ),
    "dataset_in_use": _both(
        "Dataset {dataset} is used by job {job}, which has not ended.",
        "数据集 {dataset} 正在被任务 {job} 使用，该任务尚未结束。",
        "Cancel the job or wait for it to end.",
        "请取消该任务，或等待其结束。",
    ),
    "attempt_superseded": _both(
        "Attempt {attempt} is no longer the current one ({status}).",
        "尝试 {attempt} 已被取代（{status}）。",
        "Stop the training process and claim a new job.",
        "请停止训练进程并重新领取任务。",
    ),
    "records_missing": _both(
        "Attempt {attempt} has {last_seq} records, but the server has received only the first {acked_seq}.",
        "尝试 {attempt} 共有 {last_seq} 条记录，服务器只收到前 {acked_seq} 条。",
        "acked_seq={acked_seq}",
        "acked_seq={acked_seq}",
    ),
    "checkpoint_not_recorded": _both(
        "The server has not received the record of the checkpoint at step {step} of attempt {attempt}.",
        "服务器尚未收到尝试 {attempt} 第 {step} 步检查点的记录。",
        "Sync the records, then offer the checkpoint again.",
        "请先同步记录，再重新提交检查点。",
    ),
    "attempt_not_found": _both(
        "Job {job} has no ended attempt {number}.",
        "任务 {job} 没有已结束的第 {number} 次尝试。",
    ),
    "checkpoint_file_not_found": _both(
        "No checkpoint of the job contains the file {sha256}.",
        "该任务的检查点中没有文件 {sha256}。",
        "Offer the checkpoint first. The server deletes the files of pruned checkpoints.",
        "请先提交检查点。检查点被清理后，其文件也会一并删除。",
    ),
    "checkpoint_not_stored": _both(
        "The checkpoint {checkpoint} at step {step} is only on the disk of its worker, so its adapter cannot be downloaded.",
        "第 {step} 步的检查点 {checkpoint} 只保存在工作节点的磁盘上，因此无法下载其适配器。",
        "Choose a checkpoint whose `stored` is true. With `checkpoint.upload` set to `always`, workers upload each checkpoint.",
        "请选择 `stored` 为 true 的检查点。将 `checkpoint.upload` 设为 `always` 后，工作节点会上传每个检查点。",
    ),
    "checkpoint_without_adapter": _both(
        "The checkpoint {checkpoint} does not describe its adapter: an earlier version of the worker wrote it.",
        "检查点 {checkpoint} 没有适配器的描述：它由旧版本的工作节点写入。",
        "Download the adapter of the finished job, or a checkpoint that a current worker has written.",
        "请下载任务完成后的适配器，或由当前版本的工作节点写入的检查点。",
    ),
    "artifacts_missing": _both(
        "Attempt {attempt} reports success, but {missing} is missing.",
        "尝试 {attempt} 报告成功，但缺少 {missing}。",
        "Upload it, then finish the attempt again.",
        "请先上传，再结束该尝试。",
    ),
    "body_too_large": _both(
        "The request body is larger than {limit} bytes, the limit for this path.",
        "请求体超过此路径的上限 {limit} 字节。",
    ),
    "invalid_http": _both(
        "The request is not valid HTTP/1.1: {problem}.",
        "请求不是合法的 HTTP/1.1：{problem}。",
        "Check the request line, the headers and the framing of the body. If the client uses https, use http.",
        "请检查请求行、请求头，以及 Content-Length 或 Transfer-Encoding。如果客户端使用了 https，请改用 http。",
    ),
    "head_timeout": _both(
        "The request headers did not arrive within {seconds:g} seconds.",
        "请求头未能在 {seconds:g} 秒内到达。",
        "Send the request again. STEPLINE_HEADER_SECONDS sets this limit.",
        "请重新发送请求。该时限由 STEPLINE_HEADER_SECONDS 设置。",
    ),
    "body_timeout": _both(
        "Fewer than {bytes} bytes of the request body arrived within {seconds:g} seconds.",
        "{seconds:g} 秒内收到的请求体不足 {bytes} 字节。",
        "Send the request again. STEPLINE_PROGRESS_SECONDS and STEPLINE_PROGRESS_BYTES set this limit.",
        "请重新发送请求。该限制由 STEPLINE_PROGRESS_SECONDS 和 STEPLINE_PROGRESS_BYTES 设置。",
    ),
    "too_many_connections": _both(
        "Your address has {limit} connections to this server, which is the limit.",
        "来自您地址的连接数已达上限（{limit}）。",
        "Close or reuse connections. STEPLINE_CONNECTIONS_PER_PEER sets this limit; raise it behind a reverse proxy.",
        "请关闭或复用连接。该上限由 STEPLINE_CONNECTIONS_PER_PEER 设置；使用反向代理时请调高。",
    ),
    "too_many_streams": _both(
        "Your address has {limit} streams and long polls open, which is the limit.",
        "来自您地址的事件流和长轮询已达上限（{limit} 个）。",
        "Close some, or poll /v1/jobs/{{id}}/metrics?since=. STEPLINE_STREAMS_PER_PEER sets this limit.",
        "请关闭一部分，或改为轮询 /v1/jobs/{{id}}/metrics?since=。该上限由 STEPLINE_STREAMS_PER_PEER 设置。",
    ),
    "streams_full": _both(
        "This server has {limit} streams and long polls open, which is the limit.",
        "本服务器的事件流和长轮询已达上限（{limit} 个）。",
        "Try again later, or poll /v1/jobs/{{id}}/metrics?since=. STEPLINE_STREAMS sets this limit.",
        "请稍后重试，或改为轮询 /v1/jobs/{{id}}/metrics?since=。该上限由 STEPLINE_STREAMS 设置。",
    ),
    "head_too_large": _both(
        "The request line and the headers together are longer than {limit} bytes.",
        "请求行和请求头合计超过 {limit} 字节。",
        "Remove headers that are not needed, or send long values in the body.",
        "请去掉不需要的请求头，或将较长的值放入请求体。",
    ),
    "range_not_satisfiable": _both(
        "The range is outside the file, which has {length} bytes.",
        "请求的范围超出文件：文件共 {length} 字节。",
        "Send Range: bytes=first-last, where first is less than the length of the file.",
        "请使用 Range: bytes=起始-结束，起始须小于文件长度。",
    ),
    "internal_error": _both(
        "The server failed to handle request {request_id}.",
        "服务器处理请求 {request_id} 时出错。",
        "Look up this id in the server's log for details.",
        "请在服务器日志中按该请求 id 查找详情。",
    ),
    "database_unavailable": _both(
        "The server cannot reach its database.",
        "服务器无法访问数据库。",
        "No data was lost. Try again in a few seconds.",
        "数据没有丢失，请几秒后重试。",
    ),
    "storage_unavailable": _both(
        "The server cannot write to its storage.",
        "服务器无法写入存储。",
        "Check the free space and the permissions of STEPLINE_DATA_DIR.",
        "请检查 STEPLINE_DATA_DIR 的剩余空间和权限。",
    ),
    "storage_full": _both(
        "One of the server's disks is full.",
        "服务器磁盘已满。",
        "No partial data was kept. Free space on the disks of STEPLINE_DATA_DIR and the database, for example by deleting "
        "jobs.",
        "没有残留不完整的数据。请清理 STEPLINE_DATA_DIR 和数据库所在的磁盘，例如删除旧任务。",
    ),
}
