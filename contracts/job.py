"""JobSpec, a user's request, and JobStatus, a job's current status.

The defaults are those of the reference run; `{"model": …, "dataset": {"train": …}}` is a complete spec.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from contracts.base import Strict
from contracts.data_spec import MOST_ROWS, DatasetSpec
from contracts.field_error import FieldProblem, OneOf, one_error
from contracts.job_status import JobStatus as JobStatus  # noqa: PLC0414  # callers import both from here
from contracts.job_status import Phase as Phase  # noqa: PLC0414
from contracts.values.hub_names import ModelName, Revision

Auto = Literal["auto"]
OnOffAuto = bool | Auto


MOST_STEPS = 100_000_000
FEWEST_TOKENS = 16
MOST_TOKENS = 100_000_000
MOST_GPUS = 64

WarmupSteps = Annotated[
    Annotated[int, Field(ge=0, le=MOST_STEPS)] | Annotated[float, Field(ge=0, lt=1)],
    one_error(FieldProblem.INVALID_WARMUP_STEPS, most=MOST_STEPS),
]
TargetModules = Annotated[
    Literal["all-linear"]
    | Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,100}$")]],
        Field(min_length=1),
    ],
    one_error(FieldProblem.INVALID_TARGET_MODULES),
]
OnOffAutoField = Annotated[OnOffAuto, one_error(FieldProblem.NOT_TRUE_FALSE_OR_AUTO)]
TokenBudget = Annotated[
    Annotated[int, Field(ge=FEWEST_TOKENS, le=MOST_TOKENS)] | Auto,
    one_error(FieldProblem.INVALID_TOKEN_BUDGET, fewest=FEWEST_TOKENS, most=MOST_TOKENS),
]
Gpus = Annotated[
    Annotated[int, Field(ge=1, le=MOST_GPUS)] | Literal["all"],
    one_error(FieldProblem.INVALID_GPUS, most=MOST_GPUS),
]


class QuantizationSpec(Strict):
    """How the frozen base weights are stored, and the compute dtype."""

    type: Annotated[Literal["nf4"], OneOf()] = "nf4"
    """4-bit NormalFloat, in blocks of 64 weights (QLoRA, arXiv:2305.14314)."""
    double_quant: OnOffAutoField = "auto"
    """Quantize the blocks' scales as well. Saves 0.4 bits per weight but costs extra kernels. `auto`: depends on the model's size."""
    compute_dtype: Annotated[Literal["auto", "bfloat16", "float32"], OneOf()] = "auto"
    """Dtype of matrix multiplications. `auto`: bfloat16 if the hardware supports it, else float32. float16 is not
    offered because it overflows on Qwen2."""


class LoraSpec(Strict):
    """The low-rank adapter (arXiv:2106.09685)."""

    rank: int = Field(64, ge=1, le=1024)
    """Rank r of each update B·A."""
    alpha: float = Field(128, gt=0, le=65536)
    """Scale: the update is multiplied by alpha ÷ rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability of the adapter's inputs during training."""
    target_modules: TargetModules = "all-linear"
    """`all-linear` (every linear layer except the head) or a list of module names."""


class EarlyStopping(Strict):
    """Stops training when the evaluation loss stops improving."""

    patience: int = Field(3, ge=1, le=1000)
    """Training stops after this many consecutive evaluations without improvement."""
    min_delta: float = Field(0.0, ge=0, le=10)
    """Minimum decrease in evaluation loss (nats per token) that counts as an improvement."""


class TrainingSpec(Strict):
    """Training hyperparameters. An update has `per_device_batch_size` × `gradient_accumulation_steps` samples."""

    per_device_batch_size: int = Field(4, ge=1, le=1024)
    """Samples per accumulation step. Only the product of this field and `gradient_accumulation_steps` affects the result."""
    gradient_accumulation_steps: int = Field(4, ge=1, le=4096)
    """Accumulation steps per optimizer update."""
    learning_rate: float = Field(2e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""
    lr_scheduler: Annotated[Literal["cosine", "linear", "constant"], OneOf()] = "cosine"
    """Learning rate schedule after the warm-up."""
    warmup_steps: WarmupSteps = 0
    """Optimizer steps over which the learning rate rises from 0: a count, or a fraction (below 1) of the run."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0, le=1e6)
    """Maximum global L2 norm of the gradients; larger gradients are scaled down to it."""
    epochs: int = Field(1, ge=1, le=10_000)
    """Number of epochs: passes over the training rows."""
    max_steps: int | None = Field(None, ge=1, le=MOST_STEPS)
    """Number of optimizer steps; overrides `epochs`. The rows are repeated until it is reached. Null: use `epochs`."""
    max_length: int = Field(1024, ge=8, le=1_048_576)
    """Maximum tokens per sample; a longer sample is cut at the end, or dropped if no answer would be left."""
    early_stopping: EarlyStopping | None = None
    """Early stopping rule; null disables early stopping."""
    seed: int = Field(42, ge=0, le=2**31 - 1)
    """Random seed for the held-out rows, the row order, the adapter's initial weights and dropout."""


class EvaluationSpec(Strict):
    """Evaluations during training, in addition to those before and after it."""

    every_steps: int = Field(500, ge=1, le=MOST_STEPS)
    """Optimizer steps between evaluations."""


class CheckpointSpec(Strict):
    """How often checkpoints are saved, and which ones are kept and uploaded."""

    every_steps: int = Field(500, ge=1, le=MOST_STEPS)
    """Optimizer steps between checkpoints."""
    keep: int = Field(2, ge=1, le=100)
    """Number of most recent checkpoints to keep. The best one is always kept as well."""
    upload: Annotated[Literal["always", "on_pause", "never"], OneOf()] = "always"
    """When the worker uploads a checkpoint to the server's storage."""


class EngineSpec(Strict):
    """Options that affect speed and memory, but never the effective batch."""

    token_budget: TokenBudget = "auto"
    """Maximum tokens per micro-batch; `auto` depends on the device."""
    activation_checkpointing: OnOffAutoField = "auto"
    """Recompute activations in the backward pass to save memory. `auto`: only if the run would otherwise run out of
    memory."""
    dequantize_base: OnOffAutoField = "auto"
    """Keep the NF4-rounded base weights in the compute dtype, which is faster but uses more memory. `auto`: only on a
    GPU with enough memory."""
    fused_optimizer: OnOffAutoField = "auto"
    """Update the whole adapter in one kernel. `auto`: only on a GPU."""
    fused_lora: OnOffAutoField = "auto"
    """Compute each layer and its adapter in one function, which saves memory. `auto`: only on a GPU."""
    compile: OnOffAutoField = "auto"
    """Compile the decoder blocks with torch.compile. `auto`: off."""


class ResourcesSpec(Strict):
    """The hardware that the job needs."""

    gpus: Gpus = 1
    """Number of GPUs, all on one host; `all`: every GPU of the host that claims the job, at most the effective batch size."""


Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LabelValue = Annotated[str, StringConstraints(max_length=512)]


class JobSpec(Strict):
    """One fine-tuning job. Strict: an unknown field is an error."""

    preset: str | None = Field(None, max_length=100)
    """Name of the preset (GET /v1/presets) whose settings apply where the submitted spec sets none; null for none."""
    model: ModelName
    """A directory under the worker's models root, or a model id on the hub. The directory takes precedence."""
    model_revision: Revision | None = None
    """Commit, tag or branch on the hub; null uses the latest commit and records it."""
    dataset: DatasetSpec
    quantization: QuantizationSpec = QuantizationSpec()
    lora: LoraSpec = LoraSpec()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    engine: EngineSpec = EngineSpec()
    resources: ResourcesSpec = ResourcesSpec()
    name: str | None = Field(None, max_length=200)
    """Display name; need not be unique. Text fields of a new job must not contain control or bidi characters."""
    labels: dict[Label, LabelValue] = Field({}, max_length=16)
    """Labels for filtering: at most 16; keys up to 64 characters, values up to 512."""
    priority: int = Field(0, ge=-1000, le=1000)
    """Jobs with a higher priority are claimed first; among equal priorities, the oldest is claimed first."""
    queue: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    """The job's queue. Only workers that listen to it can claim the job."""

    @property
    def effective_batch_size(self) -> int:
        """Samples per optimizer update."""
        return self.training.per_device_batch_size * self.training.gradient_accumulation_steps

    def total_steps(self, train_rows: int) -> int:
        """Return the number of optimizer updates in a complete run over `train_rows` rows."""
        if self.training.max_steps is not None:
            return self.training.max_steps
        return -(-train_rows // self.effective_batch_size) * self.training.epochs


def list_newer_defaults(spec: JobSpec, *, knows_resources: bool = True) -> dict[str, Any]:
    """Return fields that the first 0.1.0 workers do not know and that have default values, as pydantic's `exclude`.

    Without them, older workers accept the spec, and a repeated request has the same spec after an upgrade.
    """
    left_out: dict[str, Any] = {}
    if spec.preset is None:
        left_out["preset"] = True
    if spec.resources == ResourcesSpec() or not knows_resources:
        left_out["resources"] = True
    if spec.engine.fused_lora == "auto":
        left_out["engine"] = {"fused_lora"}
    if spec.dataset.preference is None:
        left_out["dataset"] = {"preference"}
    return left_out


def load_stored_spec(stored: Mapping[str, Any]) -> JobSpec:
    """Load a stored spec. Clamp three counts that had no upper bound when earlier versions stored it."""
    bounds = (
        ("training", "warmup_steps", MOST_STEPS),
        ("dataset", "eval_size", MOST_ROWS),
        ("engine", "token_budget", MOST_TOKENS),
    )
    spec = dict(stored)
    for part, field, most in bounds:
        fields = spec.get(part)
        if (
            isinstance(fields, Mapping)
            and isinstance(count := fields.get(field), int)
            and count > most
        ):
            spec[part] = {**fields, field: most}
    return JobSpec.model_validate(spec)
