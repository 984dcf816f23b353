"""Uploads in parts, in OpenAI's shape, for files too large for one request. A completed upload becomes a dataset, which lives in datasets/."""
