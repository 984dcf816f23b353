"""Replaces CUDA in a container whose cards exist only in the stub of NVML: each card passes its check, and jobs train on the CPU.

Python imports this file at its start, because the tests mount it as `sitecustomize.py` in a directory of PYTHONPATH.
"""

import os
import sys

if "worker.training" in sys.orig_argv:
    if "--check-device" in sys.orig_argv:
        os._exit(0)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
