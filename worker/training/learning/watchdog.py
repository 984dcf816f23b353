"""Watchdog: stops a failing run with a reason, before it saves a ruined adapter or occupies the device forever."""

import hashlib
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence

from torch import Tensor

from contracts.failure import DETAIL_CHARACTERS, Failure, FailureReason
from worker.training.errors import TrainingError
from worker.training.ranks.others import Others
from worker.training.ranks.signs import Signs

ZERO_STEPS = 10
"""A run ends after this many consecutive steps with a loss of exactly zero: no model predicts real text with certainty."""
FROZEN_STEPS = 20
"""A run ends if the adapter does not change within this many steps, or has no gradient in this many consecutive steps."""


class Watchdog:
    """Checks each step. A thread detects if no micro-batch completes."""

    def __init__(
        self,
        adapter: Sequence[Tensor],
        signs: Signs | None = None,
        others: Others | None = None,
    ) -> None:
        self._adapter = adapter
        self._signs = signs or Signs()
        self._others = others or Others()
        self._first_digest = ""
        self._steps = 0
        self._zeros = 0
        self._without_gradient = 0

    def check_gradient(self, step: int, loss: float, grad_norm: float) -> None:
        """Check a step before it is recorded or saved.

        The optimizer has already applied it: an earlier check would need a second wait.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise TrainingError(
                FailureReason.LOSS_NOT_FINITE,
                f"step {step}: loss {loss}, gradient norm {grad_norm}. No weights of this step are saved",
                step=step,
                evidence={"loss": str(loss), "grad_norm": str(grad_norm)},
            )
        self._zeros = self._zeros + 1 if loss == 0 else 0
        if self._zeros >= ZERO_STEPS:
            raise TrainingError(
                FailureReason.LOSS_ZERO,
                f"the loss was exactly zero in steps {step - ZERO_STEPS + 1} to {step}",
                step=step,
                evidence={"steps": ZERO_STEPS},
            )

        self._without_gradient = self._without_gradient + 1 if grad_norm == 0 else 0
        # Without a gradient, weight decay alone would still change the adapter.
        if self._without_gradient >= FROZEN_STEPS:
            raise TrainingError(
                FailureReason.ADAPTER_FROZEN,
                f"no weight of the adapter had a gradient in steps {step - FROZEN_STEPS + 1} to {step}",
                step=step,
                evidence={"steps": FROZEN_STEPS},
            )

    def check_adapter(self, step: int) -> None:
        """Check the adapter after the optimizer's step."""
        self._steps += 1
        if self._steps == FROZEN_STEPS and _digest(self._adapter) == self._first_digest:
            raise TrainingError(
                FailureReason.ADAPTER_FROZEN,
                f"no weight of the adapter changed in the {FROZEN_STEPS} steps up to step {step}",
                step=step,
                evidence={"steps": FROZEN_STEPS},
            )

    def remember_adapter(self) -> None:
        """Use the adapter's current weights as the new baseline, for instance after a resume."""
        self._first_digest = _digest(self._adapter)

    def beat(self) -> None:
        """Record that the run has made progress."""
        self._signs.beat()

    def watch(self, on_hang: Callable[[Failure], None], limit_seconds: float) -> threading.Event:
        """Start watching; the adapter's current weights are the baseline.

        Calls `on_hang`, in a thread, if no progress is recorded for `limit_seconds`. If several ranks train, only the progress
        of the rank that the others are waiting for counts. Set the returned event to stop.
        """
        self.remember_adapter()
        watched, ended, began = threading.get_ident(), threading.Event(), time.monotonic()

        def wait() -> None:
            while not ended.wait(min(1.0, limit_seconds / 4)):
                rank, silent = self._signs.silence()
                silent = min(silent, time.monotonic() - began)  # other ranks may still be loading
                if silent > limit_seconds:
                    stack = self._others.stack(rank) if rank else _stack(watched)
                    on_hang(
                        _hang(rank if self._signs.count > 1 else None, stack, silent, limit_seconds)
                    )
                    return

        self.beat()
        threading.Thread(target=wait, name="watchdog", daemon=True).start()
        return ended


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to read another thread's stack
    return "".join(traceback.format_stack(frame)) if frame else ""


def _hang(rank: int | None, stack: str, silent_seconds: float, limit_seconds: float) -> Failure:
    where = "" if rank is None else f" on rank {rank}"
    stack = stack or "(not available: the process is stopped or cannot be interrupted)"
    detail = f"no micro-batch completed for {silent_seconds:.0f} s{where}. Stack of the training thread:\n{stack}"
    return Failure(
        reason=FailureReason.NO_PROGRESS,
        detail=detail[-DETAIL_CHARACTERS:],
        evidence={"silent_seconds": silent_seconds, "limit_seconds": limit_seconds}
        | ({} if rank is None else {"rank": rank}),
    )


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
