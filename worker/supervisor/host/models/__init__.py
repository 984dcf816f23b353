"""The models on disk: their files, facts and chat templates. Nothing here loads a model."""
