"""Imports bitsandbytes without torch's compiler."""

import importlib
from typing import Any
from unittest import mock

import torch


def import_bitsandbytes() -> None:
    """Import bitsandbytes before transformers or peft import it.

    bitsandbytes decorates functions of its fallback backend with torch.compile, which loads the whole compiler and takes
    a fifth of this program's startup time. If compiling fails, bitsandbytes runs them uncompiled, so leaving them uncompiled is safe.
    """
    with mock.patch.object(torch, "compile", _leave_uncompiled):
        importlib.import_module("bitsandbytes")


def _leave_uncompiled(function: Any = None, **_options: Any) -> Any:
    return _leave_uncompiled if function is None else function
