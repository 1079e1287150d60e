"""What SECURITY.md promises is in the file for scanners, and tested."""

import json
import re

from support.documents import ROOT

CVE = re.compile(r"CVE-\d{4}-\d+")
STATEMENTS = json.loads((ROOT / "security" / "vex.json").read_text())["statements"]
GUARDED = {
    statement["vulnerability"]["name"]
    for statement in STATEMENTS
    if statement.get("justification") == "inline_mitigations_already_exist"
}


def test_each_vulnerability_is_named_once():
    names = [statement["vulnerability"]["name"] for statement in STATEMENTS]
    assert len(names) == len(set(names)) > 20
    assert all(CVE.fullmatch(name) for name in names)


def test_each_statement_has_what_its_status_needs():
    for statement in STATEMENTS:
        [product] = statement["products"]
        [component] = product["subcomponents"]
        assert component["@id"].startswith("pkg:maven/")
        if statement["status"] == "not_affected":
            assert statement["justification"]
            assert statement["impact_statement"]
        else:
            assert statement["status"] == "under_investigation"
            assert statement["status_notes"]


def test_what_is_mitigated_is_what_the_page_says_and_what_is_tested():
    page = (ROOT / "SECURITY.md").read_text()
    tests = ROOT / "java" / "test" / "sagemaker" / "inference" / "frontend" / "GuardTests.java"
    assert len(GUARDED) == 4
    assert set(CVE.findall(page)) == GUARDED
    assert set(CVE.findall(tests.read_text())) == GUARDED


def test_the_page_has_what_scanners_read():
    verdicts = {
        "inline_mitigations_already_exist": "would, but for the guard",
        "vulnerable_code_not_in_execute_path": "no",
    }
    expected = []
    for statement in STATEMENTS:
        component = statement["products"][0]["subcomponents"][0]["@id"].rpartition("/")[2]
        why = statement.get("impact_statement") or statement["status_notes"]
        applies = verdicts.get(statement.get("justification"), "under investigation")
        name = statement["vulnerability"]["name"]
        expected.append(f"| {name} | {component.replace('@', ' ')} | {applies} | {why} |")
    page = (ROOT / "docs" / "security.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| CVE-")] == expected


def test_the_page_has_the_reasons_that_the_guard_gives():
    source = ROOT / "java" / "src" / "sagemaker" / "inference" / "frontend"
    names = ("RequestGuard", "RequestHead", "HostValue", "ChunkedBody")
    text = "".join((source / f"{name}.java").read_text() for name in names)
    # Strings go on in the next line, have constants in them, and some begin or end with the name of
    # a field.
    fields = {"LENGTH": "content-length", "ENCODING": "transfer-encoding", "HOST": "host"}
    for name, value in {**fields, "CHUNKED": "chunked"}.items():
        text = re.sub(rf'("\s*\+\s*)?\b(Field\.)?{name}\b(\s*\+\s*")?', value, text)
    text = re.sub(r'"\s*\+\s*"', "", text)
    page = (ROOT / "docs" / "security.md").read_text()
    table = page.partition("## What the guard refuses")[2]
    lines = re.findall(r"^\| .*", table, re.MULTILINE)
    reasons = [line.rstrip(" |").rpartition(" | ")[2] for line in lines]
    assert len(reasons) > 20
    for reason in reasons[2:]:
        either = "|".join(fields.values())
        words = re.sub(f"^({either})|({either})$", "", reason)
        assert words in text or reason in text, reason
