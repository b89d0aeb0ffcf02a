"""Measure the receive path against every bar, side by side with its peers, in one run.

    python -m tests.bench.ingest [--quick] [--rounds 3] [--instances 10000] [--json FILE]

Every round runs each case once, every other round backwards, so that a drift of the machine meets
all of them; medians are printed. Every byte that was received is compared after each run. Run it
on a machine that does nothing else: about 12 minutes, --quick 2.
"""

import argparse
import json
import os
import resource
import shutil
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tests.bench.ingest import figures, machine, measuring, messages, plan, report
from tests.bench.ingest.figures import Key, Run

KEPT_BYTES_PER_INSTANCE = 18 * 27_000
"""A round's packs and files stay until the end: what 18 of the cases keep, counted in full ones."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.ingest", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="1 round of 1,500: a try, no more")
    parser.add_argument("--instances", type=int, help="for the fast receivers (10000)")
    parser.add_argument("--size", type=int, default=25_000, help="bytes of an instance (25000)")
    parser.add_argument("--large", type=int, help="bytes of the large instance (512 MiB)")
    parser.add_argument("--rounds", type=int, help="odd is best (3)")
    parser.add_argument("--sent", default="", help="only cases whose description holds this")
    parser.add_argument("--receiver", default="", help="only receivers whose name holds this")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to use")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    given = parser.parse_args()
    given.instances = given.instances or (1_500 if given.quick else 10_000)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.large = given.large or (64 << 20 if given.quick else 512 << 20)
    return given


def main() -> None:
    given = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    facts = machine.description(given.folder)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if facts["filesystem"] in ("tmpfs", "overlay"):
        print(f"{given.folder} is no disk: syncs cost nothing there. Name another with --folder.")
    needed = given.instances * given.rounds * KEPT_BYTES_PER_INSTANCE
    if facts["free_gb"] * 1e9 < needed:
        raise SystemExit(f"{given.folder} needs {needed / 1e9:.0f} GB free")
    scratch = Path(tempfile.mkdtemp(prefix="ingest-", dir=given.folder))
    load_before = os.getloadavg()[0]
    print(f"load average before: {load_before:.2f}")
    failures: list[str] = []
    try:
        runs = measure_all(given, scratch, failures)
    finally:
        load_after = os.getloadavg()[0]
        shutil.rmtree(scratch, ignore_errors=True)
    facts |= {"load_before": load_before, "load_after": load_after, "failures": failures}
    conclude(given, runs, facts)
    if failures:
        raise SystemExit(
            "\n".join((f"\n{len(failures)} run(s) failed and do not count:", *failures))
        )
    print("\nEvery byte that was kept was compared with what was sent: none is missing or differs.")


def measure_all(
    given: argparse.Namespace, scratch: Path, failures: list[str]
) -> dict[Key, list[Run]]:
    template = messages.template(given.size)
    cases = []
    for case in plan.cases(template, given.instances, given.large, scratch / "sources"):
        missing = plan.missing_programs(case)
        if missing:
            print(f"not measured: {' '.join(case.key)}: {', '.join(missing)} is not installed")
        elif given.sent in case.scenario and given.receiver in case.key[1]:
            cases.append(case)
    runs: dict[Key, list[Run]] = {case.key: [] for case in cases}
    os.sync()
    for number in range(given.rounds):
        for case in cases[:: -1 if number % 2 else 1]:
            try:
                run = measuring.measure(case, scratch, len(template.data))
            except Exception as error:  # one that fails must not cost the others an hour
                failures.append(f"round {number + 1}: {' / '.join(case.key)}: {error!r}")
                traceback.print_exc()
                continue
            runs[case.key].append(run)
            print(report.run_line(case.key, number + 1, run), flush=True)
    return {key: several for key, several in runs.items() if several}


def conclude(given: argparse.Namespace, runs: dict[Key, list[Run]], facts: dict[str, Any]) -> None:
    measured = {key: figures.figures(several) for key, several in runs.items()}
    verdicts = figures.verdicts(measured)
    print(f"load average after: {facts['load_after']:.2f} (the run itself adds to it)")
    print(f"\nMedians of {given.rounds} alternating round(s), {given.size:,} bytes an instance\n")
    print(report.tables(measured))
    print(f"\n{report.bound_line(measured)}\n")
    print(report.bars(verdicts))
    if given.json:
        kept = {
            "machine": facts, "arguments": {k: str(v) for k, v in vars(given).items()},
            **report.as_json(runs, measured, verdicts),
        }  # fmt: skip
        given.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
