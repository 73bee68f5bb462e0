"""docs/architecture.md names what is there.

`python tests/docs/test_architecture.py --write` brings its lists of modules and layers up to date.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from difflib import unified_diff
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BOT = ROOT / "bot"
INDENT, WIDTH = 20, 110
"""Columns at which a description begins in the tree, and at which its lines end."""


def packages() -> dict[str, list[str]]:
    """Return the modules of each package below bot/ by the package's path, such as "eval/flask/"."""
    folders = sorted(file.parent for file in BOT.rglob("__init__.py") if file.parent != BOT)
    return {
        f"{folder.relative_to(BOT).as_posix()}/": sorted(
            file.stem for file in folder.glob("*.py") if file.name != "__init__.py"
        )
        for folder in folders
    }


def tree(text: str) -> str:
    """Return the page's tree as it should be; descriptions are kept, a new package has its docstring's."""
    said = dict(re.findall(r"^  ([\w/]+/) +(.+)$", block(text, "Tree"), re.MULTILINE))
    root = block(text, "Tree").split("\n\n", maxsplit=1)[0]
    there = packages()
    order = [name for name in said if name in there] + [name for name in there if name not in said]
    entries = []
    for name in order:
        entries.append(f"  {name:<{INDENT - 3}} {said.get(name) or docstring(name)}")
        if there[name]:
            indent = " " * INDENT
            entries.append(
                textwrap.fill(
                    ", ".join(there[name]),
                    WIDTH,
                    initial_indent=indent,
                    subsequent_indent=indent,
                    break_long_words=False,
                )
            )
    return root + "\n\n" + "\n".join(entries)


def docstring(package: str) -> str:
    text = ast.get_docstring(ast.parse((BOT / package / "__init__.py").read_text(encoding="utf-8")))
    return (text or "").partition("\n")[0].rstrip(".")


def layers() -> str:
    """Return the layers that lint-imports holds, the top one first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return "\n".join(re.sub(r"[|:]", "|", layer) for layer in contract["layers"])


def block(text: str, heading: str) -> str:
    """Return the first code block under a heading."""
    found = re.search(rf"^## {heading}\n.*?^```\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{PAGE.name} has no code block under {heading!r}"
    return found[1]


def filled(text: str) -> str:
    """Return the page with its tree and its layers as they are now."""
    for heading, content in (("Tree", tree(text)), ("Layers", layers())):
        text = text.replace(f"```\n{block(text, heading)}\n```", f"```\n{content}\n```", 1)
    return text


def names() -> list[str]:
    """Return the names of modules, classes, and functions on the pages, such as `bot.app.turn.show`."""
    found: set[str] = set()
    for page in sorted(ROOT.glob("docs/*.md")):
        found.update(re.findall(r"`(bot(?:\.\w+)+)(?:\(\))?`", page.read_text(encoding="utf-8")))
    return sorted(found)


def test_the_tree_and_the_layers_are_the_real_ones() -> None:
    """Each package and module of bot/ has its place in the tree; the layers are those of the contract."""
    text = PAGE.read_text(encoding="utf-8")
    change = "\n".join(unified_diff(text.splitlines(), filled(text).splitlines(), "is", "should be", n=0))
    assert not change, f"run: python tests/docs/test_architecture.py --write\n{change}"
    root = set(re.findall(r"\w+\.(?:py|typed)", block(text, "Tree").split("\n\n", maxsplit=1)[0]))
    assert root == {file.name for file in BOT.iterdir() if file.is_file()}


@pytest.mark.parametrize("name", names())
def test_a_name_is_that_of_something(name: str) -> None:
    """A module, class, method or function that a page names is there."""
    module, _, rest = name, "", ""
    while not (ROOT / f"{module.replace('.', '/')}.py").exists():
        if (ROOT / module.replace(".", "/")).is_dir():
            break
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}".rstrip(".")
    thing = import_module(module)
    for part in filter(None, rest.split(".")):
        assert hasattr(thing, part), f"there is no {name}"
        thing = getattr(thing, part)


def test_every_file_named_is_there() -> None:
    """A file or folder of the repository that a page names in backticks exists."""
    for page in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]:
        named = re.findall(
            r"`((?:bot|config|docs|tests|examples|\.ci)/[\w./-]*)`", page.read_text(encoding="utf-8")
        )
        missing = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
        assert not missing, f"{page.name} names {missing}"


if __name__ == "__main__" and "--write" in sys.argv:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
