"""A program of its own that runs a suite where the wheel is installed, and writes the verdict.

Run as `python -m cudawheel.verify.child REQUEST.json`. The request:

    {"suite": name, "package": ..., "version": ..., "wheel": file name, "wheel_sha256": ..., "out": folder,
     "gpu": "auto" | "require" | "no", "quick": bool,
     "expected": [{"check": pattern, "device": "cpu" | "cuda" | "*", "evidence": link, "why": text}, ...]}

Each finding is told as a JSON line on the standard output, and OUT/verdict.json is written anew with it: whenever this
program is stopped, what was found until then is there, marked as unfinished. The checks themselves run in a worker that
is started anew after a check that ended it, since some kernels end Python when they fail.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from subprocess import PIPE, Popen
from types import FrameType
from typing import Any, NoReturn

import cudawheel
from cudawheel.files import write_atomically
from cudawheel.verify.verdict import Control, Finding, Status, Verdict

_START = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('cudawheel.verify.worker', run_name='__main__')"
)
_PATIENCE = 300.0  # seconds for one check: many times what the slowest takes on two cores
_TAIL_BYTES = 4096
_MOST_ENDS = 3  # checks in a row that end their worker; a wheel that always does is not started for each of the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be verified, and what is expected to fail."""

    suite: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    out: Path
    gpu: str = "auto"
    quick: bool = False
    expected: tuple[Mapping[str, str], ...] = ()

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request file."""
        given = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**given, "out": Path(given["out"]), "expected": tuple(given.get("expected", ()))})


class Workers:
    """The worker of the moment; whoever asks does not see that it is another one than before.

    Attributes:
        log: file that receives what the workers print.
    """

    def __init__(self, request: Request, log: Path, *, patience: float = _PATIENCE) -> None:
        self.log = log
        code = str(Path(cudawheel.__file__).parents[1])
        # As this program was started, so is the worker: in isolation it sees no package but those of its environment.
        switches = ["-I"] if sys.flags.isolated else ["-s"] if sys.flags.no_user_site else []
        quick = ["quick"] if request.quick else []
        self._command = [sys.executable, *switches, "-c", _START, code, request.suite, str(request.out), *quick]
        self._patience = patience
        self._process: Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer; a worker that ends or hangs over it is a failed check."""
        process = self._process or self._begin()
        assert process.stdin is not None  # noqa: S101 - for the type checker: it was opened as a pipe
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=self._patience)
        except BrokenPipeError:
            line = ""
        except queue.Empty:
            self._end(kill=True)
            return {"outcome": "failed", "detail": f"did not end within {self._patience:.0f} s", "ended": True}
        if not line:
            return {"outcome": "failed", "detail": self._describe_end(process), "ended": True}
        answer: dict[str, Any] = json.loads(line)
        if answer.get("spoilt"):
            self._end()
        return answer

    def _begin(self) -> Popen[str]:
        with self.log.open("ab") as log:
            process = Popen(self._command, stdin=PIPE, stdout=PIPE, stderr=log, text=True, encoding="utf-8")
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=_pump, args=(process, self._lines), daemon=True).start()
        return process

    def _describe_end(self, process: Popen[str]) -> str:
        self._end()
        code = process.returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        said = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
        return f"ended the interpreter ({how})" + (f"; it last said: {said[-1].strip()}" if said else "")

    def close(self) -> None:
        """End the worker, if there is one."""
        self._end()

    def kill(self) -> None:
        """End the worker without waiting for what it does."""
        self._end(kill=True)

    def _end(self, *, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        process.wait()


def _pump(process: Popen[str], lines: queue.Queue[str]) -> None:
    """Hand on a worker's lines; an empty one says that it has ended."""
    assert process.stdout is not None  # noqa: S101 - for the type checker: it was opened as a pipe
    with process.stdout as stream:
        for line in stream:
            lines.put(line)
    lines.put("")


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a suite.

    Attributes:
        request: what is asked for.
        workers: who does it.
        findings: so far.
        controls: so far.
        open: what stays unproven, so far.
        keep: is called with what there is after each finding and each control, and at the beginning.
    """

    request: Request
    workers: Workers
    findings: list[Finding] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    keep: Callable[[Verdict], None] = lambda _verdict: None
    _environment: dict[str, str] = field(default_factory=dict)
    _checks: int = 0
    _controls: int = 0
    _sound: dict[tuple[str, str], bool] = field(default_factory=dict)
    _ends: dict[str, int] = field(default_factory=dict)

    def go(self) -> Verdict:
        """Run all checks, then all controls."""
        plan = self.workers.ask({"do": "plan"})
        if "checks" not in plan:
            claim = "The wheel can be imported beside its torch."
            self._add(Finding(name="import", claim=claim, status="failed", device="cpu", detail=plan["detail"]))
            return self.verdict()
        devices = ["cpu"]
        if self.request.gpu != "no" and plan["gpu"]:
            devices.append("cuda")
        self._environment = plan["environment"]
        self._checks = sum(len(check["devices"]) for check in plan["checks"])
        self._controls = sum(device in devices for control in plan["controls"] for device in control["devices"])
        self.keep(self.verdict(finished=False))
        for check in plan["checks"]:
            for device in check["devices"]:
                self._check(check, device, tried=device in devices)
        untried = sum(finding.status == "unproven" and finding.device not in devices for finding in self.findings)
        if untried:
            self.open.append(f"{untried} checks did not run, since {self._no_gpu()}")
        for control in plan["controls"]:
            for device in control["devices"]:
                if device in devices:
                    self._control(control, device)
        return self.verdict()

    def _no_gpu(self) -> str:
        return "no GPU was to be used" if self.request.gpu == "no" else "torch sees no GPU here"

    def _check(self, check: Mapping[str, Any], device: str, *, tried: bool) -> None:
        name, claim = check["name"], check["claim"]
        if not tried:
            required = self.request.gpu == "require"
            status: Status = "failed" if required else "unproven"
            self._add(
                Finding(name=name, claim=claim, status=status, device=device, detail=f"not run: {self._no_gpu()}")
            )
            return
        finding = judge(check, device, self._try(name, device), self.request.expected)
        if finding.status == "unproven":
            self.open.append(f"{name} on {device}: {finding.detail}")
        self._add(finding)

    def _try(self, name: str, device: str) -> dict[str, Any]:
        """Run a check, unless those before it have shown that none on this device comes to an end."""
        if self._ends.get(device, 0) >= _MOST_ENDS:
            return {"outcome": "failed", "detail": f"not run: the last {_MOST_ENDS} on {device} ended the interpreter"}
        start = time.monotonic()
        answer = self.workers.ask({"do": "check", "name": name, "device": device})
        self._ends[device] = self._ends.get(device, 0) + 1 if answer.get("ended") else 0
        return {"seconds": time.monotonic() - start, **answer}

    def _control(self, control: Mapping[str, Any], device: str) -> None:
        """Try one fault with each of the checks that might notice it.

        A check that fails without the fault too notices nothing by failing. But where the fault changes no answer at
        all, the wheel has it already, and then those checks have noticed it.
        """
        passed = self._names(device, "proven")
        tried = [name for name in control["checks"] if name in passed and self._is_sound(name, device)]
        answers = {
            name: self.workers.ask({"do": "control", "name": control["name"], "check": name, "device": device})
            for name in tried
        }
        caught = [name for name, answer in answers.items() if answer["outcome"] == "failed"]
        if not caught and not any(answer.get("changes", 0) for answer in answers.values()):
            failing = self._names(device, "failed") | self._names(device, "known defect")
            caught = [f"{name} (the wheel has this fault)" for name in control["checks"] if name in failing]
        result = Control(
            name=control["name"],
            what=control["what"],
            caught_by=tuple(caught),
            device=device,
            tried=tuple(tried),
            seconds=sum(answer.get("seconds", 0.0) for answer in answers.values()),
        )
        self.controls.append(result)
        self.keep(self.verdict(finished=False))
        tell(f"control: {result.name}", device, "caught" if result.caught else "not noticed", result.seconds)

    def _is_sound(self, name: str, device: str) -> bool:
        """Whether a check passes without a fault at the small sizes that controls are tried at."""
        if self.request.quick:
            return True
        if (name, device) not in self._sound:
            answer = self.workers.ask({"do": "check", "name": name, "device": device, "small": True})
            self._sound[name, device] = answer["outcome"] == "passed"
        return self._sound[name, device]

    def _names(self, device: str, status: Status) -> set[str]:
        return {finding.name for finding in self.findings if (finding.device, finding.status) == (device, status)}

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.keep(self.verdict(finished=False))
        tell(finding.name, finding.device, finding.status, finding.seconds)

    def verdict(self, *, finished: bool = True) -> Verdict:
        """Give what was found so far; unless it is all, it says how much is missing."""
        request = self.request
        stopped = (
            f"stopped after {len(self.findings)} of {self._checks} checks and {len(self.controls)} of {self._controls} "
            "broken kernels"
        )
        return Verdict(
            package=request.package,
            version=request.version,
            suite=request.suite,
            findings=tuple(self.findings),
            controls=tuple(self.controls),
            environment=self._environment,
            unproven=tuple(self.open) if finished else (*self.open, stopped),
            unseen=tuple(unseen(self.findings, request.expected)) if finished else (),
            wheel=request.wheel,
            wheel_sha256=request.wheel_sha256,
            finished=finished,
        )


def judge(
    check: Mapping[str, Any], device: str, answer: Mapping[str, Any], expected: Sequence[Mapping[str, str]]
) -> Finding:
    """Make a finding of a worker's answer; a failure that was expected is a known defect, and a pass stays one."""
    statuses: dict[str, Status] = {"passed": "proven", "failed": "failed", "unproven": "unproven"}
    status, detail, evidence = statuses[answer["outcome"]], answer["detail"], ""
    known = next((item for item in expected if _fits(item, check["name"], device)), None)
    if status == "failed" and known is not None:
        status, evidence = "known defect", known["evidence"]
        detail = _behind(known.get("why", "").strip(), detail)
    return Finding(
        name=check["name"],
        claim=check["claim"],
        status=status,
        device=device,
        detail=detail,
        measured=dict(answer.get("measured", {})),
        tolerance=dict(answer.get("tolerance", {})),
        evidence=evidence,
        pictures=tuple(answer.get("pictures", ())),
        seconds=answer.get("seconds", 0.0),
    )


def _behind(sentence: str, detail: str) -> str:
    """Put what was found behind the sentence that says why, whether or not that has its full stop."""
    if sentence and detail and not sentence.endswith((".", "!", "?")):
        sentence += "."
    return " ".join(part for part in (sentence, detail) if part)


def unseen(findings: Sequence[Finding], expected: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Say which expected defects did not show, although their checks ran."""
    for item in expected:
        ran = [
            finding
            for finding in findings
            if finding.status != "unproven" and _fits(item, finding.name, finding.device)
        ]
        if ran and not any(finding.status == "known defect" for finding in ran):
            where = "any device" if item["device"] == "*" else item["device"]
            yield f"expected defect not seen: {item['check']} on {where} ({item['evidence']})"


def _fits(item: Mapping[str, str], name: str, device: str) -> bool:
    return fnmatchcase(name, item["check"]) and item["device"] in {device, "*"}


def tell(check: str, device: str, status: str, seconds: float) -> None:
    """Tell the parent of one result, as a line of JSON."""
    said = {"check": check, "device": device, "status": status, "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """Run a suite as a request file asks."""
    signal.signal(signal.SIGTERM, _stop)
    request = Request.read(Path(arguments[0]))
    request.out.mkdir(parents=True, exist_ok=True)
    log = request.out / "checks.log"
    log.unlink(missing_ok=True)

    def keep(verdict: Verdict) -> None:
        text = json.dumps(verdict.to_json(), indent=1, allow_nan=True) + "\n"
        write_atomically(request.out / "verdict.json", text.encode())

    workers = Workers(request, log)
    try:
        keep(Run(request=request, workers=workers, keep=keep).go())
    except BaseException:
        workers.kill()
        raise
    workers.close()


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End in an orderly way: no file half-written, no worker left behind."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
