"""Short names of health findings in English and Chinese, as the page and the terminal show them."""

from contracts.failure import Language
from contracts.verdicts.finding import HealthCode

FINDING_NAMES: dict[HealthCode, tuple[str, str]] = {
    HealthCode.DIVERGED: ("Diverged", "loss 发散"),
    HealthCode.EVAL_LOSS_RISING: ("Eval loss rising", "验证 loss 上升"),
    HealthCode.PLATEAU: ("Not learning", "loss 未下降"),
    HealthCode.LOSS_SPIKE: ("Loss spike", "loss 尖峰"),
    HealthCode.GRADIENT_EXPLODING: ("Exploding gradients", "梯度爆炸"),
    HealthCode.GRADIENT_CLIPPED: ("Gradients clipped", "梯度持续裁剪"),
    HealthCode.STALLED: ("Stalled", "训练停滞"),
    HealthCode.SLOWDOWN: ("Slow", "训练变慢"),
    HealthCode.GPU_STARVED: ("GPU idle", "GPU 空闲"),
    HealthCode.GPU_THROTTLED: ("GPU throttled", "GPU 降频"),
    HealthCode.DISK_NEARLY_FULL: ("Disk nearly full", "磁盘将满"),
}
"""English and Chinese. A test checks that `web/src/texts/job/health.ts` has the same names."""


def finding_name(code: str, language: Language) -> str:
    """Return the name of a finding; its code if it is one of a newer server."""
    if code not in list(HealthCode):
        return code
    return FINDING_NAMES[HealthCode(code)][language == "zh"]
