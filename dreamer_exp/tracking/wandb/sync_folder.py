"""One offline folder through wandb's own `wandb sync`, which is believed only where its log tells of no error.

wandb 0.31 exits with 0 whatever happened, and sets its `.synced` marker although the server refused rows or files; then
`wandb clean` deletes the only copy. So a folder is synced where nothing went wrong, and only there is it marked.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.wandb_folders import marker, wandb_files
from dreamer_exp.rundir.reader import parse_object

TIMEOUT_S = 1800.0  # what takes longer is sent at the next call
# wandb retries for hours, as a run must; here the next call is the retry. These give up after some 7 and 60 seconds.
RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "2",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "5",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "5",
}
SILENCING = ("WANDB_SILENT", "WANDB_QUIET")  # what wandb prints is read here
NO_LOGIN = ("No API key configured", "WANDB_API_KEY invalid", "not logged in", '"status":401')
UNREACHABLE = "dial tcp"  # Go's words where there is no such name, no route or no listener
CUT_OFF = "incomplete transaction log"
SECRETS = re.compile(r"[\w-]{40,}|(?<=//)[^/@\s]+(?=@)")  # keys have 40 characters or more; and what a URL logs in with


class Unreachable(Exception):
    """The server doesn't answer; says in what words."""


@dataclass(frozen=True)
class Outcome:
    """What came of one `wandb sync`."""

    error: str | None = None  # in one line, without keys; None: all that the folder holds was sent
    is_cut_off: bool = False  # its file ends within a record, as the run was killed; all before that was sent


def sync_folder(folder: Path, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Sends one offline folder, and marks it as synced if all of it went.

    Raises:
        UserError: W&B knows no login here.
        Unreachable: the server doesn't answer, so that the next folder needn't be tried.
    """
    with tempfile.TemporaryDirectory() as logs:
        output, log = _run_wandb(folder, Path(logs), timeout_s)
    outcome = _judge(folder, output, log)
    for file in wandb_files(folder):
        if outcome.error is None:
            marker(file).touch()
        else:
            marker(file).unlink(missing_ok=True)
    if outcome.error and any(words in output + log for words in NO_LOGIN):
        raise UserError(
            f"W&B takes nothing without a login ({outcome.error.split('. ')[0]}): run `wandb login`, or set "
            "WANDB_API_KEY, and WANDB_BASE_URL for a server of your own."
        )
    if outcome.error and UNREACHABLE in outcome.error:
        raise Unreachable(outcome.error[outcome.error.index(UNREACHABLE) :].split(";")[0])
    return outcome


def _run_wandb(folder: Path, logs: Path, timeout_s: float) -> tuple[str, str]:
    """What `wandb sync` printed, and its log (JSON lines)."""
    (logs / "wandb").mkdir()  # without it, wandb logs into the system's temporary folder
    environment = {name: value for name, value in os.environ.items() if name not in SILENCING}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(folder)],
            env={**RETRIES, **environment, "WANDB_DIR": str(logs)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"ERROR no end after {timeout_s:.0f} s", ""
    failed = f"\nERROR exit code {done.returncode}" if done.returncode else ""
    return done.stdout + failed, "".join(path.read_text(encoding="utf-8") for path in logs.glob("wandb/logs/*.log"))


def _judge(folder: Path, output: str, log: str) -> Outcome:
    """The log's last error says what it failed of; the printed ones may only say that it did."""
    logged = [str(record.get("msg")) for record in map(parse_object, log.splitlines())
              if record and str(record.get("level")).startswith("ERROR")]  # fmt: skip
    printed = re.findall(r"\b(?:ERROR|Error:) (?!Find detailed)(.+)", output)
    is_cut_off = any(CUT_OFF in error for error in logged)
    if is_cut_off and all(CUT_OFF in error for error in logged):
        return Outcome(is_cut_off=True)
    if logged or printed:
        return Outcome(_one_line(logged[-1] if logged else printed[0]), is_cut_off)
    if not all(marker(file).exists() for file in wandb_files(folder)):
        return Outcome("wandb sync told of no error, and left no .synced marker")
    return Outcome()


def _one_line(error: str) -> str:
    return SECRETS.sub("***", "; ".join(error.splitlines()))[:300]
