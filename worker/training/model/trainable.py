"""TrainableModel: a 4-bit base with its adapter, as the rest of the engine uses it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from worker.training.compute.device import Device
from worker.training.data.batches import MicroBatch
from worker.training.model.lora.fused_lora import AdapterCopies
from worker.training.model.proofs import attention_options, hidden_states

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


@dataclass(frozen=True)
class TrainableModel:
    """A base with its adapter, ready to train."""

    peft_model: Any
    body: Any
    """The decoder without its head, including LoRA layers."""
    head: nn.Linear
    device: Device
    double_quant: bool
    dequantized: bool
    """Whether the base's 4-bit layers are kept in the compute type, with their NF4-rounded values."""
    quantized_layers: int
    linear_parameters: int
    """Number of parameters in the 4-bit layers."""
    expert_parameters: int
    """Number of expert parameters stored as one tensor per layer. They stay in the compute dtype: only linear layers are 4-bit."""
    trainable_parameters: int
    all_parameters: int
    attention: str
    """Name in transformers: stepline_varlen, stepline_segments, sdpa or eager."""
    mask_reason: str
    """Why the attention needs a mask; empty if it needs none."""
    shares_unpacking: bool
    """Whether the 4-bit layers unpack into one buffer (see compute/cpu_linear.py)."""
    packs: bool
    """Whether samples packed into one row stay independent of each other."""
    plain_head: bool
    """Whether the logits are exactly head(hidden): no soft-capping, no scaling."""
    copies: AdapterCopies | None
    """The adapter in the compute dtype, if the fused LoRA function computes it (see model/lora/fused_lora.py)."""
    fused_reason: str
    """Why the fused function is or is not used."""
    compiled: bool
    """Whether torch.compile has compiled the decoder's layers (see model/compiled.py)."""
    compile_reason: str
    """Why they are or are not compiled."""
    unpacking_proof: str = ""
    """What a comparison of the packed and the unpacked layers showed; empty if they were not unpacked."""

    @property
    def adapter_parameters(self) -> list[nn.Parameter]:
        """The trained parameters, in a fixed order."""
        return [p for p in self.peft_model.parameters() if p.requires_grad]

    @property
    def config(self) -> Any:
        """The base model's configuration."""
        return self.peft_model.get_base_model().config

    def train(self) -> None:
        """Prepare for the micro-batches of one update, with dropout. Call this again after the adapter has changed."""
        self._prepare(training=True)

    def eval(self) -> None:
        """Prepare for an evaluation, without dropout. Call this again after the adapter has changed."""
        self._prepare(training=False)

    def hidden(self, batch: MicroBatch) -> Tensor:
        """Return the last hidden states that predict supervised tokens: [N, hidden]."""
        with self.device.autocast():
            states = hidden_states(
                self.body, batch.input_ids, batch.position_ids, batch.boundaries, batch.longest
            )
        return states[0].index_select(0, batch.places)

    def logits(self, batch: MicroBatch) -> Tensor:
        """Return the logits of supervised tokens, [N, vocabulary], from the model's own forward, for heads that are not plain."""
        with self.device.autocast():
            output = self.peft_model(
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                attention_mask=None,
                use_cache=False,
                logits_to_keep=batch.places,
                **attention_options(self.body, batch.position_ids, batch.boundaries, batch.longest),
            )
        logits: Tensor = output.logits[0]
        return logits

    def checkpoint_activations(self, contexts: Contexts | None = None) -> None:
        """Keep one activation per layer and recompute the others in the backward pass.

        `contexts` returns two contexts: one for the first run of a layer, and one for its recomputation.
        """
        options: dict[str, Any] = {"use_reentrant": False}
        if contexts is not None:  # torch's compiler rejects even the contexts that do nothing
            options["context_fn"] = contexts
        self.peft_model.get_base_model().activation_checkpointing_enable(options)

    def _prepare(self, *, training: bool) -> None:
        self.peft_model.train(training)
        if self.copies is not None:
            self.copies.refresh()
