"""OpenAI's fine-tuning API: translates between its objects and ours. Jobs, datasets and models keep their rules in their own packages."""
