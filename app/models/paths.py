"""The form of a model's id in a path. The routes for models are in app/openai/model_routes.py, because they also list fine-tuned models."""

from starlette.convertors import PathConvertor, register_url_convertor


class _ModelId(PathConvertor):
    """The id of a model, which may contain a slash. Paths that end in `/prefetch` belong to another route."""

    regex = ".*(?<!/prefetch)"


register_url_convertor("model_id", _ModelId())
