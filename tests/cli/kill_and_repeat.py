"""Kill ``mddae edit`` over a folder at random moments and run it again; run as a script.

    python kill_and_repeat.py FOLDER KILLS FEWEST

From FEWEST pictures on, processes beside the model read and write. Prints a JSON line for each
kill: how many files there were, and whether the repeated run ended with the bytes of one that
nobody disturbed. What is run is forked from a process that has imported everything and started no
thread, so that the moments fall into the work.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from mddae_cli import pipeline, workers
from mddae_cli.cli.app import app

assert pipeline is not None  # imported here, not in each child


def start(folder: Path, out: Path) -> int:
    """Return the id of a process that edits ``folder`` into ``out``."""
    process = os.fork()
    if process:
        return process
    change = ["--set", "Smiling=1.5", "--align", "never"]
    words = ["edit", str(folder), *change, "-o", str(out), "-q"]
    with contextlib.suppress(SystemExit), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        app([*words, "--batch-size", "16", "--device", "cpu"])
    os._exit(0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(folder: Path, count: int) -> None:
    """Return when the work has come some way: there are more than ``count`` files."""
    while sum(path.is_file() for path in folder.rglob("*")) <= count:
        time.sleep(0.001)


def main() -> None:
    folder, kills, workers.WORTH_IT = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    out = folder.parent / "out"
    os.waitpid(start(folder, out), 0)
    whole = files(out)
    moments = random.Random(0)
    for _ in range(kills):
        shutil.rmtree(out, ignore_errors=True)
        process = start(folder, out)
        wait_for(out, moments.randrange(len(whole)))
        time.sleep(moments.uniform(0, 0.01))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        at_kill = files(out)
        os.waitpid(start(folder, out), 0)
        row = {"whole": len(whole), "at_kill": len(at_kill), "same": files(out) == whole}
        print(json.dumps(row | {"intact": at_kill.items() <= whole.items()}), flush=True)


if __name__ == "__main__":
    main()
