"""Replace the inference script in a model archive, for example to break a model without training it again.

python examples/repack.py model.tar.gz examples/broken/wrong_answers/inference.py broken.tar.gz
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path


def repack(archive: bytes, script: Path) -> bytes:
    """Return the archive with `script` as its `code/inference.py`."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as old,
        tarfile.open(fileobj=packed, mode="w:gz") as new,
    ):
        for member in old:
            if member.name != "code/inference.py":
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        new.add(script, arcname="code/inference.py")
    return packed.getvalue()


if __name__ == "__main__":
    source, replacement, target = (Path(argument) for argument in sys.argv[1:])
    target.write_bytes(repack(source.read_bytes(), replacement))
