"""The LoRA adapter, its fused form and the proof of that form. Nothing here loads a base model."""
