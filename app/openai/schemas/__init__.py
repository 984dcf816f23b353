"""Request and response models in OpenAI's shape; nothing that computes."""
