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
