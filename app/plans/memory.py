"""Predicts the memory of a job with a formula, without torch. The formula models what the training program's memory plan traces.

`worker/training/memory` traces a real step; this file knows only a model's dimensions. The constants below come from
traces of Qwen2 0.5B and 7B (`benchmarks/memory_plan.py`); the formula is within 10 % of these traces.
"""

from typing import NamedTuple

from contracts.job import JobSpec
from contracts.model_facts import ModelFacts, ModelSizes

_DOUBLE_QUANT_FROM = 3_000_000_000
"""`auto` quantises the scales of models with at least this many parameters."""
_ADAPTER_BYTES = 16
"""Bytes per weight of the adapter: the weight, its gradient and its two moments, each in float32."""
_SCALE_BLOCK = 64
_CPU_TOKENS = 512
_CUDA_MOST_TOKENS = 16_384
_CHUNK_BYTES = {"cpu": 128 * 2**20, "cuda": 512 * 2**20}
"""Size of one chunk of float32 logits."""
_LOGIT_BYTES = {("cpu", 4): 8, ("cpu", 2): 12, ("cuda", 2): 8, ("cuda", 4): 8}
"""Bytes per logit of a chunk, by device and width of the compute type."""
_RECOMPUTED_LOGITS = {"cpu": 1.0, "cuda": 1.1}
"""Factor for `_LOGIT_BYTES` if activations are recomputed, because the peak then occurs at the logits."""
_HIDDEN_SHARES = {("cpu", 4): 5, ("cpu", 2): 10, ("cuda", 2): 7, ("cuda", 4): 5}
"""Number of activations of the hidden size that a layer keeps per token. Norms keep float32 copies of narrower types."""
_INTERMEDIATE_SHARES, _ATTENTION_SHARES = 4, 2
_RECOMPUTED_LAYER = 1.7
"""Memory of the layer that is being recomputed, relative to what a layer keeps without recomputation."""
_CPU_GROWTH = 1.5
"""On a CPU, the heap grows to this multiple of the tensors of a step."""
_PROGRAM_BYTES = 600_000_000
"""Resident memory of the training program before it loads a model."""
_GPU_SHARE, _GPU_WORKSPACE = 0.92, 2**28
"""The share of a GPU's free memory that the training program's plan uses, and the bytes that it reserves as workspace."""
_GPU_CONTEXT = 2**29
"""Assumed memory of the driver and the CUDA context."""


class Setup(NamedTuple):
    """How a device computes a job."""

    kind: str
    """`cuda` or `cpu`."""
    width: int
    """Bytes per value of the compute type."""
    recomputes: bool
    unpacked: bool
    """Whether the base model's layers are kept in the compute type."""
    tokens: int
    """Maximum number of tokens in a micro-batch."""


class Load(NamedTuple):
    """The lengths of a job's samples, in tokens."""

    longest: int
    window: int
    """Tokens in the largest update."""
    supervised: float
    """Share of supervised tokens."""


class MemoryNeed:
    """The memory that a job needs with its model."""

    def __init__(self, spec: JobSpec, facts: ModelFacts, sizes: ModelSizes, load: Load) -> None:
        self._spec, self.sizes, self._load = spec, sizes, load
        self._parameters = facts.parameters or sizes.linear_parameters
        self._file_bytes = facts.bytes or 2 * self._parameters
        self.adapter_parameters = spec.lora.rank * adapter_sides(spec, sizes)

    def peak_bytes(self, setup: Setup) -> int:
        """Return the peak memory of the run, as defined for the report's `peak_memory_bytes`."""
        if setup.kind == "cuda":
            return int(self._resident_bytes(setup) + self._step_bytes(setup))
        is_same = self._is_same_type(setup.width)
        in_place = self._kept_bytes(setup.width) if is_same else 0
        mapped = max(0, self._file_bytes - in_place) if is_same else 0
        loading = self._file_bytes + self._base_bytes(setup) - in_place
        return int(_PROGRAM_BYTES + max(self._training_bytes(setup) + mapped, loading))

    def choose(self, kind: str, width: int, memory_bytes: int | None) -> Setup:
        """Return the setup that the training program would choose on a device with this much memory."""
        spec = self._spec.engine
        options = {True: [True], False: [False], "auto": [False, True]}
        unpacked = spec.dequantize_base is True
        usual = _CUDA_MOST_TOKENS if kind == "cuda" else _CPU_TOKENS
        wanted = usual if spec.token_budget == "auto" else spec.token_budget
        setup = Setup(kind, width, False, unpacked, self.filled(wanted))
        for recomputes in options[spec.activation_checkpointing]:
            setup = setup._replace(recomputes=recomputes, tokens=self.filled(wanted))
            if memory_bytes is None or self.has_room(setup, memory_bytes):
                return setup
            while spec.token_budget == "auto" and setup.tokens > self._load.longest:
                tokens = max(self._load.longest, int(setup.tokens * 0.9))
                setup = setup._replace(tokens=tokens)
                if self.has_room(setup, memory_bytes):
                    return setup
        # On a GPU, the training program halves even a set budget each time the memory runs out.
        while kind == "cuda" and memory_bytes is not None and setup.tokens > self._load.longest:
            wanted //= 2
            setup = setup._replace(tokens=self.filled(wanted))
            if self.has_room(setup, memory_bytes):
                break
        return setup

    def least_bytes(self, kind: str, width: int) -> int:
        """Return the minimum device memory for the job, with the settings that need least among those that the training program would try.

        Activations are recomputed if permitted. A micro-batch is one sample of maximum length, except on a CPU with a set budget,
        which is never lowered there. On a CPU, pages of the weight files are not counted, because the kernel can drop them.
        """
        engine = self._spec.engine
        tokens = self._load.longest
        if kind == "cpu" and engine.token_budget != "auto":
            tokens = self.filled(engine.token_budget)
        recomputes = engine.activation_checkpointing is not False
        setup = Setup(kind, width, recomputes, engine.dequantize_base is True, tokens)
        if kind == "cuda":
            return self.peak_bytes(setup)
        return int(_PROGRAM_BYTES + self._training_bytes(setup))

    def filled(self, token_budget: int) -> int:
        """Return the maximum number of tokens in a micro-batch within a memory budget."""
        return min(max(token_budget, self._load.longest), self._load.window)

    def has_room(self, setup: Setup, memory_bytes: int) -> bool:
        """Return whether the training program would use this setup on a device with this much memory."""
        return self.peak_bytes(setup) <= usable_bytes(setup.kind, memory_bytes)

    def _is_same_type(self, width: int) -> bool:
        """Return whether the weight files already have the compute type."""
        return round(self._file_bytes / max(1, self._parameters)) == width

    def _training_bytes(self, setup: Setup) -> float:
        """Return the bytes of the tensors in a step on a CPU."""
        return self._resident_bytes(setup) + _CPU_GROWTH * self._step_bytes(setup)

    def _resident_bytes(self, setup: Setup) -> float:
        buffer = 0
        if setup.kind == "cpu" and not setup.unpacked:
            buffer = self.sizes.largest_linear * setup.width
        return self._base_bytes(setup) + buffer + _ADAPTER_BYTES * self.adapter_parameters

    def _base_bytes(self, setup: Setup) -> float:
        """Return the bytes of the base model once it is loaded."""
        linear = self.sizes.linear_parameters
        scales = linear / _SCALE_BLOCK * (1 if self._double_quant() else 4)
        layers = linear * setup.width if setup.unpacked else linear / 2 + scales
        return layers + self._kept_bytes(setup.width)

    def _step_bytes(self, setup: Setup) -> float:
        sizes, kind = self.sizes, (setup.kind, setup.width)
        values = (
            _HIDDEN_SHARES[kind] * sizes.hidden
            + _INTERMEDIATE_SHARES * sizes.intermediate
            + _ATTENTION_SHARES * sizes.attention
            + len(sizes.adapter_sides) * self._spec.lora.rank
        )
        layer = values * setup.width * setup.tokens
        chunk = max(16, _CHUNK_BYTES[setup.kind] // (4 * sizes.vocabulary))
        supervised = min(chunk, max(1.0, self._load.supervised * setup.tokens))
        logits = supervised * sizes.vocabulary * _LOGIT_BYTES[kind]
        copies = self.adapter_parameters * setup.width if setup.width == 2 else 0
        if not setup.recomputes:
            return sizes.layers * layer + logits + copies
        saved = sizes.layers * sizes.hidden * setup.width * setup.tokens
        logits *= _RECOMPUTED_LOGITS[setup.kind]
        return saved + max(logits, _RECOMPUTED_LAYER * layer) + copies

    def _kept_bytes(self, width: int) -> int:
        """Return the bytes of the base model's weights that are not stored in 4 bits."""
        return max(0, self._parameters - self.sizes.linear_parameters) * width

    def _double_quant(self) -> bool:
        setting = self._spec.quantization.double_quant
        return self._parameters >= _DOUBLE_QUANT_FROM if setting == "auto" else setting


def usable_bytes(kind: str, memory_bytes: int) -> int:
    """Return how much of a device's memory the training program's plan uses."""
    if kind == "cuda":
        return max(0, int((memory_bytes - _GPU_CONTEXT) * _GPU_SHARE - _GPU_WORKSPACE))
    return memory_bytes


def adapter_sides(spec: JobSpec, sizes: ModelSizes) -> int:
    """Return the sum of the input and output sizes of all layers that the adapter targets."""
    targets = spec.lora.target_modules
    if targets == "all-linear":
        return sum(sizes.adapter_sides.values())
    names = {target.rpartition(".")[2] for target in targets}
    return sum(sides for name, sides in sizes.adapter_sides.items() if name in names)
