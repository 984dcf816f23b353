"""The help and the usage errors of the commands in both languages. click's own texts are English."""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.cells import cell_len

from stepline.terminal.display.wrapping import wrap
from stepline.terminal.words import say

GAP = 2
WIDEST_NAME = 30
"""Columns of the names; the text of a longer name begins on the next line."""


class HelpFormatter(click.HelpFormatter):
    """Writes help in the chosen language, and measures wide characters."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line with the arguments."""
        super().write_usage(prog, args, say("usage") if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        super().write_heading(say("options") if heading == "Options" else heading)

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        indent = " " * self.current_indent
        for line in wrap(text, self.width - len(indent)):
            self.write(f"{indent}{line}\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = WIDEST_NAME, col_spacing: int = GAP
    ) -> None:
        """Write names and their texts in two columns."""
        rows = list(rows)
        first = min(max(cell_len(name) for name, _ in rows), col_max) + col_spacing
        indent = " " * self.current_indent
        for name, text in rows:
            shown = say("help.help") if text == "Show this message and exit." else text
            shown = say("help.version") if text == "Show the version and exit." else shown
            lines = wrap(shown, max(20, self.width - self.current_indent - first))
            padding = " " * (first - cell_len(name))
            if cell_len(name) > first - col_spacing:
                lines, padding = ["", *lines], ""
            self.write(f"{indent}{name}{padding}{lines[0]}".rstrip() + "\n")
            for line in lines[1:]:
                self.write(f"{indent}{' ' * first}{line}\n")


def show_error(error: click.ClickException, *, as_json: bool) -> int:
    """Print an error in the arguments; return the exit status."""
    message = _message(error)
    if as_json:
        option = getattr(error, "param", None) or getattr(error, "option_name", None)
        found = {"code": "usage", "message": message, "param": getattr(option, "name", option)}
        click.echo(json.dumps({"error": found}, ensure_ascii=False))
        return error.exit_code
    ctx: click.Context | None = getattr(error, "ctx", None)
    if ctx is not None:
        click.echo(
            f"{ctx.get_usage()}\n{say('error.see_help', command=ctx.command_path)}", err=True
        )
    click.echo(say("error", message=message), err=True)
    return error.exit_code


def _message(error: click.ClickException) -> str:
    match error:
        case click.NoSuchOption(option_name=name, possibilities=similar):
            hint = say("error.meant", name=similar[0]) if similar else ""
            return say("error.no_option", name=name, hint=hint).rstrip()
        case click.MissingParameter(param=param, ctx=ctx) if param is not None and ctx is not None:
            return say("error.missing", name=_name(param, ctx))
        case click.BadParameter(param=param, ctx=ctx) if param is not None and ctx is not None:
            return say("error.bad_value", name=_name(param, ctx), reason=error.message)
        case _:
            return error.format_message()


def _name(param: click.Parameter, ctx: Any) -> str:
    return param.opts[0] if isinstance(param, click.Option) else param.make_metavar(ctx)
