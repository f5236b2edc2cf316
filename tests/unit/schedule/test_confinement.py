"""Where the cgroup of the builds is made, in kernels made of files; test_real_kernel.py has the real one."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_machine import V1, V2, write
from fake_tools import write_program

from cudawheel.process import stream
from cudawheel.schedule.confinement import Confinement, confine
from cudawheel.schedule.limits import GIB

LIMIT_V1, LIMIT_V2 = "memory.limit_in_bytes", "memory.max"


class Kernel:
    """Cgroups made of files: what cudawheel makes among them has its files at once, and goes together with them.

    Attributes:
        closed: folders in which none may be made.
        busy: how many times a cgroup is not to be removed yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = root / V2
        self.closed: set[Path] = set()
        self.busy = 0

    def enter(self, *memberships: str) -> None:
        """Say which cgroups this process is in."""
        write(self.root, {"proc/self/cgroup": "\n".join(memberships)})

    def add(self, name: str, *, hands_down: str = "") -> Path:
        """A cgroup, with the controllers that its children have."""
        write(self.root / name, {"cgroup.procs": "", "cgroup.subtree_control": hands_down})
        return self.root / name

    @property
    def groups(self) -> list[Path]:
        """What cudawheel made here and is still there."""
        return sorted(self.top.rglob("cudawheel-*"))

    def make(self, group: Path) -> None:
        if group.parent in self.closed:
            raise PermissionError(errno.EACCES, "not here", str(group))
        os.mkdir(group)  # noqa: PTH102 - pathlib's is the one that ends up here
        if self.top / "memory" in group.parents:
            self._fill(group, LIMIT_V1)
        elif (group.parent / "cgroup.procs").is_file():
            handed_down = (group.parent / "cgroup.subtree_control").read_text(encoding="ascii").split()
            self._fill(group, *([LIMIT_V2] if "memory" in handed_down else []))

    def remove(self, group: Path) -> None:
        if self.busy:
            self.busy -= 1
            raise OSError(errno.EBUSY, "still in use", str(group))
        for file in group.iterdir():
            file.unlink()
        os.rmdir(group)  # noqa: PTH106 - as above

    def _fill(self, group: Path, *files: str) -> None:
        for file in ("cgroup.procs", *files):
            (group / file).touch()


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel without cgroups, on a machine without systemd."""
    monkeypatch.setattr(shutil, "which", lambda _name, **_named: None)
    kernel, mkdir = Kernel(tmp_path), Path.mkdir

    def make(path: Path, *words: Any, **named: Any) -> None:
        if path.name.startswith("cudawheel-"):
            kernel.make(path)
        else:
            mkdir(path, *words, **named)

    monkeypatch.setattr(Path, "mkdir", make)

    def remove(path: Path) -> None:
        kernel.remove(path)

    monkeypatch.setattr(Path, "rmdir", remove)
    return kernel


def write_into(group: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        (group / name).write_text(f"{content}\n", encoding="ascii")


def limit_of(confinement: Confinement) -> int:
    assert confinement.group is not None
    assert confinement.controller is not None
    return int((confinement.group / confinement.controller.limit).read_text(encoding="ascii"))


def test_v1_the_group_is_made_in_the_one_that_this_process_is_in(kernel: Kernel) -> None:
    mine = kernel.add(f"{V1}/user/me")
    kernel.enter("4:memory:/user/me", "0::/")
    with confine(3 * GIB, kernel.root) as made:
        assert made.group is not None
        assert (made.group.parent, str(made)) == (mine, "a cgroup of its own")
        assert str(os.getpid()) in made.group.name
        assert (made.group / LIMIT_V1).read_text(encoding="ascii") == str(3 * GIB)
        assert kernel.groups == [made.group]
    assert kernel.groups == []


def test_v1_where_that_one_is_closed_the_group_is_made_beside_it(kernel: Kernel) -> None:
    mine = kernel.add(f"{V1}/user/me")
    kernel.closed.add(mine)
    kernel.enter("4:memory:/user/me")
    write(kernel.root, {f"{V1}/user/me/{LIMIT_V1}": GIB, f"{V1}/user/me/memory.usage_in_bytes": GIB // 4})
    with confine(GIB, kernel.root) as made:
        assert made.group is not None
        assert made.group.parent == mine.parent
        # What this process may take holds for what it starts, wherever that is put.
        assert limit_of(made) == made.limit() == GIB - GIB // 4
    assert kernel.groups == []


def test_what_a_killed_cudawheel_left_behind_is_swept_away(kernel: Kernel) -> None:
    mine = kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    nobody = 1 << 30  # no kernel gives so large a number
    names = [f"cudawheel-{nobody}-1", f"cudawheel-{os.getppid()}-1", "cudawheel-of-somebody"]
    for name in names:
        (mine / name).mkdir()
    with confine(GIB, kernel.root):
        assert len(kernel.groups) == 3
    assert [group.name for group in kernel.groups] == sorted(names[1:])


def test_v1_in_a_container_that_is_told_the_hosts_path_it_is_made_at_the_top(kernel: Kernel) -> None:
    top = kernel.add(V1)
    kernel.enter("4:memory:/docker/0123abc")
    with confine(GIB, kernel.root) as made:
        assert made.group is not None
        assert made.group.parent == top
    assert kernel.groups == []


def test_v2_the_group_is_made_beside_the_one_that_holds_processes(kernel: Kernel) -> None:
    mine = kernel.add(
        f"{V2}/app.slice/run.scope",
    )
    kernel.add(f"{V2}/app.slice", hands_down="cpu memory pids")
    kernel.enter("0::/app.slice/run.scope")
    with confine(GIB, kernel.root) as made:
        assert made.group is not None
        assert made.group.parent == mine.parent
        assert (made.group / LIMIT_V2).read_text(encoding="ascii") == str(GIB)
        assert kernel.groups == [made.group]
    assert kernel.groups == []


def test_v2_at_the_top_of_a_namespace_nothing_is_made_above_it(kernel: Kernel) -> None:
    kernel.add(V2)
    kernel.enter("0::/")
    with confine(GIB, kernel.root) as made:
        assert made == Confinement()
        assert list(kernel.root.rglob("cudawheel-*")) == []
    assert kernel.groups == []


def test_a_folder_that_is_no_cgroup_is_left_as_it_was(kernel: Kernel) -> None:
    # With both generations mounted the top is a tmpfs, in which root may make what it likes.
    mine = kernel.add(f"{V1}/me")
    kernel.closed |= {mine, mine.parent}
    assert not (kernel.top / "cgroup.procs").exists()
    kernel.enter("4:memory:/me", "0::/")
    with confine(GIB, kernel.root) as made:
        assert str(made) == "oom_score_adj alone"
        assert kernel.groups == []


def test_where_the_limit_cannot_be_written_nothing_is_left(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    written: list[Path] = []

    def refuse(path: Path, *words: Any, **named: Any) -> Any:
        if path.name == LIMIT_V1 and path.parent.name.startswith("cudawheel-"):
            written.append(path)
            raise OSError(errno.EINVAL, "no such limit", str(path))
        return real(path, *words, **named)

    real = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    with confine(GIB, kernel.root) as made:
        assert made == Confinement()
        assert kernel.groups == []
    assert [path.parent.parent.name for path in written] == ["me", "memory"]


def test_two_at_once_have_two_groups(kernel: Kernel) -> None:
    mine = kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    with confine(GIB, kernel.root) as one, confine(2 * GIB, kernel.root) as other:
        assert [group.parent for group in kernel.groups] == [mine, mine]
        assert (limit_of(one), limit_of(other)) == (GIB, 2 * GIB)
    assert kernel.groups == []


def test_a_group_goes_as_soon_as_the_last_process_has_left_it(kernel: Kernel) -> None:
    kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    kernel.busy = 3
    with pytest.raises(KeyboardInterrupt), confine(GIB, kernel.root):
        raise KeyboardInterrupt
    assert (kernel.busy, kernel.groups) == (0, [])


def test_a_group_that_will_not_go_is_not_waited_for_for_ever(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cudawheel.schedule.confinement._REMOVAL_SECONDS", 0.05)
    kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    kernel.busy = 1 << 30
    with confine(GIB, kernel.root):
        pass
    assert len(kernel.groups) == 1


def test_whoever_runs_in_it_enters_its_group_first(kernel: Kernel, tmp_path: Path) -> None:
    kernel.add(f"{V1}/me")
    kernel.enter("4:memory:/me")
    with confine(GIB, kernel.root) as made:
        assert made.group is not None
        done = stream(["cat", made.group / "cgroup.procs"], log=tmp_path / "log", hold=made.command)
    # 0 stands for whoever writes it.
    assert (done.code, done.output) == (0, "0")


@pytest.mark.parametrize(
    ("file", "usage", "cache"),
    [
        ("memory.oom_control", "memory.usage_in_bytes", "total_inactive_file {0}\ntotal_active_file {0}"),
        ("memory.events", "memory.current", "inactive_file {0}\nactive_file {0}"),
    ],
    ids=["v1", "v2"],
)
def test_the_group_counts_what_it_holds_and_what_was_killed(file: str, usage: str, cache: str, kernel: Kernel) -> None:
    place = f"{V1}/me" if file == "memory.oom_control" else f"{V2}/me"
    kernel.add(V2)
    kernel.add(place, hands_down="memory")
    kernel.enter("4:memory:/me" if file == "memory.oom_control" else "0::/me")
    with confine(8 * GIB, kernel.root) as made:
        assert made.group is not None
        assert (made.kills(), made.usage()) == (0, None)
        write_into(
            made.group, {file: "oom 9\noom_kill 4\nunder_oom 0", usage: 3 * GIB, "memory.stat": cache.format(GIB)}
        )
        assert (made.kills(), made.usage()) == (4, GIB)
    assert (Confinement().kills(), Confinement().usage()) == (0, None)


SYSTEMD_RUN = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
until [ "$1" = -- ]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that systemd runs, without cgroups that could be written; gives where systemd-run is."""
    is_folder = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda path, **named: str(path) == "/run/systemd/system" or is_folder(path, **named)
    )
    program = write_program(tmp_path / "bin" / "systemd-run", SYSTEMD_RUN)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return program


@pytest.mark.parametrize(("user", "manager"), [(0, ""), (1000, "--user ")])
def test_systemd_makes_a_scope_where_no_cgroup_can_be_made(
    user: int, manager: str, systemd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)
    with confine(GIB, tmp_path) as made:
        assert str(made) == "a systemd scope"
        done = stream(["/bin/sh", "-c", "echo inside; exit 4"], log=tmp_path / "log", hold=made.command)
    assert (done.code, done.output) == (4, "inside")
    probe, run = (systemd.parent / "calls").read_text(encoding="utf-8").splitlines()
    assert probe == f"{manager}--scope --quiet --collect -p MemoryMax={GIB} -- true"
    assert run.startswith(probe.removesuffix("true"))
    assert run.endswith("/bin/sh -c echo inside; exit 4")


@pytest.mark.parametrize("failure", ["not installed", "not running", "refuses"])
def test_where_systemd_makes_no_scope_the_score_alone_says_whom_to_take(
    failure: str, systemd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if failure == "not installed":
        monkeypatch.setattr(shutil, "which", lambda _name, **_named: None)
    elif failure == "not running":
        monkeypatch.setattr(Path, "is_dir", lambda _path, **_named: False)
    else:
        write_program(systemd, "#!/bin/sh\nexit 1\n")
    with confine(GIB, tmp_path) as made:
        assert (made, str(made)) == (Confinement(), "oom_score_adj alone")
        done = stream(["/bin/sh", "-c", "cat /proc/$$/oom_score_adj"], log=tmp_path / "log", hold=made.command)
    assert (done.code, int(done.output) >= 500) == (0, True)
