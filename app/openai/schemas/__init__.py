"""Request and response models in OpenAI's format. Contains no logic."""
