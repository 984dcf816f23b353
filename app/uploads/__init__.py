"""Uploads in parts, in OpenAI's format, for files too large for one request. A completed upload becomes a dataset, which is handled by datasets/."""
