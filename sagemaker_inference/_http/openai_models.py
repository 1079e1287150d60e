"""``GET /v1/models``: the one model, as clients of OpenAI's API ask for models.

https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker_inference._program.paths import is_openai

if TYPE_CHECKING:
    from collections.abc import Iterable


def models(name: str, created: int) -> dict[str, Any]:
    """The list of models.

    Args:
        name: the name of the one model.
        created: when it was loaded, in seconds since 1970.
    """
    model = {"id": name, "object": "model", "created": created, "owned_by": "sagemaker"}
    return {"object": "list", "data": [model]}


def are_listed(paths: Iterable[str]) -> bool:
    """Whether a program with these paths has clients of OpenAI's API."""
    return any(map(is_openai, paths))
