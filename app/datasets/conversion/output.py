"""Writes a file's content as frames, up to the byte limit."""

from typing import BinaryIO

from app.datasets.conversion import frames
from app.datasets.conversion.budget import Budget
from app.datasets.conversion.containers import read_file
from app.datasets.conversion.request import Request
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Rejected


def write_frames(file: BinaryIO, request: Request, output: BinaryIO) -> None:
    """Write a frame for each row and problem, and the final frame."""
    limit = request.limits.unpacked_bytes
    written = rows = 0
    name = ""
    try:
        for found in read_file(file, request, Budget.of(file, limit)):
            name, rows = found.file, rows + 1
            frame = frames.encode(found)
            written += len(frame)
            if written > limit:
                error = FileError(FileProblem.UNPACKED_TOO_LARGE, limit=limit)
                output.write(frames.encode(Rejected(error, file=name)))
                break
            output.write(frame)
    except MemoryError:
        memory = FileError(FileProblem.MEMORY, limit=request.limits.memory_bytes, rows=rows)
        output.write(frames.encode(Rejected(memory, file=name)))
    except OSError as error:
        if error.errno is None:
            raise
        output.write(frames.pack([frames.NO_ROOM, error.errno]))
    output.write(frames.pack(frames.END))
