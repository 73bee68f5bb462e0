"""`moa-bot prompts …`: lists prompt templates, shows one, opens one in the editor."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from bot.app.editor import run_editor
from bot.cli.options import new_typer_app
from bot.cli.output import print_json, print_text, terminal_width
from bot.errors import UsageError
from bot.settings import paths
from bot.settings.templates import Template, Templates
from bot.text.sanitise import one_line, sanitise
from bot.text.table import tab_separated, table

typer_app = new_typer_app("List the prompt templates, show one, or edit one.")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@typer_app.command("list")
def list_(*, as_json: _Json = False) -> None:
    """List the templates."""
    templates = Templates(paths.config_file()).all()
    if as_json:
        print_json([_as_json(template) for template in templates])
        return
    columns = {
        "name": [template.name for template in templates],
        "fields": [" ".join(template.fields) for template in templates],
        "preset": [template.preset for template in templates],
        "text": [t.summary for t in templates],
    }
    width = terminal_width()
    if not templates:
        print_text("" if width is None else "There are no templates yet: moa-bot prompts edit NAME")
    elif width is None:
        print_text(tab_separated(zip(*columns.values(), strict=True)))
    else:
        print_text(table(columns, width, flexible="text", dispensable=("preset", "fields")))


@typer_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template.")], *, as_json: _Json = False
) -> None:
    """Show a template."""
    template = Templates(paths.config_file()).get(name)
    if as_json:
        print_json(_as_json(template))
        return
    facts = {"preset": template.preset, "system": template.system, "fields": ", ".join(template.fields)}
    lines = [f"{key}: {one_line(value)}" for key, value in facts.items() if value]
    print_text(
        sanitise("\n".join([*lines, *([""] if lines else []), template.text, f"\nfrom {template.source}"]))
    )


@typer_app.command()
def edit(name: Annotated[str, typer.Argument(metavar="NAME", help="The template, or a new name.")]) -> None:
    """Open a template in your editor ($VISUAL, $EDITOR); a name without one begins a file prompts/NAME.md."""
    templates = Templates(paths.config_file())
    if name in templates.names():
        run_editor(templates.source(name))
    else:
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise UsageError("A template's name has letters, digits, - and _ only.")
        templates.folder.mkdir(parents=True, exist_ok=True)
        run_editor(templates.folder / f"{name}.md")
    # A mistake is said at once.
    if name in (templates := Templates(paths.config_file())).names():
        templates.get(name)


def _as_json(template: Template) -> dict[str, object]:
    return {
        "name": template.name,
        "text": template.text,
        "system": template.system or None,
        "preset": template.preset or None,
        "description": template.description or None,
        "fields": list(template.fields),
        "source": str(template.source),
        "problem": template.problem or None,
    }
