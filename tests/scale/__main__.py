"""Promote many applications at once under the quotas of an account, with a virtual clock: `make scale`.

200 applications run under the quotas of a new account, and any other number under those of an established one, unless
`--new` is given. Each number runs twice: without approval, and in a stage that requires one.
"""

from __future__ import annotations

import argparse
import sys

from embedded_aws.kernel.quotas import ESTABLISHED_ACCOUNT, NEW_ACCOUNT
from tests.scale import report
from tests.scale.promotions import Run

_DEFAULT = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("applications", nargs="?", type=int, default=_DEFAULT)
    parser.add_argument("--new", action="store_true", help="the quotas of a new account, whatever the number")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the random times")
    arguments = parser.parse_args()
    is_new = arguments.new or arguments.applications <= _DEFAULT
    quotas, found = NEW_ACCOUNT if is_new else ESTABLISHED_ACCOUNT, []
    for title, approval in (("Without approval", False), ("With approval", True)):
        result = Run(arguments.applications, quotas, approval=approval, seed=arguments.seed).run()
        print("\n".join(report.lines(title, result)), flush=True)
        found += [f"{title}: {problem}" for problem in report.problems(result)]
    print("\n".join(found[:20]) if found else "No promotion failed, and no healthy deployment was rolled back.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
