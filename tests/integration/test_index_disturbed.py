"""An index that is disturbed: wheels that come and go while they are asked for, exports that are killed."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from index_server import clean
from index_wheels import ask, ask_json, make_wheel

from cudawheel.index.app import IndexApp
from cudawheel.index.export import export
from cudawheel.index.live import LiveIndex
from cudawheel.index.scan import Scanner
from cudawheel.index.yanking import unyank, yank

pytestmark = pytest.mark.integration

PROJECTS = [f"project-{number}" for number in range(4)]
TURNS = 400
KILLS = 25


def disturb(house: Path, aside: Path, turns: int) -> None:
    """Publish, replace, damage, withdraw and remove wheels, in an order that is the same each time."""
    chance = random.Random(5)  # noqa: S311 - nothing secret
    for turn in range(turns):
        name = chance.choice(PROJECTS)
        version = f"1.{chance.randrange(3)}+cu.13.{chance.randrange(2)}"
        made = make_wheel(aside, name, version, members={f"{name}/turn.py": str(turn)})
        target = house / made.name
        match chance.randrange(6):
            case 0:
                target.unlink(missing_ok=True)
            case 1:
                target.write_bytes(made.read_bytes()[: chance.randrange(500)])
            case 2 if target.exists():
                yank(target, str(turn))
                unyank(target)
            case _:
                made.replace(target)


def test_nobody_ever_gets_other_bytes_than_the_page_promised(tmp_path: Path) -> None:
    house, aside = tmp_path / "wheelhouse", tmp_path / "aside"
    house.mkdir()
    live = LiveIndex(Scanner(house), lambda _finding: None)
    live.start()
    app = IndexApp(live)
    hand = threading.Thread(target=disturb, args=(house, aside, TURNS))
    hand.start()
    fetched = 0
    while hand.is_alive():
        live.refresh()
        for project in ask_json(app, "/simple/")["projects"]:
            for file in ask_json(app, f"/simple/{project['name']}/")["files"]:
                place = "/" + file["url"].removeprefix("../../")
                for path, hashes in ((place, file["hashes"]), (f"{place}.metadata", file["core-metadata"])):
                    reply = ask(app, path)
                    assert reply.status in {200, 404, 503}
                    # A file that is cut short while it is sent breaks the connection off, which a client notices.
                    if reply.status == 200 and len(reply.body) == int(reply.headers["content-length"]):
                        fetched += 1
                        assert hashlib.sha256(reply.body).hexdigest() == hashes["sha256"]
    hand.join()
    assert fetched > 0
    (house / ".touched").touch()  # the last change may have been one in place, which is looked for now and then only
    live.refresh()
    assert dict(live.index.files) == dict(Scanner(house).scan().index.files)


def require_whole(site: Path) -> int:
    """Follow every link of every page; gives how many wheels there are, each the one that its page promised."""
    wheels = 0
    for page in site.glob("simple/**/index.html"):
        for target, digest in re.findall(r'href="([^"#]+)(?:#sha256=(\w+))?"', page.read_text()):
            found = Path(os.path.normpath(page.parent / unquote(target)))
            if not digest:
                assert (found / "index.html").is_file(), (page, target)
                continue
            wheels += 1
            assert hashlib.sha256(found.read_bytes()).hexdigest() == digest
            assert found.with_name(f"{found.name}.metadata").read_bytes()
    return wheels


def test_an_export_that_is_killed_leaves_a_whole_index(tmp_path: Path) -> None:
    house, site, chance = tmp_path / "wheelhouse", tmp_path / "site", random.Random(9)  # noqa: S311
    for number in range(60):
        make_wheel(house, f"project-{number % 6}", f"1.{number}+cu.13.{number % 2}")
    command = [sys.executable, "-m", "cudawheel", "index", "export", str(site), "--wheelhouse", str(house)]
    started = time.monotonic()
    subprocess.run(command, check=True, env=clean(), capture_output=True, timeout=60)
    usual = time.monotonic() - started
    killed = 0
    for turn in range(KILLS):
        for number in chance.sample(range(60), 20):
            name, version = f"project-{number % 6}", f"1.{number}+cu.13.{number % 2}"
            made = make_wheel(tmp_path / "aside", name, version, members={"turn.py": str(turn)})
            made.replace(house / made.name)
        with subprocess.Popen(command, env=clean(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            time.sleep(usual * chance.uniform(0.3, 1.1))
            running.send_signal(signal.SIGKILL)
        killed += running.returncode == -signal.SIGKILL
        assert require_whole(site) >= 120  # each wheel on the page of its channel and on the one of everything
    assert killed
    done = export(Scanner(house).scan().index, site, wheelhouse=house)
    assert (done.wheels, require_whole(site)) == (60, 120)
    assert len([path for path in site.rglob("*") if path.is_file() and ".whl" in path.name]) == 120
