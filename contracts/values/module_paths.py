"""Compact paths of a model's linear modules, and matching of adapter targets against them.

A path contains a range instead of a layer number: `model.layers.0-23.self_attn.q_proj` stands for 24 modules.
"""

import re
from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_RANGE = re.compile(r"(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})")


def compress_paths(paths: Iterable[str]) -> list[str]:
    """Return the sorted paths, with ranges instead of the first numbers."""
    numbers: dict[tuple[str, str], set[int]] = {}
    plain = []
    for path in paths:
        parts = path.split(".")
        at = next((n for n, part in enumerate(parts) if _NUMBER.fullmatch(part)), None)
        if at is None:
            plain.append(path)
        else:
            around = ".".join([*parts[:at], ""]), ".".join(["", *parts[at + 1 :]])
            numbers.setdefault(around, set()).add(int(parts[at]))
    for (before, after), found in numbers.items():
        plain += [f"{before}{low}-{high}{after}" for low, high in _runs(sorted(found))]
    return sorted(plain)


def is_target(path: str, target: str) -> bool:
    """Return whether a target matches a module path: the full path, or a suffix that follows a dot, as in peft."""
    wanted = target.split(".")
    parts = path.split(".")[-len(wanted) :]
    return len(parts) == len(wanted) and all(map(_fits, parts, wanted))


def example_target(path: str, target: str) -> str:
    """Return the last parts of a path, as many as the target has, with the target's number if it is in the range."""
    wanted = target.split(".")
    parts = path.split(".")[-len(wanted) :]
    return ".".join(map(_example, parts, wanted[-len(parts) :]))


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last number of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _fits(part: str, wanted: str) -> bool:
    run = _RANGE.fullmatch(part)
    if run is None:
        return part == wanted
    return bool(_NUMBER.fullmatch(wanted)) and int(run[1]) <= int(wanted) <= int(run[2])


def _example(part: str, wanted: str) -> str:
    run = _RANGE.fullmatch(part)
    if run is None:
        return part
    return wanted if _fits(part, wanted) else run[2]
