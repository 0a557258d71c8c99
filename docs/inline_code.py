"""Write the code of the function of upstream.yaml into the template: `make docs`.

CloudFormation zips inline code itself, so that any of its clients deploys the stack from one file.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEMPLATE, CODE = ROOT / "upstream.yaml", ROOT / "upstream/receive_outcomes.py"
_INLINE = re.compile(r"(?m)^( +)ZipFile: \|\n(?:\1  .*\n|\n)+")


def with_code(template: str) -> str:
    """Return `template` with the current code, in the syntax of a YAML block."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}ZipFile: |\n" + textwrap.indent(CODE.read_text(), f"{found[1]}  ") + "\n"

    return _INLINE.sub(block, template)


if __name__ == "__main__":
    TEMPLATE.write_text(with_code(TEMPLATE.read_text()))
