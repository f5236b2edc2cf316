"""Runs the steps of one nvcc command side by side, further than nvcc itself goes.

A program of its own, run by `launcher` in nvcc's place as `python -IS nvcc_steps.py THREADS NVCC ARGUMENT...`. nvcc is
a driver: for each capability it runs a preprocessor, cicc and ptxas, for the rest cudafe++ and the host compiler, and
`--dryrun` prints these commands. `nvcc --threads` runs the capabilities side by side, but none before cudafe++ is done,
because cudafe++ makes up the id of the module. Here the id is made up beforehand, from the source and the command, so
that everything can start at once; it is the same for any number of threads, and so is what comes out.

What does not look like a plain compilation is left to nvcc.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib

# Set to 0, in a recipe's `environment` say, nvcc runs its steps itself.
SWITCH = "CUDAWHEEL_NVCC_STEPS"

_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_SCRATCH_NAME = re.compile(r"tmpxft_[0-9a-f]+_[0-9a-f]+-")
_MODULE_ID = "--gen_module_id_file"
_DEVICE_PROGRAMS = ("cudafe++", "cicc", "ptxas", "fatbinary")
_OUTPUT_OPTIONS = {"-o", "--gen_c_file_name", "--gen_device_file_name"}
_OUTPUT_STARTS = ("--create=", "--embedded-fatbin=")
# nvcc takes these for its own options too, and they are not looked into here.
_FLAGS = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS")
# nvcc's options for dependencies beside the object, and what they are called where nothing is compiled.
_DEPENDENCIES = {
    "-MD": "-M",
    "-MMD": "-MM",
    "--generate-dependencies-with-compile": "-M",
    "--generate-nonsystem-dependencies-with-compile": "-MM",
}
_ABOUT_DEPENDENCIES = {"--dependency-output": "-MF", "--dependency-target-name": "-MT", "-MF": "-MF", "-MT": "-MT"}
# Their value is an option of another program.
_HANDS_ON = re.compile(r"-X[a-z]+|-?-[a-z]+-options")
# Options with which nvcc has other steps than those known here, keeps files that somebody may look for, or does more
# than run its steps.
_LEFT_TO_NVCC = re.compile(
    r"-rdc|--relocatable-device-code|-dc$|--device-c$|-dw$|--device-w$|-dlto|--dlink-time-opt|-?-keep|-?-save-temps"
    r"|-?-time|-?-fdevice-time-trace|-G$|--device-debug|-optf|--options-file|-ptx$|--ptx$|-cubin$|--cubin$|-fatbin$"
    r"|--fatbin$|-ewp|--extensible-whole-program|-objtemp|--objdir-as-tempdir|-v$|--verbose$|@"
)
# SIGPIPE and SIGXFSZ: Python ignores them, and compilers are to find them as they were.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


class Step:
    """One command of a compilation.

    Attributes:
        text: as the shell takes it.
        program: its name without folder.
        needs: the steps that have to be done before.
    """

    def __init__(self, text: str) -> None:
        words = shlex.split(text)
        self.text = text
        self.program = os.path.basename(words[0])  # noqa: PTH119 - pathlib takes as long to import as all this
        self.compiles_host_code = self.program not in _DEVICE_PROGRAMS and "-c" in words
        self._writes = [words[at + 1] for at, word in enumerate(words[:-1]) if word in _OUTPUT_OPTIONS]
        self._writes += [word.partition("=")[2] for word in words if word.startswith(_OUTPUT_STARTS)]
        self.needs: list[Step] = []

    def reads_from(self, earlier: Step) -> bool:
        """Say whether it takes what another step writes; host code includes what all the others wrote."""
        return self.compiles_host_code or any(path in self.text for path in earlier._writes)


def find_steps(nvcc: str, arguments: list[str], folder: str) -> tuple[list[Step], dict[str, str]] | None:
    """Ask nvcc for its steps; None where they are not those of a plain compilation.

    Args:
        nvcc: the compiler driver.
        arguments: its command line.
        folder: where its intermediate files are to lie.

    Returns:
        The steps in nvcc's order, and the environment that they run in.
    """
    environment = {**os.environ, "TMPDIR": folder}
    asked = subprocess.run([nvcc, *arguments, "--dryrun"], env=environment, capture_output=True, check=False)
    lines = os.fsdecode(asked.stderr).splitlines()
    if asked.returncode != 0 or not all(line.startswith("#$ ") for line in lines):
        return None
    steps: list[Step] = []
    for line in (_SCRATCH_NAME.sub("tmpxft-", line[3:]) for line in lines):
        if _VARIABLE.match(line):
            name, _, value = line.partition("=")
            environment[name] = value.strip()
        elif not line.startswith("rm "):  # the folder goes as a whole
            steps.append(Step(line))
    return (steps, environment) if _is_plain(steps) else None


def _is_plain(steps: list[Step]) -> bool:
    with_id = [step for step in steps if _MODULE_ID in step.text]
    host = [step for step in steps if step.compiles_host_code]
    return (
        len(steps) > 0
        and [step.program for step in with_id] == ["cudafe++"]
        and host == steps[-1:]
        and all(step.program in _DEVICE_PROGRAMS or {"-E", "-c"} & set(shlex.split(step.text)) for step in steps)
    )


def give_module_id(steps: list[Step], source: str, arguments: list[str]) -> None:
    """Write the module's id where cudafe++ would have, and have it read instead; looks as nvcc's own does.

    It has to differ between any two objects that are linked together: hence the command, which names the object.
    """
    first = next(step for step in steps if _MODULE_ID in step.text)
    words = shlex.split(first.text)
    name = os.path.basename(source)  # noqa: PTH119
    command = "\0".join([os.path.abspath(source), *arguments])  # noqa: PTH100
    with open(source, "rb") as file:  # noqa: PTH123
        content = zlib.crc32(file.read())
    mangled = re.sub(r"\W", "_", name, flags=re.ASCII)
    identity = f"_{zlib.crc32(command.encode('utf-8', 'surrogateescape')):08x}_{len(name)}_{mangled}_{content:08x}"
    with open(words[words.index("--module_id_file_name") + 1], "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(identity)
    first.text = first.text.replace(f"{_MODULE_ID} ", "", 1)


def connect(steps: list[Step]) -> None:
    """Find out what each step waits for."""
    for number, step in enumerate(steps):
        step.needs = [earlier for earlier in steps[:number] if step.reads_from(earlier)]


def run(steps: list[Step], environment: dict[str, str], threads: int, folder: str) -> int:
    """Run steps as soon as they can, so many at once; give the exit status.

    Where some fail, what is told is what nvcc would tell, which runs them in their order: steps behind one that failed
    are ended, steps before it run on. Only where one is killed, for lack of memory that is, all are ended at once.
    """
    waiting, done = list(steps), set[Step]()
    running: dict[int, Step] = {}
    end = shown = len(steps)  # steps from `end` on do not matter any more
    code = 0
    while waiting or running:
        ready = [step for step in waiting if done.issuperset(step.needs)]
        for step in ready[: threads - len(running)]:
            waiting.remove(step)
            running[_start(step, environment, _log(folder, steps.index(step)))] = step
        process, status = os.wait()
        step = running.pop(process)
        done.add(step)
        ended, number = os.waitstatus_to_exitcode(status), steps.index(step)
        if ended == 0 or number >= end:
            continue
        code, shown, end = _explain(step, ended), number + 1, number if ended > 0 else 0
        waiting = [step for step in waiting if steps.index(step) < end]
        for other, step in running.items():
            if steps.index(step) >= end:
                os.kill(other, signal.SIGTERM)
    for number in range(shown):
        _show(_log(folder, number))
    return code


def _log(folder: str, number: int) -> str:
    return os.path.join(folder, f"output-{number}")  # noqa: PTH118


def _start(step: Step, environment: dict[str, str], log: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    command = ["sh", "-c", f"exec {step.text}"]
    return os.posix_spawn("/bin/sh", command, environment, file_actions=actions, setsigdef=_IGNORED)


def _explain(step: Step, code: int) -> int:
    if code > 0:
        return code
    sys.stderr.write(f"nvcc step '{step.program}' died due to signal {-code}\n")
    return 255


def _show(log: str) -> None:
    if os.path.exists(log):  # noqa: PTH110
        with open(log, "rb") as file:  # noqa: PTH123
            shutil.copyfileobj(file, sys.stderr.buffer)


def split_dependencies(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take the wish for a file of dependencies out of a command line: the rest, and how nvcc is asked for it alone."""
    wish = next((_DEPENDENCIES[word] for word in arguments if word in _DEPENDENCIES), "")
    if not wish:
        return arguments, []
    rest, about, words = [], [], iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in _ABOUT_DEPENDENCIES:
            about += [_ABOUT_DEPENDENCIES[name], value if equals else next(words, "")]
        elif word in {"-MP", "--generate-dependency-targets"}:
            about.append(word)
        elif word not in _DEPENDENCIES:
            rest.append(word)
    output = _output(rest)
    if "-MT" not in about:
        about += ["-MT", output]
    if "-MF" not in about:
        about += ["-MF", f"{os.path.splitext(output)[0]}.d"]  # noqa: PTH122
    at = rest.index("-o")
    return rest, [*(word for word in rest[:at] + rest[at + 2 :] if word not in {"-c", "--compile"}), wish, *about]


def _output(arguments: list[str]) -> str:
    return arguments[arguments.index("-o") + 1]


def _is_left_to_nvcc(arguments: list[str]) -> bool:
    handed_on = [_HANDS_ON.fullmatch(before) is not None for before in ["", *arguments[:-1]]]
    own = [word for word, other in zip(arguments, handed_on, strict=True) if not other]
    values = [word for word, other in zip(arguments, handed_on, strict=True) if other]
    plain = {"-c", "--compile"} & set(own) and "-o" in own[:-1]
    return (
        not plain
        or any(map(_LEFT_TO_NVCC.match, own))
        or any(word.startswith("-M") for word in values)
        or os.environ.get(SWITCH) == "0"
        or any(map(os.environ.get, _FLAGS))
    )


def _prepare(nvcc: str, arguments: list[str], source: str, folder: str) -> tuple[list[Step], dict[str, str]] | None:
    """Make a folder and find the steps that can be run there; what is wrong with a command nvcc says best itself."""
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102
        found = find_steps(nvcc, arguments, folder)
        if found is not None:
            give_module_id(found[0], source, arguments)
            connect(found[0])
    except (IndexError, OSError, ValueError):
        return None
    return found


def compile_in_steps(threads: int, nvcc: str, arguments: list[str]) -> int | None:
    """Compile; give the exit status, or None where it is nvcc's to do."""
    sources = [word for word in arguments if word.endswith(".cu") and not word.startswith("-")]
    if len(sources) != 1 or _is_left_to_nvcc(arguments):
        return None
    rest, dependencies = split_dependencies(arguments)
    # The same name each time, since a compiler may write it into what it makes; no two write the same object at once.
    name = zlib.crc32(os.path.abspath(_output(rest)).encode("utf-8", "surrogateescape"))  # noqa: PTH100
    folder = os.path.join(tempfile.gettempdir(), f"nvcc-{name:08x}")  # noqa: PTH118
    shutil.rmtree(folder, ignore_errors=True)
    try:
        found = _prepare(nvcc, rest, sources[0], folder)
        if found is None:
            return None
        steps, environment = found
        extra = [Step(shlex.join([nvcc, *dependencies]))] if dependencies else []
        return run([*steps, *extra], environment, threads, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(words: list[str]) -> int:
    """Compile in steps, or let nvcc do it."""
    threads, nvcc, *arguments = words
    code = compile_in_steps(int(threads), nvcc, arguments)
    if code is None:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        os.execv(nvcc, [nvcc, *arguments, *([f"--threads={threads}"] if int(threads) > 1 else [])])  # noqa: S606
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
