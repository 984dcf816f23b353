"""FileError: a problem with an uploaded file or a table row, as a code and values. RowError covers a row's content."""

from dataclasses import dataclass
from enum import StrEnum

from app.datasets.files.file_kind import FileKind
from contracts.failure import Language
from contracts.values.text import escape

MAX_FIGURE_CHARACTERS = 300


class FileProblem(StrEnum):
    """Reasons for rejecting a file, other than the content of its rows."""

    OTHER_KIND = "other_kind"
    NOT_ENCODED = "not_encoded"
    NOT_DECODED = "not_decoded"
    """The same for an encoding other than UTF-8, which the request or a byte order mark states."""
    NUL = "nul"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    UNPACKED_TOO_LARGE = "unpacked_too_large"
    RATIO = "ratio"
    NESTED = "nested"
    UNSAFE_NAME = "unsafe_name"
    TOO_MANY_ENTRIES = "too_many_entries"
    NO_DATA_FILE = "no_data_file"
    TOO_MANY_COLUMNS = "too_many_columns"
    REPEATED_COLUMN = "repeated_column"
    NO_COLUMN_NAMES = "no_column_names"
    TOO_DEEP = "too_deep_columns"
    TOO_MANY_ROWS = "too_many_rows"
    FEWER_ROWS = "fewer_rows"
    WIDTH = "width"
    QUOTE = "quote"
    OPEN_QUOTE = "open_quote"
    CELL_NOT_JSON = "cell_not_json"
    CELL_NOT_UTF8 = "cell_not_utf8"
    TIME = "time"
    MEMORY = "memory"
    CRASHED = "crashed"
    CHECK_TIME = "check_time"
    CHECK_MEMORY = "check_memory"
    CHECK_CRASHED = "check_crashed"
    OTHER = "other"
    """A code of another version of the server, in stored refusals."""


class FileError(ValueError):
    """A file or table row that cannot be read.

    `line` counts from 1; 0 means the whole file, or a file without lines. `file` is the name within an archive, if the
    problem concerns one of its files.
    """

    def __init__(
        self, problem: FileProblem, line: int = 0, *, file: str = "", **figures: str | int
    ) -> None:
        self.problem = problem
        self.line = line
        self.file = file
        self.figures = {
            name: escape(value)[:MAX_FIGURE_CHARACTERS] if isinstance(value, str) else value
            for name, value in figures.items()
        }
        super().__init__(self.sentence())

    def sentence(self, language: Language = "en") -> str:
        """Return a sentence that describes the problem and how to fix it."""
        words = _WORDS[self.problem]
        figures = dict(self.figures)
        if "kind" in figures:
            kind = _KINDS[str(figures["kind"])]
            figures["kind"] = kind.zh if language == "zh" else kind.en
        return (words.zh if language == "zh" else words.en).format(**figures)


@dataclass(frozen=True)
class _Words:
    en: str
    zh: str


_KINDS: dict[str, _Words] = {
    "json": _Words("JSON", " JSON "),
    "csv": _Words("CSV", " CSV "),
    "tsv": _Words("TSV", " TSV "),
    "parquet": _Words("Parquet", " Parquet "),
    "arrow_file": _Words("Arrow", " Arrow "),
    "arrow_stream": _Words("Arrow", " Arrow "),
    "gzip": _Words("gzip", " gzip "),
    "zstd": _Words("zstd", " zstd "),
    "zip": _Words("ZIP", " ZIP "),
    "plain_text": _Words("plain text", "纯文本"),
    "utf32": _Words("text in UTF-32", " UTF-32 文本"),
    "encrypted_parquet": _Words("encrypted Parquet", "加密的 Parquet 文件"),
    "bzip2": _Words("compressed with bzip2", " bzip2 压缩文件"),
    "xz": _Words("compressed with xz", " xz 压缩文件"),
    "7z": _Words("a 7z archive", " 7z 压缩包"),
    "rar": _Words("a RAR archive", " RAR 压缩包"),
    "tar": _Words("a tar archive", " tar 归档"),
    "office": _Words("an Office document", " Office 文档"),
    "pdf": _Words("a PDF document", " PDF 文档"),
}

_WORDS: dict[FileProblem, _Words] = {
    FileProblem.OTHER_KIND: _Words("it is {kind}", "文件是{kind}"),
    FileProblem.NOT_ENCODED: _Words(
        "it is not {encoding} ({said}). Save it as UTF-8; if it is GB18030 or GBK, upload it with ?encoding=gb18030",
        "不是 {encoding} 编码（{said}）。请另存为 UTF-8；如果是 GB18030 或 GBK，请用 ?encoding=gb18030 上传",
    ),
    FileProblem.NOT_DECODED: _Words(
        "it is not {encoding} ({said}). Save it as UTF-8",
        "不是 {encoding} 编码（{said}）。请另存为 UTF-8",
    ),
    FileProblem.NUL: _Words(
        "the text contains a NUL character. If it is UTF-16 without a byte order mark, upload it with ?encoding=utf-16, or save it "
        "as UTF-8",
        "文本中含有 NUL 字符。如果是不带 BOM 的 UTF-16，请用 ?encoding=utf-16 上传，或另存为 UTF-8",
    ),
    FileProblem.DAMAGED: _Words(
        "it is truncated or damaged {kind} ({said})", "{kind}文件不完整或已损坏（{said}）"
    ),
    FileProblem.ENCRYPTED: _Words(
        "it is encrypted; upload it without a password", "文件已加密；请上传未加密的文件"
    ),
    FileProblem.UNPACKED_TOO_LARGE: _Words(
        "its unpacked content has more than {limit} bytes (STEPLINE_MAX_UNPACKED_BYTES). Split the file, and upload the parts separately",
        "解压后的内容超过 {limit} 字节（STEPLINE_MAX_UNPACKED_BYTES）。请拆分后上传",
    ),
    FileProblem.RATIO: _Words(
        "it is more than {limit} times as large when unpacked. Upload it uncompressed",
        "解压后的大小超过压缩文件的 {limit} 倍。请上传未压缩的文件",
    ),
    FileProblem.NESTED: _Words(
        "it is an archive or a compressed file inside another one. Compress the data files only once",
        "压缩包里还有压缩文件。数据文件只能压缩一次",
    ),
    FileProblem.UNSAFE_NAME: _Words(
        "the name of this file points outside the archive", "该文件的名称指向压缩包之外"
    ),
    FileProblem.TOO_MANY_ENTRIES: _Words(
        "the archive lists more than {limit} files", "压缩包中的文件超过 {limit} 个"
    ),
    FileProblem.NO_DATA_FILE: _Words(
        "the archive has no data file (.json, .jsonl, .csv, .tsv, .parquet or .arrow). It contains: {names}. Save an Excel "
        "document as CSV",
        "压缩包中没有数据文件（.json、.jsonl、.csv、.tsv、.parquet 或 .arrow），只有：{names}。Excel 文档请另存为 CSV",
    ),
    FileProblem.TOO_MANY_COLUMNS: _Words(
        "it has {found} columns; at most {limit} are read", "共有 {found} 列，最多支持 {limit} 列"
    ),
    FileProblem.REPEATED_COLUMN: _Words(
        "two columns have the name {column}", "有两列同名：{column}"
    ),
    FileProblem.NO_COLUMN_NAMES: _Words(
        "the first row must contain the column names", "第一行应为列名"
    ),
    FileProblem.TOO_DEEP: _Words(
        "its columns are nested deeper than {limit} levels", "列的嵌套超过 {limit} 层"
    ),
    FileProblem.TOO_MANY_ROWS: _Words(
        "it claims {found} rows; at most {limit} are read", "声明有 {found} 行，最多支持 {limit} 行"
    ),
    FileProblem.FEWER_ROWS: _Words(
        "it claims {claimed} rows, but has {found}", "声明有 {claimed} 行，实际只有 {found} 行"
    ),
    FileProblem.WIDTH: _Words(
        "the row has {found} cells; the header has {expected}",
        "该行有 {found} 个单元格，表头有 {expected} 个",
    ),
    FileProblem.QUOTE: _Words(
        "a quotation mark is misplaced ({said}). Inside a quoted cell, double each quotation mark",
        "引号位置不对（{said}）。带引号的单元格里，引号要写两遍",
    ),
    FileProblem.OPEN_QUOTE: _Words(
        "a quotation mark opens a cell in this row and is never closed",
        "该行有单元格以引号开头，但引号没有闭合",
    ),
    FileProblem.CELL_NOT_JSON: _Words(
        "{column} is not valid JSON ({said}). Cells in this column must contain JSON, such as "
        '[{{"role": "user", "content": "…"}}]',
        '{column} 不是合法的 JSON（{said}）。该列的单元格应为 JSON，例如 [{{"role": "user", "content": "…"}}]',
    ),
    FileProblem.CELL_NOT_UTF8: _Words(
        "{column} is not UTF-8 ({said})", "{column} 不是 UTF-8 编码（{said}）"
    ),
    FileProblem.TIME: _Words(
        "reading it takes more than {limit} seconds (STEPLINE_CONVERSION_SECONDS); {rows} rows were read. Split the file, and upload the parts separately",
        "读取超过 {limit} 秒（STEPLINE_CONVERSION_SECONDS），已读取 {rows} 条。请拆分后上传",
    ),
    FileProblem.MEMORY: _Words(
        "reading it takes more than {limit} bytes of memory (STEPLINE_CONVERSION_MEMORY_BYTES); {rows} rows were read. "
        "Write it with smaller row groups or batches, or upload it as JSONL",
        "读取所需内存超过 {limit} 字节（STEPLINE_CONVERSION_MEMORY_BYTES），已读取 {rows} 条。请减小 row group 或 batch，"
        "或改用 JSONL 上传",
    ),
    FileProblem.CRASHED: _Words(
        "the program that reads it ended with {how}; {rows} rows were read. The file is probably damaged. The server's "
        "log has details",
        "读取程序异常结束（{how}），已读取 {rows} 条。文件可能已损坏，详情见服务器日志",
    ),
    FileProblem.CHECK_TIME: _Words(
        "checking it takes more than {limit} seconds (STEPLINE_VALIDATION_SECONDS); {rows} rows were checked. Split the "
        "file, and upload the parts separately",
        "校验超过 {limit} 秒（STEPLINE_VALIDATION_SECONDS），已校验 {rows} 条。请拆分后上传",
    ),
    FileProblem.CHECK_MEMORY: _Words(
        "checking it takes more than {limit} bytes of memory (STEPLINE_CONVERSION_MEMORY_BYTES); {rows} rows were checked. "
        "Split the file, and upload the parts separately",
        "校验所需内存超过 {limit} 字节（STEPLINE_CONVERSION_MEMORY_BYTES），已校验 {rows} 条。请拆分后上传",
    ),
    FileProblem.CHECK_CRASHED: _Words(
        "the program that checks it ended with {how} more than once; {rows} rows were checked. Upload it again; if that does "
        "not help, the server's log has details",
        "校验程序多次异常结束（{how}），已校验 {rows} 条。请重新上传；如果仍然失败，详情见服务器日志",
    ),
    FileProblem.OTHER: _Words(
        "another version of the server rejected it; upload it again",
        "被其他版本的服务器拒绝；请重新上传",
    ),
}


def other_kind(kind: FileKind) -> FileError:
    """Return the error for an unsupported file type."""
    return FileError(FileProblem.OTHER_KIND, kind=kind)
