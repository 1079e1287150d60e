"""The command: ``python -m benchmarks [engine] [options]``."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from benchmarks import environments, load, measure, plots, tables, versus
from benchmarks.contender import CONTENDERS, Contender
from benchmarks.summary import ENGINE_GOALS, GOALS, summarise
from benchmarks.works import NAMES

_ENGINE_CONTENDERS: Final = ("ours", "aws", "mms")
_ENGINE_WORKS: Final = ("json-small", "slow-32", "batched-32", measure.LARGE)
_DEFAULT_ROUNDS: Final = 5
_BAR: Final = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
_ROOT: Final = Path(__file__).parent.parent


def main() -> int:
    """Measure and write the results; returns the exit code: 1 where a contender failed."""
    options = _options()
    if options.what == "readme":
        return _write_readme(options.results / f"{options.name or 'full'}.json")
    if options.what == "versus":
        return _compare(options)
    is_engine = options.what == "engine"
    works = options.work or (_ENGINE_WORKS if is_engine else NAMES)
    names = options.contenders or (_ENGINE_CONTENDERS if is_engine else tuple(CONTENDERS))
    is_partial = bool(options.work or options.contenders) or options.rounds < _DEFAULT_ROUNDS
    plan = measure.Plan(works, options.rounds, options.seconds, options.warmup)
    try:
        load.find_wrk()
    except load.LoadError as error:
        sys.exit(str(error))

    pythons, versions, failures = _install([CONTENDERS[name] for name in names], options.cache)
    with tqdm(bar_format=_BAR, disable=None) as bar:
        begun = 0.0

        def step(what: str, seconds: float) -> None:
            nonlocal begun
            bar.set_description(what)
            # What was begun before is done now.
            bar.update(begun)
            begun = seconds

        run = measure.Run(plan, pythons, bar.write, step)
        bar.write(f"This will take about {run.seconds / 60:.0f} min.")
        bar.reset(run.seconds)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            run.run()
        except KeyboardInterrupt:
            failures["the run"] = "stopped early; what was measured until then is reported"
    failures |= run.failures

    summary = summarise(run.turns)
    results = {
        "about": _about(),
        "plan": measure.describe(plan),
        "contenders": versions,
        "failures": failures,
        "turns": run.turns,
    }
    stem = options.name or ("partial" if is_partial else "engine" if is_engine else "full")
    folder: Path = options.results
    folder.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(results, summary, ENGINE_GOALS if is_engine else GOALS)
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(text)
    drawn = plots.draw(summary, folder, stem)
    print(text)
    print("Written:", *(path.name for path in drawn), f"{stem}.json", f"{stem}.md", "in", folder)
    for key, reason in failures.items():
        print(f"!!! {key} was not measured: {reason}", file=sys.stderr)
    return 1 if failures else 0


def _write_readme(results: Path) -> int:
    """Put results into benchmarks/README.md; returns the exit code."""
    readme = _ROOT / "benchmarks" / "README.md"
    plot = results.with_name(f"{results.stem}-requests.svg").resolve().relative_to(readme.parent)
    found = json.loads(results.read_text())
    section = tables.readme(found, summarise(found["turns"]), GOALS, str(plot))
    readme.write_text(tables.with_section(readme.read_text(), section))
    print("Written:", readme)
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Measure this checkout beside a commit; returns the exit code."""
    works = options.work or ("json-small", "json-large", "npy-4mb")
    comparison = versus.Comparison(
        options.commit, works, options.rounds, options.seconds, options.warmup
    )
    comparison.run(options.cache, print)
    print(versus.table(comparison.measures))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project beside others."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", "engine", "readme", "versus"),
        default="all",
        help="engine: what our own engine promises, beside MMS and the AWS toolkit only; "
        "readme: measures nothing, writes results that are there into benchmarks/README.md; "
        "versus: this checkout beside a commit, in alternating turns",
    )
    parser.add_argument("commit", nargs="?", default="HEAD", help="for versus; default HEAD")
    parser.add_argument("--contenders", type=_names(CONTENDERS), help=f"of {','.join(CONTENDERS)}")
    works = (*NAMES, measure.LARGE)
    parser.add_argument("--work", type=_names(works), help=f"of {','.join(works)}")
    parser.add_argument("--rounds", type=int, default=_DEFAULT_ROUNDS, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=3, help="for a work; default %(default)s")
    parser.add_argument("--warmup", type=float, default=10, help="seconds; default %(default)s")
    parser.add_argument("--cache", type=Path, default=_cache(), help="default %(default)s")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--name", help="of the files; default full, engine or partial")
    return parser.parse_args()


def _names(known: Any) -> Any:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        unknown = [name for name in found if name not in known]
        if unknown:
            message = f"{', '.join(unknown)}: not among {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return found

    return names


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "sagemaker-inference-benchmarks")


def _install(
    contenders: list[Contender], cache: Path
) -> tuple[list[tuple[Contender, Path]], dict[str, dict[str, str]], dict[str, str]]:
    """Environments: the Pythons, what is in each, and why others could not be made."""
    pythons = []
    versions = {}
    failures = {}
    for contender in tqdm(contenders, desc="environments", unit="venv", disable=None):
        if contender.needs_java and not _java():
            failures[contender.name] = "no java on PATH: apt-get install default-jre-headless"
            continue
        try:
            python = environments.prepare(contender, cache)
        except environments.InstallError as error:
            failures[contender.name] = f"cannot be installed: {error}"
            tqdm.write(f"!!! {contender.name} {failures[contender.name]}")
            continue
        pythons.append((contender, python))
        versions[contender.name] = environments.versions(python)
    return pythons, versions, failures


def _java() -> str:
    """The version of Java, which all contenders that need one share; empty for none."""
    java = shutil.which("java")
    if java is None:
        return ""
    asked = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "([^"]+)"', asked.stderr)
    return found[1] if found else ""


def _about() -> dict[str, Any]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "java": _java(),
        "command": measure.command(sys.argv[1:]),
    }


if __name__ == "__main__":
    sys.exit(main())
