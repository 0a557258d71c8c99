"""Hold what the stacks' policies grant beside what the whole suite needed of it, after `make test` has run it.

Nothing may be missing: no call of the application is denied. Nothing may be to spare: each action on each resource of
each policy allowed some call, and one of these would be refused without it. What is otherwise stands in `reasons`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.permissions import reasons, report
from tests.permissions.recording import DIRECTORY
from tests.permissions.telling import Told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.permissions", description=__doc__)
    parser.add_argument("directories", type=Path, nargs="*", default=[DIRECTORY], help="where pytest wrote it down")
    told = Told()
    files = [file for directory in parser.parse_args().directories for file in sorted(directory.glob("*.json"))]
    if not files:
        sys.exit("Nothing is written down: run pytest --permissions first.")
    for file in files:
        told.add_all(Told.read(file.read_text()))
    findings = report.findings(told, reasons.GRANTED, reasons.DENIED)
    for line in report.lines(told, reasons.GRANTED, reasons.DENIED):
        print(line)
    for finding in findings:
        print(f"WRONG {finding}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
