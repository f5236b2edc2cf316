"""What the server answers."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from index_wheels import TOKEN, Reply, ask, ask_json, make_wheel, sha256

from cudawheel.index import app as app_module
from cudawheel.index.app import IndexApp, Served
from cudawheel.index.live import LiveIndex
from cudawheel.index.pages import Link
from cudawheel.index.scan import Scanner
from cudawheel.index.tokens import Tokens
from cudawheel.index.upstream import UpstreamError

JSON = "application/vnd.pypi.simple.v1+json"


class OtherIndex:
    """An upstream index that has every project, in version 99, unless it is down or was told to have none."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False
        self.empty = False
        self.meanwhile: Callable[[], Any] = lambda: None

    async def find(self, name: str) -> Any:
        self.asked.append(name)
        self.meanwhile()
        if self.down:
            raise UpstreamError("ConnectError")
        link = Link(name=f"{name}-99-py3-none-any.whl", url=f"http://127.0.0.1:1/{name}", hashes={}, size=1)
        return None if self.empty else (("99",), (link,))


class Scene:
    """A wheelhouse, and a server of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.upstream = OtherIndex()
        self.log: list[Served] = []
        self.wheel = make_wheel(folder, "Demo_Ext", "1.0+cu.13.0.torch.2.11", requires=["torch==2.11.*"])
        make_wheel(folder, "plain")
        self.live = LiveIndex(Scanner(folder), lambda _finding: None)
        self.live.start()
        self.app = IndexApp(self.live, tell=self.log.append)

    def with_upstream(self, *own: str) -> IndexApp:
        return IndexApp(self.live, upstream=self.upstream, own=own)  # type: ignore[arg-type] # a stand-in

    def file_of(self, project: str = "demo-ext") -> Any:
        return ask_json(self.app, f"/simple/{project}/")["files"][0]

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return ask(self.app, path, method, **headers)

    def get_wheel(self, ending: str = "", method: str = "GET", **headers: str) -> Reply:
        return self.get("/" + self.file_of()["url"].removeprefix("../../") + ending, method, **headers)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "wheelhouse")


def test_the_lists(scene: Scene) -> None:
    assert ask_json(scene.app, "/simple/")["projects"] == [{"name": "demo-ext"}, {"name": "plain"}]
    assert ask_json(scene.app, "/simple/cu130/")["projects"] == [{"name": "demo-ext"}]


def test_a_channel_leads_to_the_same_wheel(scene: Scene) -> None:
    (file,) = ask_json(scene.app, "/simple/cu130/demo-ext/")["files"]
    assert file == {**scene.file_of(), "url": f"../{scene.file_of()['url']}"}
    assert scene.get("/simple/cu130/plain/").status == 404
    assert scene.get("/simple/cu128/").status == 404
    assert scene.get("/simple/cu128/demo-ext/").status == 404


def test_the_wheel_and_its_metadata(scene: Scene) -> None:
    file = scene.file_of()
    assert scene.get_wheel().body == scene.wheel.read_bytes()
    assert file["hashes"] == {"sha256": sha256(scene.wheel)}
    metadata = scene.get_wheel(".metadata")
    assert b"Requires-Dist: torch==2.11.*" in metadata.body
    assert file["core-metadata"] == {"sha256": hashlib.sha256(metadata.body).hexdigest()}
    assert scene.get_wheel(".metadata").body == metadata.body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/simple/demo-ext/", "text/html; charset=utf-8"),
        (f"/simple/demo-ext/?format={JSON}", JSON),
        (f"/simple/?format={JSON.replace('+', '%2B')}", JSON),
        ("/simple/demo-ext/?other=1", "text/html; charset=utf-8"),
    ],
)
def test_which_representation(path: str, kind: str, scene: Scene) -> None:
    reply = scene.get(path)
    assert (reply.status, reply.headers["content-type"], reply.headers["vary"]) == (200, kind, "Accept")


def test_a_representation_that_nobody_has(scene: Scene) -> None:
    for path in ("/simple/", "/simple/demo-ext/", "/simple/?format=yaml"):
        assert scene.get(path, accept="image/png").status == 406


@pytest.mark.parametrize("path", ["/simple/", "/simple/cu130/", "/simple/demo-ext/"])
@pytest.mark.parametrize("accept", [JSON, "text/html"])
def test_an_unchanged_page_is_not_sent_again(path: str, accept: str, scene: Scene) -> None:
    first = scene.get(path, accept=accept)
    again = scene.get(path, accept=accept, if_none_match=f'"other", W/{first.headers["etag"]}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "content-length" not in again.headers
    assert scene.get(path, accept=accept, if_none_match='"other"').body == first.body


def test_representations_have_tags_of_their_own(scene: Scene) -> None:
    tags = {scene.get("/simple/demo-ext/", accept=accept).headers["etag"] for accept in (JSON, "text/html")}
    assert len(tags) == 2


def test_a_page_changes_with_what_it_shows(scene: Scene) -> None:
    first, other = scene.get("/simple/demo-ext/"), scene.get("/simple/plain/")
    make_wheel(scene.folder, "demo-ext", "2.0")
    scene.live.start()
    assert scene.get("/simple/demo-ext/").headers["etag"] != first.headers["etag"]
    assert scene.get("/simple/plain/").headers["etag"] == other.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-10", -10, None), ("bytes=5-999999999", 5, None)],
)
def test_parts_of_a_wheel(asked: str, start: int, stop: int | None, scene: Scene) -> None:
    whole = scene.wheel.read_bytes()
    reply = scene.get_wheel(range=asked)
    assert reply.status == 206
    assert reply.body == whole[start:stop]
    first = start % len(whole)
    assert reply.headers["content-range"] == f"bytes {first}-{first + len(reply.body) - 1}/{len(whole)}"
    assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_part_that_is_not_there(asked: str, scene: Scene) -> None:
    reply = scene.get_wheel(range=asked)
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{scene.wheel.stat().st_size}"


@pytest.mark.parametrize("asked", ["bytes=", "bytes=-", "bytes=9-5", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b"])
def test_a_range_that_cannot_be_read_means_everything(asked: str, scene: Scene) -> None:
    reply = scene.get_wheel(range=asked)
    assert (reply.status, reply.body) == (200, scene.wheel.read_bytes())


def test_a_part_of_what_has_changed_since(scene: Scene) -> None:
    etag = scene.get_wheel().headers["etag"]
    assert scene.get_wheel(range="bytes=0-9", if_range=etag).status == 206
    assert scene.get_wheel(range="bytes=0-9", if_range='"older"').status == 200


def test_an_unchanged_wheel_is_not_sent_again(scene: Scene) -> None:
    for ending in ("", ".metadata"):
        etag = scene.get_wheel(ending).headers["etag"]
        assert scene.get_wheel(ending, if_none_match=etag).status == 304


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-ext/", "/nothing"])
def test_head_is_get_without_the_body(path: str, scene: Scene) -> None:
    get, head = scene.get(path), scene.get(path, "HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_head_of_files(scene: Scene) -> None:
    for ending in ("", ".metadata"):
        get, head = scene.get_wheel(ending), scene.get_wheel(ending, "HEAD")
        assert (head.status, head.headers, head.body) == (200, get.headers, b"")
        assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(method: str, scene: Scene) -> None:
    reply = scene.get("/simple/", method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "simple/"),
        ("/simple", "simple/"),
        ("/simple/demo-ext", "demo-ext/"),
        ("/simple/Demo_Ext", "demo-ext/"),
        ("/simple/Demo.Ext/", "../demo-ext/"),
        ("/simple/cu130/DEMO__EXT/", "../demo-ext/"),
    ],
)
def test_other_spellings_lead_to_the_one(path: str, location: str, scene: Scene) -> None:
    reply = scene.get(path)
    assert reply.status in {301, 307}
    assert reply.headers["location"] == location


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/simple/../secret",
        "/simple/..%2fsecret/",
        "/simple/%2e%2e/secret/",
        "/simple/%00/",
        "/simple//",
        "/simple/demo-ext/../../secret",
        "/wheels/../secret",
        "/wheels/..%2F..%2Fsecret",
        "/wheels/%2e%2e/secret",
        "/wheels//secret",
        "/wheels/0/..\\secret",
        "/wheels/",
        "/secret",
        "//secret",
        "/simple/a/b/c/",
        "/simple/foo/demo-ext/",
        "/simple/\u00e9/",
        "/simple/-/",
    ],
)
def test_no_way_leads_out(path: str, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (scene.folder / "secret").write_text("secret")
    reply = ask(scene.with_upstream(), path)
    assert reply.status == 404, reply
    assert b"secret" not in reply.body
    assert scene.upstream.asked == []


def test_what_is_not_offered_cannot_be_fetched(scene: Scene) -> None:
    bad = make_wheel(scene.folder, "bad")
    bad.write_bytes(bad.read_bytes()[:-9])
    scene.live.start()
    assert scene.get("/simple/bad/").status == 404
    assert scene.get(f"/wheels/{sha256(bad)[:32]}/{bad.name}").status == 404
    assert scene.get(f"/wheels/{sha256(scene.wheel)[:32]}/{bad.name}").status == 404


def test_no_redirect_leads_to_another_server(scene: Scene) -> None:
    for path in ("//evil.example/", "/simple//evil.example", "/simple/%2Fevil.example", "/simple/\\evil.example"):
        reply = scene.get(path)
        assert reply.status == 404
        assert "location" not in reply.headers


@pytest.mark.parametrize("spoil", ["gone", "replaced"])
@pytest.mark.parametrize("ending", ["", ".metadata"])
def test_a_wheel_that_is_no_longer_the_one(spoil: str, ending: str, scene: Scene) -> None:
    url = "/" + scene.file_of()["url"].removeprefix("../../") + ending
    scene.wheel.unlink()
    if spoil == "replaced":
        make_wheel(
            scene.folder, "Demo_Ext", "1.0+cu.13.0.torch.2.11", members={"demo_ext/new.py": "new"}, requires=["x"]
        )
    reply = scene.get(url)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_a_wheel_that_is_replaced_between_two_looks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "/" + scene.file_of()["url"].removeprefix("../../")
    genuine = app_module._open

    def open_(path: Path, stamp: Any) -> Any:
        path.with_name(".new").write_bytes(path.read_bytes())
        path.with_name(".new").replace(path)
        return genuine(path, stamp)

    monkeypatch.setattr(app_module, "_open", open_)
    assert scene.get(url).status == 503


def test_a_store_that_disappears_midway(scene: Scene) -> None:
    scene.folder.rename(scene.folder.with_name("away"))
    scene.live.refresh()
    assert scene.get("/simple/demo-ext/").status == 200
    assert scene.get_wheel().status == 503
    assert ask(scene.with_upstream(), "/simple/demo-ext/").status == 200
    assert scene.upstream.asked == []
    scene.folder.with_name("away").rename(scene.folder)
    assert scene.get_wheel().status == 200


def test_only_those_with_a_token_read(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    tokens = Tokens.load(tmp_path / "tokens")
    app = IndexApp(scene.live, tokens=lambda: tokens)
    wheel = "/" + scene.file_of()["url"].removeprefix("../../")
    good = base64.b64encode(f"__token__:{TOKEN}".encode()).decode()
    for path in ("/simple/", "/simple/demo-ext/", wheel, f"{wheel}.metadata", "/nothing", "/"):
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic d3Jvbmc6"}):
            reply = ask(app, path, **wrong)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Basic ")
        assert ask(app, path, authorization=f"Basic {good}").status == scene.get(path).status
        assert ask(app, path, authorization=f"Bearer {TOKEN}").status == scene.get(path).status


def test_what_is_not_ours_comes_from_upstream(scene: Scene) -> None:
    app = scene.with_upstream()
    for path in ("/simple/numpy/", "/simple/cu130/numpy/", "/simple/cu999/numpy/"):
        page = ask_json(app, path)
        assert [file["url"] for file in page["files"]] == ["http://127.0.0.1:1/numpy"]
        assert page["versions"] == ["99"]
    etag = ask(app, "/simple/numpy/").headers["etag"]
    assert ask(app, "/simple/numpy/", if_none_match=etag).status == 304
    assert set(scene.upstream.asked) == {"numpy"}


@pytest.mark.parametrize("spelling", ["demo-ext", "Demo_Ext", "demo.ext", "DEMO--EXT"])
@pytest.mark.parametrize("channel", ["", "cu130/", "cu128/"])
def test_a_name_of_ours_never_comes_from_upstream(spelling: str, channel: str, scene: Scene) -> None:
    reply = ask(scene.with_upstream(), f"/simple/{channel}{spelling}/")
    assert reply.status in {200, 301, 404}
    assert b"-99-" not in reply.body
    assert scene.upstream.asked == []


def test_nor_when_our_wheels_are_damaged_or_gone(scene: Scene) -> None:
    app = scene.with_upstream()
    scene.wheel.write_bytes(b"")
    scene.live.start()
    assert ask(app, "/simple/demo-ext/").status == 404
    scene.wheel.unlink()
    scene.live.start()
    assert ask(app, "/simple/demo-ext/").status == 404
    assert ask(app, "/simple/cu130/").status == 404
    assert scene.upstream.asked == []


def test_nor_names_that_are_said_to_be_ours(scene: Scene) -> None:
    app = scene.with_upstream("coming-soon", "our-*")
    assert [ask(app, f"/simple/{name}/").status for name in ("coming-soon", "our-kernels", "theirs")] == [404, 404, 200]
    assert scene.upstream.asked == ["theirs"]


def test_a_name_that_becomes_ours_while_upstream_thinks(scene: Scene) -> None:
    def arrive() -> None:
        make_wheel(scene.folder, "newcomer")
        scene.live.start()

    scene.upstream.meanwhile = arrive
    app = scene.with_upstream()
    assert ask(app, "/simple/newcomer/").status == 503
    assert ask_json(app, "/simple/newcomer/")["versions"] == ["1.0"]


def test_upstream_is_down(scene: Scene) -> None:
    scene.upstream.down = True
    app = scene.with_upstream()
    assert ask(app, "/simple/numpy/").status == 502
    assert ask(app, "/simple/demo-ext/").status == 200
    assert ask(app, "/simple/").status == 200


def test_upstream_has_none_either(scene: Scene) -> None:
    scene.upstream.empty = True
    assert ask(scene.with_upstream(), "/simple/numpy/").status == 404


def test_the_log_is_told_of_every_request(scene: Scene) -> None:
    scene.get("/simple/demo-ext/")
    scene.get("/no\nway\x1b[31m")
    first, second = map(str, scene.log)
    assert first.startswith("GET /simple/demo-ext/ 200 ")
    assert second.startswith("GET /no\\x0away\\x1b[31m 404 ")


def test_a_defect_ends_one_request_and_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(app_module, "project_page", lambda *_words: 1 // 0)
        reply = scene.get("/simple/demo-ext/")
    assert (reply.status, reply.body) == (500, b"this server has a defect\n")
    assert "ZeroDivisionError" in str(scene.log[-1])
    assert scene.get("/simple/demo-ext/").status == 200


def test_a_file_that_shrinks_while_it_is_sent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "/" + scene.file_of()["url"].removeprefix("../../")
    size = scene.wheel.stat().st_size
    genuine = app_module._open

    def open_(path: Path, stamp: Any) -> Any:
        file = genuine(path, stamp)
        os.truncate(path, 20)
        return file

    monkeypatch.setattr(app_module, "_open", open_)
    reply = scene.get(url)
    assert reply.headers["content-length"] == str(size)
    assert len(reply.body) == 20  # so that a client sees that it has not got everything
    assert "cut short" in scene.log[-1].detail
