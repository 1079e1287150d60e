"""The table of rules in docs/emulate.md: each has a source and a test, and each test its rule."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support.documents import ROOT

TABLE = ROOT / "docs" / "emulate.md"
FOLDERS = [Path(__file__).parent, ROOT / "tests" / "clients", ROOT / "tests" / "server"]


def marked() -> dict[str, str]:
    """By rule, the test that has its mark."""
    found: dict[str, str] = {}
    for path in [path for folder in FOLDERS for path in sorted(folder.glob("test_*.py"))]:
        for node in ast.parse(path.read_text()).body:
            for decorator in getattr(node, "decorator_list", []):
                if ast.unparse(decorator).startswith("pytest.mark.rule("):
                    rule = str(ast.literal_eval(decorator.args[0]))
                    assert rule not in found, rule
                    assert isinstance(node, ast.FunctionDef)
                    found[rule] = f"{path.name}: {node.name}"
    return found


def rows() -> list[list[str]]:
    """The cells of all tables of rules."""
    section = TABLE.read_text().split("\n## The rules\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_rule_has_a_source_and_the_test_that_has_its_mark() -> None:
    table = rows()
    assert all(source for _, _, source, _ in table)
    documented = {name.strip("`"): test.strip("`") for name, _, _, test in table}
    assert len(documented) == len(table)
    assert documented == marked()


def test_what_is_not_known_is_said() -> None:
    unknown = {name.strip("`") for name, _, source, _ in rows() if re.search("not known", source)}
    section = TABLE.read_text().split("\n## What is not known\n", 1)[1]
    for name in unknown:
        assert f"`{name}`" in section, name
