"""What programs say of themselves, without being imported."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

# The second is that of AWS's toolkit.
_SERVERS: Final = ("serve", "start_model_server")


def nodes(path: Path) -> list[ast.AST]:
    """What is in a program; nothing where it cannot be read."""
    try:
        return list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, RecursionError):  # the second of NULs, the third of brackets
        return []


def serve_calls(path: Path) -> list[ast.Call]:
    """The calls of a program that serve."""
    every = nodes(path)
    imports = (alias for node in every if isinstance(node, ast.ImportFrom) for alias in node.names)
    names = {*_SERVERS, *(alias.asname for alias in imports if alias.name in _SERVERS)}
    return [
        node
        for node in every
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in names)
            or (isinstance(node.func, ast.Attribute) and node.func.attr in _SERVERS)
        )
    ]


def literal(call: ast.Call, name: str) -> Any:
    """An argument of a call, where it is written out; else None."""
    values = (one.value for one in call.keywords if one.arg == name)
    value = next(values, None)
    return value.value if isinstance(value, ast.Constant) else None


def imports_name(path: Path, name: str) -> bool:
    """Whether a program imports a name of this package."""
    return any(
        alias.name == name
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.module == "sagemaker_inference"
        for alias in node.names
    )
