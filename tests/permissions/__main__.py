"""Compare the permissions that the stacks grant with those that the tests required, after `make test`.

A finding is a denied call of the application, a grant that allowed no call, or a grant without which no call would be
denied. A grant is an action on a resource in a policy. `reasons` lists the exceptions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.permissions import reasons, report
from tests.permissions.recording import DIRECTORY
from tests.permissions.usage import Usage


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.permissions", description=__doc__)
    parser.add_argument(
        "directories", type=Path, nargs="*", default=[DIRECTORY], help="the directories that pytest recorded to"
    )
    usage = Usage()
    files = [file for directory in parser.parse_args().directories for file in sorted(directory.glob("*.json"))]
    if not files:
        sys.exit("No permissions are recorded. Run pytest --permissions first.")
    for file in files:
        usage.merge(Usage.from_json(file.read_text()))
    findings = report.findings(usage, reasons.GRANTED, reasons.DENIED)
    for line in report.lines(usage, reasons.GRANTED, reasons.DENIED):
        print(line)
    for finding in findings:
        print(f"ERROR {finding}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
