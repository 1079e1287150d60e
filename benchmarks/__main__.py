"""The command: ``python -m benchmarks [engine|streams|batching|gpu] [options]``."""

from __future__ import annotations

import argparse
import datetime as dt
import functools
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

from benchmarks import batching, environments, gpu, load, measure, plots, tables, versus
from benchmarks.contender import ALL, CONTENDERS, OURS, Contender
from benchmarks.summary import ENGINE_GOALS, GOALS, STREAM_GOALS, summarise
from benchmarks.works import NAMES, STREAM_NAMES

_ENGINE_CONTENDERS: Final = ("ours", "aws", "mms")
_ENGINE_WORKS: Final = ("json-small", "slow-32", "batched-32", measure.LARGE)
_STREAM_WORKS: Final = (*STREAM_NAMES, measure.IDLE)
_STREAM_CONTENDERS: Final = tuple(each.name for each in CONTENDERS.values() if each.streams)
# What is measured of whom where nothing else is said, and what is wanted.
_SETS: Final = {
    "all": (NAMES, ALL, (*GOALS, *STREAM_GOALS)),
    "engine": (_ENGINE_WORKS, _ENGINE_CONTENDERS, ENGINE_GOALS),
    "streams": (_STREAM_WORKS, _STREAM_CONTENDERS, STREAM_GOALS),
}
# The names of files.
_STEMS: Final = {"all": "full"}
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
    if options.what == "batching":
        return _batch(options)
    if options.what == "gpu":
        return _on_gpu(options)
    all_works, all_names, goals = _SETS[options.what]
    works, names = options.work or all_works, options.contenders or all_names
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
    stem = options.name or ("partial" if is_partial else _STEMS.get(options.what, options.what))
    folder: Path = options.results
    folder.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(results, summary, goals)
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(text)
    drawn = plots.draw(summary, folder, stem)
    print(text)
    print("Written:", *(path.name for path in drawn), f"{stem}.json", f"{stem}.md", "in", folder)
    return _report_failures(failures)


def _write_readme(results: Path) -> int:
    """Put results into benchmarks/README.md; returns the exit code."""
    readme = _ROOT / "benchmarks" / "README.md"
    plot = results.with_name(f"{results.stem}-requests.svg").resolve().relative_to(readme.parent)
    found = json.loads(results.read_text())
    summary = summarise(found["turns"])
    section = tables.readme(found, summary, (*GOALS, *STREAM_GOALS), str(plot))
    readme.write_text(tables.with_section(readme.read_text(), section))
    drawn = plots.draw(summary, results.parent, results.stem)
    print("Written:", readme, *drawn)
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Measure this checkout beside a commit; returns the exit code."""
    works = options.work or ("json-small", "json-large", "csv-large", "npy-4mb")
    comparison = versus.Comparison(
        options.commit or "HEAD", works, options.rounds, options.seconds, options.warmup
    )
    comparison.run(options.cache, print)
    print(versus.table(comparison.measures))
    return 0


def _batch(options: argparse.Namespace) -> int:
    """Measure batches beside others, and beside a commit if one is named; returns the exit code."""
    names = options.contenders or (OURS, batching.MOSEC)
    run = batching.Batching(
        options.commit or "",
        names,
        options.work or batching.NAMES,
        options.rounds,
        options.seconds,
        options.warmup,
    )
    run.run(options.cache, print)
    print(batching.table(run.measures))
    print(batching.verdicts(run.measures, batching.goals(run.commit)))
    return _report_failures(run.failures)


def _on_gpu(options: argparse.Namespace) -> int:
    """Measure a model on a GPU; returns the exit code: 0 as well where there is no GPU."""
    plan = batching.Batching(
        options.commit or "",
        options.contenders or gpu.CONTENDERS,
        options.work or gpu.NAMES,
        options.rounds,
        options.seconds,
        options.warmup,
    )
    # Where the output is a file, too, each number stands there before the next one is measured.
    say = functools.partial(print, flush=True)
    return _report_failures(gpu.measure(plan, options.device, options.cache, say))


def _report_failures(failures: dict[str, str]) -> int:
    for key, reason in failures.items():
        print(f"!!! {key} was not measured: {reason}", file=sys.stderr)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project beside others."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", "engine", "streams", "batching", "gpu", "readme", "versus"),
        default="all",
        help="engine: what our own engine promises, beside MMS and the AWS toolkit only; "
        "streams: 32 streams, beside those that stream; "
        "batching: full batches, and what a lone client pays, beside mosec and a commit; "
        "gpu: the same on a GPU, beside LitServe and the model alone too; skipped without a GPU; "
        "readme: measures nothing, writes results that are there into benchmarks/README.md, "
        "and draws the plots, of which README.md shows one; "
        "versus: this checkout beside a commit, in short turns on servers of both that are up "
        "together; each round starts new servers",
    )
    parser.add_argument(
        "commit", nargs="?", help="for versus, default HEAD; for batching and gpu, default none"
    )
    parser.add_argument("--contenders", type=_names(CONTENDERS), help=f"of {','.join(CONTENDERS)}")
    works = (*NAMES, measure.LARGE, measure.IDLE, *batching.NAMES, *gpu.NAMES)
    parser.add_argument("--work", type=_names(works), help=f"of {','.join(works)}")
    parser.add_argument("--rounds", type=int, default=_DEFAULT_ROUNDS, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=3, help="for a work; default %(default)s")
    parser.add_argument("--warmup", type=float, default=10, help="seconds; default %(default)s")
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="for gpu; cpu has a small model, to try the programs where there is no GPU",
    )
    parser.add_argument("--cache", type=Path, default=_cache(), help="default %(default)s")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--name", help="of the files; default full, engine, streams or partial")
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
