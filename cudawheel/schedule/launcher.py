"""Stands in front of a compiler: waits for memory and cores, runs it, says what it took, gives them back.

A program of its own, run as `python -IS launcher.py SOCKET COMPILER ARGUMENT...` by the scripts of `stand_ins`.
It starts once for every translation unit, so it imports next to nothing: `re`, `signal` and `socket` alone would double
the time that it takes to start.

It talks to `jobserver` in lines of words separated by tabs. Its connection is its lease: when it ends, however it ends,
the lease is given back.

    ask   build, folder, kind, passes, source                                      ->  go THREADS
    run   process group of the compiler
    end   exit status, signal, peak bytes, cpu seconds, seconds, 1 if starved      ->  go THREADS, or done
                                                  (while the compiler runs)        ->  stop: end it, and report that
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed knows only what `signal` makes of it
import _socket
import os
import select
import sys
import time

# A compiler that finds this in its environment runs below one that holds a lease: nvcc calls the host compiler.
HOLDING = "CUDAWHEEL_LEASE"
# The build that a compiler belongs to, as the jobserver knows it.
BUILD = "CUDAWHEEL_BUILD"
# A program to put in front of the compiler, such as sccache.
COMPILER_CACHE = "CUDAWHEEL_COMPILER_CACHE"

_SIGKILL = 9
# SIGPIPE and SIGXFSZ: Python ignores them, and what ignores them goes on writing to nobody.
_IGNORED = (13, 25)
_SOURCES = (".cu", ".cpp", ".cxx", ".cc", ".c++", ".C", ".c")
_OBJECTS = (".o", ".a", ".so", ".lo")
# Questions and half compilations: over in a moment, and CMake asks dozens of them. `-v` is none: `-Xptxas -v` compiles.
_QUESTIONS = frozenset(
    ("-E", "-M", "-MM", "-###", "-V", "--version", "--help", "-h", "--dryrun", "-dryrun", "--preprocess")
)
_QUESTION_STARTS = ("-print-", "--print-", "-dump", "--list-")
# What is written when memory runs out: by nvcc of a part that was killed, by gcc, by LLVM, by C++ itself.
_STARVED = (
    rb"died due to signal 9|Killed signal terminated program|virtual memory exhausted|std::bad_alloc"
    rb"|out of memory allocating|(?:fatal|error)[^:\n]*: *(?:out of memory|memory allocation failure)|memory exhausted"
    rb"|cannot allocate (?:memory|\d+ bytes)"
)
_KILLED_EXIT = 128 + _SIGKILL
_NOT_FOUND = 127
_MOST_OUTPUT = 1 << 24
_NVCC_STEPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nvcc_steps.py")  # noqa: PTH100, PTH118, PTH120


def starting_folder(socket: str) -> str:
    """Name the folder in which each launcher that starts leaves a mark, by its process, until it is about to ask.

    Whoever hands out the cores knows by the marks between how many they are to be shared.
    """
    return os.path.join(os.path.dirname(socket), "starting")  # noqa: PTH118, PTH120 - pathlib is slow


def kind_of(arguments: list[str]) -> str:
    """Say what a command line does: `device`, `host` or `link`; nothing for what is over in a moment."""
    if any(argument in _QUESTIONS or argument.startswith(_QUESTION_STARTS) for argument in arguments):
        return ""
    files = [argument for argument in arguments if not argument.startswith("-")]
    sources = [file for file in files if file.endswith(_SOURCES)]
    if sources:
        is_cuda = any(file.endswith(".cu") for file in sources) or "cu" in files  # as in `-x cu`
        return "device" if is_cuda else "host"
    return "link" if any(file.endswith(_OBJECTS) or ".so." in file for file in files) else ""


def subject_of(arguments: list[str], kind: str) -> str:
    """Name what is compiled, or what a link makes."""
    if kind == "link":
        return arguments[arguments.index("-o") + 1] if "-o" in arguments[:-1] else "a.out"
    return next(argument for argument in arguments if not argument.startswith("-") and argument.endswith(_SOURCES))


def passes_of(arguments: list[str]) -> int:
    """Count the device passes of an nvcc command: one for each virtual architecture that it names."""
    # `-march=native` for the host compiler names none.
    pieces = " ".join(arguments).replace('"', " ").split("arch=compute_")[1:]
    return max(1, len({piece.replace(",", " ").split(" ")[0] for piece in pieces}))


def with_threads(arguments: list[str], threads: int) -> list[str]:
    """Give an nvcc command with this many threads, whatever number it had."""
    kept, skip = [], False
    for argument in arguments:
        is_number = argument.startswith(("-t=", "--threads=")) or (argument[:2] == "-t" and argument[2:].isdigit())
        alone = argument in {"-t", "--threads"}
        if not (skip or is_number or alone):
            kept.append(argument)
        skip = alone
    return [*kept, f"--threads={threads}"] if threads > 1 else kept


class Connection:
    """The line to the jobserver."""

    def __init__(self, path: str) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.connect(path)
        self._rest = b""

    def fileno(self) -> int:
        """Give the descriptor, to be waited for."""
        return self._socket.fileno()

    def say(self, *words: object) -> None:
        """Send one line."""
        line = "\t".join(str(word).replace("\t", " ").replace("\n", " ") for word in words)
        self._socket.sendall(line.encode("utf-8", "surrogateescape") + b"\n")

    def hear(self) -> list[str]:
        """Wait for a line and give its words; none when the other end is gone."""
        while b"\n" not in self._rest:
            try:
                piece = self._socket.recv(4096)
            except OSError:
                piece = b""
            if not piece:
                return []
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().split("\t")


def compile_under_lease(connection: Connection, command: list[str], kind: str) -> int:
    """Compile as often as the jobserver says; give the exit status to end with."""
    words = connection.hear()
    while words and words[0] == "go":
        ended = _run(_granted(command, kind, words[1]), connection)
        try:
            connection.say("end", *ended.report())
        except OSError:
            break
        words = connection.hear()
        while words == ["stop"]:  # said before the other end knew of this end
            words = connection.hear()
        if words and words[0] != "go":
            _write(1, ended.out)
            _write(2, ended.err)
            return ended.code if ended.code >= 0 else 128 - ended.code
    _write(2, b"cudawheel is gone, and with it the memory that this compiler would have had\n")
    return 1


class Ended:
    """A compiler that has ended: its exit status (negative: by a signal), what it took, and what it wrote."""

    def __init__(self, child: int, start: float, out: int, err: int) -> None:
        _, status, usage = os.wait4(child, 0)
        self.code = os.waitstatus_to_exitcode(status)
        self.peak = usage.ru_maxrss * 1024
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.seconds = time.monotonic() - start
        self.out, self.err = _content(out), _content(err)

    def report(self) -> tuple[object, ...]:
        """Give the words of an `end` line."""
        starved = self.code in {-_SIGKILL, _KILLED_EXIT} or (self.code != 0 and _speaks_of_memory(self.out + self.err))
        return max(self.code, 0), max(-self.code, 0), self.peak, self.cpu_seconds, self.seconds, int(starved)


def _granted(command: list[str], kind: str, threads: str) -> list[str]:
    """Give the command that makes use of what was granted."""
    cache = os.environ.get(COMPILER_CACHE, "")
    if kind == "device":
        # A compiler cache takes nvcc apart by itself.
        in_front = [cache] if cache else [sys.executable, "-IS", _NVCC_STEPS, threads]
        return [*in_front, command[0], *with_threads(command[1:], int(threads) if cache else 1)]
    return [cache, *command] if cache and kind == "host" else command


def _speaks_of_memory(output: bytes) -> bool:
    import re  # noqa: PLC0415 - slow to import, and only of use when a compiler has failed

    return re.search(_STARVED, output, re.IGNORECASE) is not None


def _run(command: list[str], connection: Connection) -> Ended:
    """Run a compiler in a process group of its own.

    What it writes is kept back until it ends, so that a unit that is compiled again does not show its first failure.
    """
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    start = time.monotonic()
    child = os.posix_spawnp(
        command[0],
        command,
        {**os.environ, HOLDING: "1"},
        file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)],
        setpgroup=0,
        setsigdef=_IGNORED,
    )
    _offer_to_the_killer(child)
    _await(child, connection)
    ended = Ended(child, start, out, err)
    _end(child)  # what it left behind, such as the cicc of an nvcc that was killed
    return ended


def _offer_to_the_killer(child: int) -> None:
    """When memory runs out the kernel is to take a compiler, which can be run again, and nothing else."""
    try:
        with open(f"/proc/{child}/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow
            file.write("1000")
    except OSError:
        pass


def _await(child: int, connection: Connection) -> None:
    """Wait until the compiler ends; end it when the jobserver says so, or when there is none any more."""
    try:
        connection.say("run", child)
    except OSError:
        _end(child)
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection.fileno(), select.POLLIN)
    while ended not in {descriptor for descriptor, _ in poll.poll()}:
        if connection.hear() == []:
            poll.unregister(connection.fileno())
        _end(child)
    os.close(ended)


def _end(group: int) -> None:
    try:  # noqa: SIM105 - contextlib is slow to import
        os.killpg(group, _SIGKILL)
    except ProcessLookupError:
        pass


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = b""
    while len(content) < _MOST_OUTPUT and (piece := os.read(descriptor, 1 << 20)):
        content += piece
    os.close(descriptor)
    return content


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def main(arguments: list[str]) -> int:
    """Run a compiler under a lease, or at once where it needs none; give the exit status."""
    socket, *command = arguments
    try:  # noqa: SIM105 - contextlib is slow to import
        os.unlink(f"{starting_folder(socket)}/{os.getpid()}")  # noqa: PTH108
    except OSError:
        pass
    kind = "" if os.environ.get(HOLDING) else kind_of(command[1:])
    if not kind:
        for number in _IGNORED:
            _signal.signal(number, _signal.SIG_DFL)
        try:
            os.execv(command[0], command)  # noqa: S606 - the compiler that was called
        except OSError as error:
            _write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
            return _NOT_FOUND
    try:
        connection = Connection(socket)
        passes = passes_of(command[1:]) if kind == "device" else 1
        subject = subject_of(command[1:], kind)
        connection.say("ask", os.environ.get(BUILD, ""), os.getcwd(), kind, passes, subject)  # noqa: PTH109
    except OSError as error:
        _write(2, f"cudawheel does not answer at {socket}: {error}\n".encode())
        return 1
    return compile_under_lease(connection, command, kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
