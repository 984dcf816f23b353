"""OpenAI's fine-tuning API: translates between its objects and ours. The rules for jobs, datasets and models are in their own packages."""
