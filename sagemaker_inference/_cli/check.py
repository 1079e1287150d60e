"""``sagemaker-inference check``."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sagemaker_inference._cli._checks.rules import Finding
from sagemaker_inference._cli._command import Command, needed
from sagemaker_inference._os import linux
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from sagemaker_inference._cli._checks.rules import Rule
    from sagemaker_inference._cli._checks.target import Target

# How long something may take until it is named, where there is no terminal.
_QUIET_SECONDS: Final = 5.0
_COLORS: Final = {"error": "red", "warning": "yellow", "ok": "green", "skipped": "bright_black"}


@dataclass
class _Report:
    """What the rules found.

    Attributes:
        findings: the findings of rules that have some.
        passed: the rules that have none.
        skipped: the rules that could not be looked at, each with the reason.
    """

    findings: list[tuple[Rule, Finding]] = field(default_factory=list)
    passed: list[Rule] = field(default_factory=list)
    skipped: list[tuple[Rule, str]] = field(default_factory=list)

    def look(self, rule: Rule, target: Target) -> None:
        """Look at a rule."""
        try:
            if reason := target.lacks(rule.need):
                self.skipped.append((rule, reason))
                return
            findings = list(rule.check(target))
        except (OSError, ValueError) as error:
            # A file that cannot be read, or a server that has gone.
            findings = [Finding(target.name, f"it cannot be checked: {error}", "Correct this.")]
        self.findings += [(rule, finding) for finding in findings]
        if not findings:
            self.passed.append(rule)

    def count(self, level: str) -> int:
        """How many findings there are of a level."""
        return sum(rule.level_of(finding) == level for rule, finding in self.findings)

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [
                {
                    "rule": rule.id,
                    "level": rule.level_of(finding),
                    "where": finding.where,
                    "what": finding.what,
                    "fix": finding.fix,
                    "why": rule.why,
                }
                for rule, finding in self.findings
            ],
            "passed": [rule.id for rule in self.passed],
            "skipped": [{"rule": rule.id, "reason": reason} for rule, reason in self.skipped],
        }

    def print_text(self) -> None:
        """As lines for a terminal."""
        for rule, finding in self.findings:
            click.echo(
                f"{_colored(rule.level_of(finding))} {rule.id}: {finding.where}: {finding.what}"
            )
            click.echo(f"  fix: {finding.fix}")
            click.echo(f"  why: {rule.why}")
        for rule in self.passed:
            click.echo(f"{_colored('ok')} {rule.id}")
        for reason in dict.fromkeys(reason for _, reason in self.skipped):
            names = ", ".join(rule.id for rule, other in self.skipped if other == reason)
            click.echo(f"{_colored('skipped')} {reason}: {names}")
        found = ", ".join(counted(self.count(level), level) for level in ("error", "warning"))
        click.echo(f"{found}, {len(self.passed)} passed, {len(self.skipped)} skipped")


def _colored(level: str) -> str:
    return click.style(level, fg=_COLORS[level])


@click.command(
    cls=Command,
    name="check",
    short_help="Check a program against SageMaker's contract.",
    examples=[
        "check",
        "check model/ --run",
        "check inference.py --format json",
        "check http://127.0.0.1:8080",
    ],
)
@click.argument("what", metavar="[DIR|FILE|URL]", default=".")
@click.option("--run", is_flag=True, help="Start the server, and check its answers, too.")
@click.option("--model-dir", metavar="DIR", help="The folder of the model, for --run.")
@click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def command(what: str, *, run: bool, model_dir: str | None, format_: str) -> int:
    """Check a folder, a program or a server against SageMaker's contract.

    Without --run it takes seconds: files are read, and the program is imported by another process.
    With --run the server is started, on a free port. A URL is of a server that runs already.

    The exit code is 0 without errors, also with warnings; 1 with errors; 2 for a wrong command.
    """
    from sagemaker_inference._cli._checks.probe import probing
    from sagemaker_inference._cli._checks.rules import all_rules
    from sagemaker_inference._cli._checks.target import Target
    from sagemaker_inference._cli._endpoint import check_model_dir
    from sagemaker_inference._cli._urls import is_url, read_url

    needed("packaging.requirements")
    url = str(read_url(what)) if is_url(what) else None
    check_model_dir(what, model_dir)
    if model_dir is not None and not run:
        message = "--model-dir has no effect without --run: add it"
        raise click.UsageError(message)
    if run and url is None:
        linux.require("--run", "check the files alone, or the URL of a container that runs")
    if url is None and not Path(what).exists():
        message = f"there is no {what}. Name a folder, a program's file or a URL."
        raise click.UsageError(message)
    target = Target(None if url else Path(what))
    report = _Report()
    rules = all_rules()
    with _Status() as status:
        target.on_wait = status.show
        if run or url:
            with probing(target, url, model_dir or target.model_dir):
                _look(rules, target, report, status)
                status.show("the server stops")
        else:
            _look(rules, target, report, status)
    if format_ == "json":
        click.echo(json.dumps(report.document(), indent=2))
    else:
        report.print_text()
    return 1 if report.count("error") else 0


def _look(rules: Sequence[Rule], target: Target, report: _Report, status: _Status) -> None:
    for rule in rules:
        status.show(rule.id)
        report.look(rule, target)


class _Status:
    """A line on a terminal that says what is going on, until it has a result.

    Elsewhere, as in the log of a build, only what takes long is said, each on a line of its own.
    """

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._shown = ""
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Show a text in place of the one before; "" for none."""
        if not self._is_shown:
            self._say_later(text)
            return
        # Spaces, which every terminal knows.
        click.echo(f"\r{'':{len(self._shown)}}\r", nl=False, err=True)
        self._shown = f"check: {text} ..." if text else ""
        click.echo(self._shown, nl=False, err=True)

    def _say_later(self, text: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if text:
            said = f"check: {text} ... (for {_QUIET_SECONDS:g} s now)"
            self._timer = threading.Timer(_QUIET_SECONDS, click.echo, [said], {"err": True})
            self._timer.daemon = True
            self._timer.start()
