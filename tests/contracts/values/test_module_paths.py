import pytest

from contracts.values.module_paths import compress_paths, is_target

PATHS = [
    "head.out",
    *(f"model.layers.{n}.attn.{name}" for n in (0, 1, 2, 10) for name in ("q", "v")),
    "model.layers.1.moe.3.gate",
    "model.layers.01.attn.q",
]


def test_paths_of_layers_are_written_as_ranges() -> None:
    assert compress_paths(PATHS) == [
        "head.out",
        "model.layers.0-2.attn.q",
        "model.layers.0-2.attn.v",
        "model.layers.01.attn.q",
        "model.layers.1-1.moe.3.gate",
        "model.layers.10-10.attn.q",
        "model.layers.10-10.attn.v",
    ]


@pytest.mark.parametrize(
    "target",
    [
        *PATHS,
        *("q", "attn.q", "2.attn.q", "layers.10.attn.v", "gate", "3.gate", "out"),
        *("layers.3.attn.q", "layers.9.attn.q", "1-1.moe.3.gate", "0-2.attn.q", "02.attn.q"),
        *("", ".q", "ttn.q", "attn", "layers", "x.model.layers.0.attn.q", "head"),
    ],
)
def test_targets_are_matched_as_in_peft(target: str) -> None:
    in_peft = any(path == target or path.endswith(f".{target}") for path in PATHS)

    assert any(is_target(path, target) for path in compress_paths(PATHS)) == in_peft
