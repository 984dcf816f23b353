"""Groups of environment variables. Each process gets only the groups that it needs, so secrets stay out of the others.

A name that ends in `*` matches every name with that prefix. A variable whose name looks like a secret never matches a
prefix; its full name must be listed.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

BASIC = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "PYTHON*",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "MALLOC_*",
)
"""For every process: paths, language, time zone, and settings of the interpreter and the allocator."""
COMPUTE = (
    "CUDA_*",
    "CUBLAS_*",
    "CUDNN_*",
    "NCCL_*",
    "NVIDIA_VISIBLE_DEVICES",  # not NVIDIA_*: some of those are API keys
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_TF32_OVERRIDE",
    "BNB_*",
    "BITSANDBYTES_*",
    "PYTORCH_*",
    "TORCH*",
    "TRITON_*",
    "OMP_*",
    "GOMP_*",
    "KMP_*",
    "MKL_*",
    "DNNL_*",
    "ONEDNN_*",
    "OPENBLAS_*",
    "ATEN_*",
    "CC",
    "CXX",
)
"""For the training program: variables that torch, bitsandbytes and their dependencies read."""
NETWORK = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)
"""Proxies and certificates, for processes that use the Internet."""
HUB = ("HF_*", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_*", *NETWORK)
"""For the process that downloads from the hub, and for the processes that start it."""
WANDB = ("WANDB_*", "WANDB_API_KEY", *NETWORK)
"""For the process that mirrors metrics to W&B, and for the processes that start it."""
WORKER_TOKEN = "STEPLINE_WORKER_TOKEN"

_SECRETS = ("*_TOKEN", "*SECRET*", "*PASSWORD*", "*CREDENTIAL*", "*_KEY", "*_KEYS")


def choose(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    """Return the variables whose names are listed, or match a prefix and do not look like secrets."""
    return {name: value for name, value in environ.items() if _is_chosen(name, names)}


def _is_chosen(name: str, names: tuple[str, ...]) -> bool:
    if name in names:
        return True
    if any(fnmatchcase(name.upper(), secret) for secret in _SECRETS):
        return False
    return any(fnmatchcase(name, pattern) for pattern in names)
