"""Filling the placeholders of judge prompts. Not a template language."""

from __future__ import annotations

import re
from collections.abc import Mapping


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values in the place of their `{name}`; every other brace stays as it is.

    All are put in at once: braces within a value (a model's answer, say) are never placeholders.
    """
    names = "|".join(re.escape(name) for name in values)
    return re.sub(rf"\{{({names})\}}", lambda match: values[match[1]], template)
