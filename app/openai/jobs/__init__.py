"""Fine-tuning jobs of OpenAI's API: creation, lists, events and checkpoints. The rules of jobs are in app/jobs."""
