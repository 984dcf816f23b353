"""The model and the dataset of the local hub."""

import json

MODEL_FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"print('code')",
    "onnx/model.safetensors": b"another one",
}
ROWS = [{"prompt": "一加一？", "completion": "二。"}, {"prompt": "a", "completion": "b"}]
DATASET_FILES = {"train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()}
