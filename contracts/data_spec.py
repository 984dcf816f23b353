"""DatasetSpec: the part of a job's spec that names its data, one dataset or several with weights."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag

from contracts.base import Strict
from contracts.field_error import FieldProblem, OneOf, field_error, one_error
from contracts.values.hub_names import ModelName, Revision

MOST_ROWS = 1_000_000_000
MOST_DATASETS = 16
"""Maximum number of datasets in a mixture."""
MOST_WEIGHT = 100

Count = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Share = Annotated[float, Field(gt=0, lt=1)]

EvalSize = Annotated[
    Count | Share | Literal["auto"],
    one_error(FieldProblem.INVALID_EVAL_SIZE, most=MOST_ROWS),
]
DatasetId = Annotated[
    str,
    StringConstraints(pattern=r"^ds_[0-9a-f]{8,64}$"),
    one_error(FieldProblem.INVALID_DATASET_ID),
]
"""`ds_` followed by the first hexadecimal digits of the SHA-256 of the uploaded bytes."""


class HubDataset(Strict):
    """A dataset on the hub, which the worker downloads and converts to JSONL."""

    hub: ModelName
    """Repository on the hub, such as `silk-road/alpaca-data-gpt4-chinese`."""
    config: str | None = Field(None, max_length=200)
    """Configuration (subset) of the repository; null uses its default."""
    split: str = Field("train", max_length=200)
    """Split to read; slices in the syntax of `datasets`, such as `train[:1000]`, are allowed."""
    revision: Revision | None = None
    """Commit, tag or branch; null uses the latest commit and records it."""


def _dataset_kind(value: object) -> str:
    return "(hub)" if isinstance(value, dict | HubDataset) else "(id)"


DatasetSource = Annotated[
    Annotated[DatasetId, Tag("(id)")] | Annotated[HubDataset, Tag("(hub)")],
    Discriminator(_dataset_kind),
]


def is_from_hub(source: str | HubDataset | None) -> bool:
    """Return whether a dataset is downloaded from the hub, so that the server has not checked its rows."""
    return isinstance(source, HubDataset)


class WeightedDataset(Strict):
    """One of several training datasets."""

    dataset: DatasetSource
    """A dataset id (`ds_…`) from POST /v1/datasets, or `{"hub": …}`."""
    weight: float = Field(1.0, gt=0, le=MOST_WEIGHT)
    """How many times each row is used per epoch. 2: twice. 0.5: half of the rows once. 1.5: every row once, and half of
    them twice. The seed selects the half."""

    @property
    def name(self) -> str:
        """The id of an uploaded dataset, or the repository of a dataset on the hub."""
        return self.dataset if isinstance(self.dataset, str) else self.dataset.hub


def _reject_duplicates(datasets: list[WeightedDataset]) -> list[WeightedDataset]:
    sources = [each.dataset for each in datasets]
    for number, source in enumerate(sources):
        if source in sources[:number]:
            name = datasets[number].name
            raise field_error(FieldProblem.DUPLICATE_DATASET, dataset=name, most=MOST_WEIGHT)
    return datasets


Mixture = Annotated[
    list[WeightedDataset],
    Field(min_length=2, max_length=MOST_DATASETS),
    AfterValidator(_reject_duplicates),
]


def _train_kind(value: object) -> str:
    return "(mixture)" if isinstance(value, list) else _dataset_kind(value)


TrainSource = Annotated[
    Annotated[DatasetId, Tag("(id)")]
    | Annotated[HubDataset, Tag("(hub)")]
    | Annotated[Mixture, Tag("(mixture)")],
    Discriminator(_train_kind),
]
Preference = Literal["chosen_only"]


class DatasetSpec(Strict):
    """The source of the rows, and how many to hold out."""

    train: TrainSource
    """A dataset id (`ds_…`) from POST /v1/datasets, `{"hub": …}`, or a list of 2 to 16 datasets with weights:
    `[{"dataset": "ds_…", "weight": 2}, …]`."""
    eval: DatasetSource | None = None
    """A separate evaluation dataset; null holds out `eval_size` rows from `train`, from several datasets in proportion to
    their rows."""
    eval_size: EvalSize = "auto"
    """Rows to hold out: a count, a fraction below 1, or `auto`, which means min(2000, max(1, 2 % of the rows))."""
    preference: Annotated[Preference, OneOf()] | None = None
    """How to use rows that rate answers (preference pairs, KTO labels). `chosen_only`: train on the good answers and
    ignore the others. Null: reject a job with such rows."""

    @property
    def is_mixed(self) -> bool:
        """Whether the training rows are from several datasets."""
        return isinstance(self.train, list)

    @property
    def parts(self) -> list[WeightedDataset]:
        """The training datasets with their weights. A single dataset has the weight 1."""
        return self.train if isinstance(self.train, list) else [WeightedDataset(dataset=self.train)]

    def param_of(self, number: int) -> str:
        """Return the path of a training dataset in the spec, for error messages. `number`: its index in `parts`."""
        return f"dataset.train[{number}].dataset" if self.is_mixed else "dataset.train"

    def held_out_rows(self, rows: int) -> int:
        """Return how many of `rows` training rows to hold out; 0 if there is a separate evaluation dataset."""
        if self.eval is not None:
            return 0
        if self.eval_size == "auto":
            return min(2000, max(1, rows * 2 // 100))
        if isinstance(self.eval_size, int):
            return self.eval_size
        return max(1, int(self.eval_size * rows))
