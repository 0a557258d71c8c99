"""Run commands of the AWS CLI that a shell asks for, in one process, since the CLI takes a second to start.

    cli.py <directory>

A request is a file of arguments that each end with a zero byte; the first two are the profile and the working
directory. The pipe `request` in the directory has its name. The answers are in its directory: `stdout`, `stderr` and
`code`; the pipe `done` ends each one.
"""

import contextlib
import functools
import io
import os
import sys
from pathlib import Path

from awscli import clidriver


@functools.cache
def driver(profile: str) -> clidriver.CLIDriver:
    """Return the CLI with a profile. It keeps the models of the services that it has read."""
    os.environ["AWS_PROFILE"] = profile
    return clidriver.create_clidriver()


def run(profile: str, arguments: list[str]) -> tuple[int, bytes, bytes]:
    """Return the exit code of a command, its output and its errors."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver(profile).main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.buffer.getvalue(), err.buffer.getvalue()


def main() -> None:
    """Run commands until the process is killed."""
    directory = Path(sys.argv[1])
    while True:
        request = Path((directory / "request").read_text().strip())
        profile, folder, *arguments = [each.decode() for each in request.read_bytes().split(b"\0")[:-1]]
        os.chdir(folder)
        os.environ["AWS_PROFILE"] = profile
        code, out, err = run(profile, arguments)
        (directory / "stdout").write_bytes(out)
        (directory / "stderr").write_bytes(err)
        (directory / "code").write_text(str(code))
        (directory / "done").write_text("done\n")


if __name__ == "__main__":
    main()
