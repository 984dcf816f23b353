"""Checks a new job against the workers' facts about its model.

A job is rejected only if no live worker of its queue could run it: if it fits none of the copies whose facts are known. It is not rejected
if a worker has the model on its disk but has not read its files.

A worker that downloads the model counts as having the copy that another worker has in its hub cache, because the hub has one model of this id. Its
newest commit may differ from the known one. A job can name that commit as `model_revision`; the facts of a copy with another commit do not apply
then. A copy in a models root does not count, because its files may have been edited, nor does a commit that was not the main branch.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.orm import Session

from app.errors.base import FieldError
from app.errors.field_hints import guess_hint
from app.errors.field_words import field_message
from app.errors.kinds import InvalidField, UnknownModel
from app.http.spelling import nearest_name
from app.models import service
from app.models.schemas import ModelCheck, details_of
from app.models.service import Installation
from app.workers import service as workers
from contracts.dataset.features import RowFeatures
from contracts.failure import Language
from contracts.field_error import FieldProblem
from contracts.job import JobSpec
from contracts.model_facts import ModelFacts, TemplateFacts
from contracts.values.module_paths import example_target, is_target

MOST_NAMED = 20
"""Maximum number of models named in an error."""
_TEMPLATE_HINT = (
    "Use a model whose chat template supports them, such as Qwen2.5 or Qwen3 for tools, or remove them from the rows.",
    "请换用对话模板支持这些内容的模型（工具调用可用 Qwen2.5 或 Qwen3），或从数据中去掉这些内容。",
)


_ORDER_HINT = (
    "Use a model whose chat template supports this order of turns, such as Qwen2.5 or Qwen3, or change or remove the rows.",
    "请换用对话模板支持这种轮次顺序的模型（如 Qwen2.5 或 Qwen3），或修改、删除这些数据。",
)
_ORDERS: dict[str, tuple[str, str]] = {
    "late_system": ("a system turn after another turn", "位于其他轮次之后的 system 轮次"),
    "assistant_first": ("an assistant turn first", "以 assistant 开头的对话"),
    "repeated_user": ("consecutive user turns", "连续的 user 轮次"),
    "repeated_assistant": ("consecutive assistant turns", "连续的 assistant 轮次"),
}
"""Orders of turns that many templates reject, by feature, in English and Chinese."""
_NAMES = {
    "parallel_calls": ("several tool calls in one turn", "同一轮次中的多个工具调用"),
    **_ORDERS,
}
"""Features whose name in RowFeatures is not what the message calls them, in English and Chinese."""


def check_model(
    session: Session,
    spec: JobSpec,
    language: Language,
    installation: Installation,
    features: Mapping[str, RowFeatures] | None = None,
) -> ModelCheck:
    """Return what is known about a job's model. Raises UnknownModel, or InvalidField if the job does not fit the model.

    `installation` describes the workers of the job's queue with respect to the model. `features` are the chat template
    features that the job's rows need, by dataset field.
    """
    known = workers.known_models(installation.live)
    if known is not None and spec.model not in known:
        raise UnknownModel(
            "model",
            model=spec.model,
            models=", ".join(sorted(known)[:MOST_NAMED]) or "-",
            guess=guess_model(spec.model, known, language),
        )
    facts = [copy for copy in installation.copies if copy is not None]
    comparable = _comparable(spec, installation)
    if comparable:
        _reject_misfit(spec, comparable, features or {}, language)
    similar = None
    if not facts:
        similar = nearest_model(
            spec.model, service.list_names(session, installation) - {spec.model}
        )
    return ModelCheck(id=spec.model, similar_id=similar, **details_of(facts[0] if facts else None))


def guess_model(wrong: str, names: Iterable[str], language: Language) -> str:
    """Return a suggestion as a sentence followed by a space; empty if no name is similar."""
    hint = guess_hint(nearest_model(wrong, names), language)
    return f"{hint} " if hint and language == "en" else hint


def nearest_model(wrong: str, names: Iterable[str]) -> str | None:
    """Return the id closest to an unknown one, or None. An id without its owner counts as close to the full id."""
    ordered = sorted(names)
    last = wrong.rpartition("/")[2].lower()
    same = [name for name in ordered if name.rpartition("/")[2].lower() == last]
    return same[0] if same else nearest_name(wrong, ordered)


def _comparable(spec: JobSpec, installation: Installation) -> list[ModelFacts]:
    """Return the facts of all copies that the job might use; empty if those of one are unknown."""
    pinned = spec.model_revision
    copies = installation.copies
    used = [
        copy
        for copy in copies
        if copy is not None
        and (
            copy.revision is None
            or pinned == copy.revision
            or (pinned is None and copy.is_main is not False)
        )
    ]
    is_unknown = None in copies or (
        installation.downloads and not any(copy.revision is not None for copy in used)
    )
    return [] if is_unknown else used


def _reject_misfit(
    spec: JobSpec,
    facts: Sequence[ModelFacts],
    features: Mapping[str, RowFeatures],
    language: Language,
) -> None:
    """Raise InvalidField if the settings fit no copy of the model. Unknown facts fit any settings."""
    problems: list[FieldError] = []
    hints: list[str] = []
    lengths = [copy.max_length for copy in facts if copy.max_length is not None]
    if len(lengths) == len(facts) and spec.training.max_length > max(lengths):
        values = {"longest": max(lengths), "model": spec.model}
        length = spec.training.max_length
        problems.append(
            _problem("training.max_length", FieldProblem.BEYOND_CONTEXT, values, length, language)
        )
        hints.append(
            f"请将 training.max_length 设为 {max(lengths)} 或更小。"
            if language == "zh"
            else f"Set training.max_length to {max(lengths)} or less."
        )
    targets = spec.lora.target_modules
    if isinstance(targets, list) and all(copy.linear_modules is not None for copy in facts):
        known = sorted({name for copy in facts for name in copy.linear_modules or ()})
        unknown = [name for name in targets if not any(_has_module(copy, name) for copy in facts)]
        if unknown:
            values = {"modules": ", ".join(known), "model": spec.model}
            wrong = ", ".join(unknown)
            problems.append(
                _problem(
                    "lora.target_modules", FieldProblem.UNKNOWN_MODULE, values, wrong, language
                )
            )
            hints.append(guess_hint(_nearest_target(unknown[0], facts, known), language))
    for param, needed in features.items():
        lacking = find_lacking(needed, [copy.template for copy in facts])
        if lacking:
            what, rows = max(lacking.items(), key=lambda each: each[1])
            hint = _ORDER_HINT if what in _ORDERS else _TEMPLATE_HINT
            if what in _NAMES:
                what = _NAMES[what][language == "zh"]
            values = {"rows": rows, "what": what, "model": spec.model}
            problems.append(_problem(param, FieldProblem.TEMPLATE_LACKS, values, None, language))
            hints.append(hint[1 if language == "zh" else 0])
    if problems:
        raise InvalidField(problems, hint=" ".join(dict.fromkeys(filter(None, hints))))


def find_lacking(needed: RowFeatures, templates: Sequence[TemplateFacts | None]) -> dict[str, int]:
    """Return what the templates of all copies omit, and from how many rows. Unknown templates are assumed to omit nothing.

    Reasoning may be omitted, because many templates do so intentionally.
    """
    uses = {
        **{f"role: {role}": rows for role, rows in needed.roles.items()},
        "tools": needed.tools,
        "tool_calls": needed.tool_calls,
        **{name: getattr(needed, name) for name in _NAMES},
    }

    def lacks(template: TemplateFacts | None, what: str) -> bool:
        if template is None:
            return False
        if what in ("tools", "tool_calls"):
            return not getattr(template, what)
        if what in _NAMES:  # null from workers running earlier versions
            return getattr(template, what) is False
        return what.removeprefix("role: ") not in template.roles

    return {
        what: rows
        for what, rows in uses.items()
        if rows and templates and all(lacks(template, what) for template in templates)
    }


def _has_module(facts: ModelFacts, target: str) -> bool:
    """Return whether a target matches a model's linear modules by full path or suffix, such as `self_attn.q_proj`."""
    if facts.module_paths is not None:
        return any(is_target(path, target) for path in facts.module_paths)
    return target.rpartition(".")[2] in (facts.linear_modules or ())


def _nearest_target(wrong: str, facts: Sequence[ModelFacts], names: Sequence[str]) -> str | None:
    paths = {path for copy in facts for path in copy.module_paths or ()}
    near = nearest_name(wrong, sorted({example_target(path, wrong) for path in paths}))
    return near or nearest_name(wrong.rpartition(".")[2], names)


def _problem(
    param: str,
    problem: FieldProblem,
    values: dict[str, object],
    given: object,
    language: Language,
) -> FieldError:
    error = {"type": problem, "ctx": values, "input": given}
    code, message = field_message([error], language)
    return FieldError(param=param, code=code, message=message)
