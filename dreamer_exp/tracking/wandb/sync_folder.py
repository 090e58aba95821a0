"""One offline folder through `wandb sync`, whose success is believed only if its log has no error.

wandb 0.31 always exits with 0, and creates its `.synced` marker even if the server refused rows or files; `wandb clean`
then deletes the only copy. Here a folder is marked only after an upload without errors.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.parse import parse_object
from dreamer_exp.rundir.wandb_folders import marker, wandb_files

TIMEOUT_S = 1800.0  # a longer upload is stopped and retried at the next sync
# wandb retries for hours, as a running experiment needs; here the next sync retries. About 7 and 60 seconds.
RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "2",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "5",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "5",
}
SILENCING = ("WANDB_SILENT", "WANDB_QUIET")  # removed, as the output is parsed
NO_LOGIN = ("No API key configured", "WANDB_API_KEY invalid", "not logged in", '"status":401')
UNREACHABLE = "dial tcp"  # Go's message for an unknown name, no route or no listener
CUT_OFF = "incomplete transaction log"
SECRETS = re.compile(r"[\w-]{40,}|(?<=//)[^/@\s]+(?=@)")  # API keys, of 40 characters or more; logins in URLs


class Unreachable(Exception):
    """The server doesn't answer; the message is wandb's."""


@dataclass(frozen=True)
class Outcome:
    """Result of one `wandb sync`."""

    error: str | None = None  # one line without secrets; None: everything in the folder was uploaded
    is_cut_off: bool = False  # the last record is incomplete, as the run was killed; everything before it was uploaded


def sync_folder(folder: Path, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Upload one offline folder, and mark it as synced if everything was uploaded.

    Raises:
        UserError: W&B has no valid login here.
        Unreachable: The server doesn't answer; another folder would fail too.
    """
    with tempfile.TemporaryDirectory() as logs:
        output, log = _run_wandb(folder, Path(logs), timeout_s)
    outcome = _outcome(folder, output, log)
    for file in wandb_files(folder):
        if outcome.error is None:
            marker(file).touch()
        else:
            marker(file).unlink(missing_ok=True)
    if outcome.error and any(words in output + log for words in NO_LOGIN):
        raise UserError(
            f"W&B needs a login ({outcome.error.split('. ')[0]}): run `wandb login`, or set WANDB_API_KEY, and "
            "WANDB_BASE_URL for a server of your own."
        )
    if outcome.error and UNREACHABLE in outcome.error:
        raise Unreachable(outcome.error[outcome.error.index(UNREACHABLE) :].split(";")[0])
    return outcome


def _run_wandb(folder: Path, logs: Path, timeout_s: float) -> tuple[str, str]:
    """Return the output of `wandb sync`, and its log (JSON lines)."""
    (logs / "wandb").mkdir()  # without it, wandb logs into the system's temporary folder
    environment = {name: value for name, value in os.environ.items() if name not in SILENCING}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(folder)],
            env={**RETRIES, **environment, "WANDB_DIR": str(logs)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"ERROR not finished after {timeout_s:.0f} s", ""
    failed = f"\nERROR exit code {done.returncode}" if done.returncode else ""
    return done.stdout + failed, "".join(path.read_text(encoding="utf-8") for path in logs.glob("wandb/logs/*.log"))


def _outcome(folder: Path, output: str, log: str) -> Outcome:
    """Return the outcome; the last logged error has the reason, printed errors may lack it."""
    logged = [str(record.get("msg")) for record in map(parse_object, log.splitlines())
              if record and str(record.get("level")).startswith("ERROR")]  # fmt: skip
    printed = re.findall(r"\b(?:ERROR|Error:) (?!Find detailed)(.+)", output)
    is_cut_off = any(CUT_OFF in error for error in logged)
    if is_cut_off and all(CUT_OFF in error for error in logged):
        return Outcome(is_cut_off=True)
    if logged or printed:
        return Outcome(_one_line(logged[-1] if logged else printed[0]), is_cut_off)
    if not all(marker(file).exists() for file in wandb_files(folder)):
        return Outcome("wandb sync reported no error, but created no .synced marker")
    return Outcome()


def _one_line(error: str) -> str:
    return SECRETS.sub("***", "; ".join(error.splitlines()))[:300]
