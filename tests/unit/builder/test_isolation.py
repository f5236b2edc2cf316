"""A backend without a network: what it cannot reach, what it still can, and how its failure is explained."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tools import give, write_program
from listening import Heard
from small_packages import write_project

from cudawheel.builder import isolation as isolation_module
from cudawheel.builder import no_network
from cudawheel.builder.environment import Environment
from cudawheel.builder.frontend import Backend
from cudawheel.builder.isolation import Isolation, cry_for_network, isolate
from cudawheel.errors import BuildError, NetworkNeededError
from cudawheel.process import Finished
from cudawheel.schedule.confinement import Confinement

HERE = isolate(network=False)
needs_namespaces = pytest.mark.skipif(not HERE.cut, reason="this kernel lets nobody here take the network away")


@pytest.fixture
def listener() -> Iterator[int]:
    """A server of this machine's own network, which a backend must not reach; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def backend(project: Path, isolation: Isolation, confinement: Confinement | None = None) -> Backend:
    scripts = Path(sys.executable).parent
    environment = Environment(
        folder=scripts.parent,
        python=Path(sys.executable),
        site_packages=Path(sysconfig.get_path("purelib")),
        packages=(),
    )
    return Backend(
        project,
        environment,
        {"PATH": os.environ["PATH"]},
        log=project.parent / "log",
        progress=Heard(),
        confinement=confinement or Confinement(),
        isolation=isolation,
    )


def connecting(port: int, host: str = "127.0.0.1") -> str:
    return f"{sys.executable} -c \"import socket; socket.create_connection(('{host}', {port}), 5)\""


@needs_namespaces
def test_a_backend_that_connects_fails_and_is_told_why_and_what_to_do(tmp_path: Path) -> None:
    # An address of the network that documentation is written with (RFC 5737): nobody answers there, whatever happens.
    project = write_project(tmp_path / "project", run=[connecting(80, "192.0.2.1")])
    with pytest.raises(NetworkNeededError, match="reached for the network") as caught:
        backend(project, HERE).build_wheel({}, tmp_path / "out")
    assert caught.value.exit_code == 50
    assert "Network is unreachable" in caught.value.why
    assert "pinned and hashed" in caught.value.why
    assert "--network" in caught.value.remedy
    assert "build.requires" in caught.value.remedy
    assert str(tmp_path / "log") in caught.value.remedy
    assert not list((tmp_path / "out").iterdir())


@needs_namespaces
def test_a_backend_that_asks_for_a_name_is_told_the_same(tmp_path: Path) -> None:
    lookup = f"{sys.executable} -c \"import socket; socket.getaddrinfo('example.org', 80)\""
    project = write_project(tmp_path / "project", run_first=[lookup])
    with pytest.raises(NetworkNeededError):
        backend(project, HERE).dynamic_requires({})


@needs_namespaces
def test_not_even_a_server_of_this_machine_is_reached(listener: int, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", run=[connecting(listener)])
    with pytest.raises(BuildError):
        backend(project, HERE).build_wheel({}, tmp_path / "out")


def test_with_the_network_allowed_it_is_reached(listener: int, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", run=[connecting(listener)])
    assert backend(project, isolate(network=True)).build_wheel({}, tmp_path / "out").is_file()


@needs_namespaces
def test_a_backend_may_talk_to_itself(tmp_path: Path) -> None:
    """Build tools have servers of their own, on 127.0.0.1."""
    (tmp_path / "talk.py").write_text(
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), 5)\n"
    )
    project = write_project(tmp_path / "project", run=[f"{sys.executable} {tmp_path / 'talk.py'}"])
    assert backend(project, HERE).build_wheel({}, tmp_path / "out").is_file()


@needs_namespaces
def test_sockets_in_the_file_system_work_as_before(tmp_path: Path) -> None:
    """Compilers ask the jobserver through one before they start."""
    path, heard = tmp_path / "socket", []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=lambda: heard.append(server.accept()[0].recv(16)))
        thread.start()
        (tmp_path / "ask.py").write_text(
            f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({str(path)!r})\ns.sendall(b'ask')\n"
        )
        project = write_project(tmp_path / "project", run=[f"{sys.executable} {tmp_path / 'ask.py'}"])
        assert backend(project, HERE).build_wheel({}, tmp_path / "out").is_file()
        thread.join(10)
    assert heard == [b"ask"]


@needs_namespaces
def test_what_a_backend_writes_belongs_to_whoever_builds(tmp_path: Path) -> None:
    wheel = backend(write_project(tmp_path / "project"), HERE).build_wheel({}, tmp_path / "out")
    assert (wheel.stat().st_uid, wheel.stat().st_gid) == (os.getuid(), os.getgid())


@needs_namespaces
def test_only_the_backend_is_cut_off(listener: int, tmp_path: Path) -> None:
    backend(write_project(tmp_path / "project"), HERE).build_wheel({}, tmp_path / "out")
    with socket.create_connection(("127.0.0.1", listener), 5):
        pass


@needs_namespaces
@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_status_is_the_commands_own(code: int) -> None:
    done = subprocess.run([*HERE.words, "sh", "-c", f"exit {code}"], check=False, timeout=30)
    assert done.returncode == code


def as_nobody(*command: str) -> list[str]:
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]


def may_try_as_nobody() -> bool:
    """Whether this process can become nobody, and nobody may make namespaces and run a Python."""
    if os.getuid() != 0 or not Path("/usr/bin/python3").exists():
        return False
    trial = as_nobody("unshare", "--user", "--net", "true")
    return subprocess.run(trial, capture_output=True, check=False, timeout=30).returncode == 0


@pytest.mark.skipif(
    not may_try_as_nobody(), reason="only root can become nobody, and only some kernels let nobody do it"
)
def test_it_works_without_roots_powers(tmp_path: Path) -> None:
    program = Path("/tmp", f"{tmp_path.name}-no-network.py")  # noqa: S108 - nobody can read what lies in tmp_path
    program.write_text(Path(no_network.__file__).read_text())
    try:
        script = "import os, socket; print(os.getuid(), socket.if_nameindex())"
        command = as_nobody("/usr/bin/python3", "-IS", str(program), "/usr/bin/python3", "-c", script)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    finally:
        program.unlink()
    assert done.stdout == "65534 [(1, 'lo')]\n", done.stderr


def test_a_failure_that_has_nothing_to_do_with_it_is_explained_as_ever(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", say=["a.cu(7): error: no"], fails=True)
    with pytest.raises(BuildError) as caught:
        backend(project, HERE).build_wheel({}, tmp_path / "out")
    assert type(caught.value) is BuildError


def test_with_the_network_allowed_no_failure_is_put_down_to_its_absence(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", say=["OSError: Network is unreachable"], fails=True)
    with pytest.raises(BuildError) as caught:
        backend(project, isolate(network=True)).build_wheel({}, tmp_path / "out")
    assert type(caught.value) is BuildError


@pytest.mark.parametrize(
    "line",
    [
        "OSError: [Errno 101] Network is unreachable",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "curl: (6) Could not resolve host: example.org",
        "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org",
        "Cloning failed: ssh: Could not resolve hostname example.org: Name or service not known",
        "urllib3.exceptions.NewConnectionError: Failed to establish a new connection",
        "error: failed to lookup address information: Temporary failure",
        "npm ERR! code EAI_AGAIN",
        "wget: unable to resolve host address 'example.org'",
    ],
)
def test_the_ways_in_which_programs_miss_the_network(line: str) -> None:
    assert cry_for_network(f"running build_ext\n  {line}\nerror: failed") == line


@pytest.mark.parametrize("line", ["", "error: networks.cu(3): unresolved", "Looking for resolv - not found"])
def test_what_only_sounds_like_it(line: str) -> None:
    assert cry_for_network(line) == ""


@pytest.fixture
def afresh() -> Iterator[None]:
    """Forget what was found out of this machine, before and after."""
    isolation_module._find.cache_clear()
    yield
    isolation_module._find.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_where_nothing_is_permitted_it_is_said_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Finished(command=(), code=no_network.REFUSED, output="", seconds=0.0)
    monkeypatch.setattr(isolation_module, "capture", give(refused))
    found = isolate(network=False)
    assert not found.cut
    assert found.command(("make",)) == ("make",)
    assert "permits no network namespace" in str(found)


@pytest.mark.usefixtures("afresh")
def test_bubblewrap_is_asked_where_the_kernel_refuses_us(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bubblewrap = write_program(
        tmp_path / "bwrap", '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
    )
    monkeypatch.setattr(no_network, "__file__", str(tmp_path / "not there.py"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = isolate(network=False)
    assert found.how == "bubblewrap"
    assert found.command(("make",))[0] == str(bubblewrap)
    assert "--unshare-net" in found.words
    assert str(found) == "none: cut off by bubblewrap"


def test_the_kernels_refusal_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(no_network, "_unshare", lambda _flags: 1)
    assert no_network.main(["true"]) == no_network.REFUSED
    assert "no network namespace" in capsys.readouterr().err


def test_allowed_is_not_the_same_as_impossible() -> None:
    assert str(isolate(network=True)) == "allowed by --network"
    assert not isolate(network=True).cut
