"""Packages of a few lines: wheels, sdists, projects with a backend of their own, and recipes for them."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON_TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"

# A PEP 517 backend that lies in its project. What it does is said in a file beside it, so that each test has its own.
# It starts some two hundred times in a run of the tests, and imports little before it has to.
BACKEND = """
import json, os, sys, time

with open(os.path.join(os.path.dirname(__file__), "orders.json")) as orders:
    ORDERS = json.load(orders)


def call(command):
    import subprocess
    return subprocess.call(command, shell=True)


def get_requires_for_build_wheel(config_settings=None):
    print("asked what it needs")
    for command in ORDERS.get("run_first", []):
        if call(command):
            sys.exit(1)
    if ORDERS.get("refuses_to_say"):
        sys.exit(3)
    return ORDERS.get("needs", [])


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    names = ORDERS.get("show", [])
    print("variables", json.dumps({name: os.environ.get(name) for name in names}, sort_keys=True))
    print("settings", json.dumps(config_settings, sort_keys=True))
    for line in ORDERS.get("say", []):
        print(line, flush=True)
    if "warn" in ORDERS:
        import warnings
        warnings.warn(ORDERS["warn"])
    if "child" in ORDERS:
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open(ORDERS["child"], "w") as sink:
            sink.write(f"{os.getpid()} {child.pid}")
        print("[1/2] compiling", flush=True)
        time.sleep(60)
    if "count" in ORDERS:
        with open(ORDERS["count"], "a") as sink:
            sink.write("built\\n")
    if "hold" in ORDERS and os.path.exists(ORDERS["hold"]):
        with open(ORDERS["hold"] + ".pid", "w") as sink:
            sink.write(str(os.getpid()))
        while os.path.exists(ORDERS["hold"]):
            time.sleep(0.02)
    for command in ORDERS.get("run", []):
        if call(command):
            sys.exit(1)
    if int(os.environ.get("MAX_JOBS", 0)) > ORDERS.get("most_jobs", 1000):
        print("c++: fatal error: Killed signal terminated program cc1plus", flush=True)
        sys.exit(1)
    if ORDERS.get("killed"):
        os.kill(os.getpid(), 9)
    if ORDERS.get("fails"):
        raise SystemExit(1)
    name = "tiny_ext-1.0-py3-none-any.whl"
    info = "tiny_ext-1.0.dist-info"
    files = {
        "tiny_ext.py": ORDERS.get("module", "answer = 42\\\\n"),
        f"{info}/METADATA": "Metadata-Version: 2.1\\\\nName: tiny-ext\\\\nVersion: 1.0\\\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\\\nRoot-Is-Purelib: true\\\\nTag: py3-none-any\\\\n",
    }
    record = "".join(f"{path},,\\\\n" for path in (*files, f"{info}/RECORD"))
    import zipfile
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return name
""".replace("\\\\", "\\")

PYPROJECT = """[build-system]
requires = {requires}
build-backend = "backend"
backend-path = ["."]
"""


def write_project(folder: Path, *, requires: Sequence[str] = (), **orders: Any) -> Path:
    """Write a project whose backend does as ordered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(requires=json.dumps(list(requires))), encoding="utf-8")
    (folder / "backend.py").write_text(BACKEND, encoding="utf-8")
    (folder / "orders.json").write_text(json.dumps(orders), encoding="utf-8")
    return folder


def write_wheel(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), files: Mapping[str, str] | None = None
) -> Path:
    """Write a pure wheel with a right RECORD, as an installer wants it."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    headers = "".join(f"Requires-Dist: {text}\n" for text in requires)
    members = {
        f"{stem}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in members.items():
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**members, f"{info}/RECORD": "".join([*rows, f"{info}/RECORD,,\n"])}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def tar_of(members: Mapping[str, bytes | tarfile.TarInfo], compression: str = "gz") -> bytes:
    """Write a tar of plain files, and of whatever a TarInfo describes, under the names given."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo()
            info.name = name
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(info)
    return buffer.getvalue()


def tar_of_folder(folder: Path, top: str) -> bytes:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return tar_of({f"{top}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


RECIPE = """[package]
name = "tiny-ext"
version = "1.0"
{sources}
[capabilities]
request = "8.0;9.0+PTX"

[matrix]
python = ["{python}"]
torch = ["2.11"]

[build]
cuda = "optional"
memory-per-job = 0.1
{build}

[wheel]
imports = ["tiny_ext"]
"""


def write_recipe(folder: Path, *sources: Mapping[str, Any], build: str = "", name: str = "tiny.toml") -> Path:
    """Write a recipe for the tiny package; every source is a table of its fields."""
    tables = [
        "\n[[sources]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in s.items()) for s in sources
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(RECIPE.format(sources="".join(tables), python=PYTHON, build=build), encoding="utf-8")
    return path


def path_source(path: str, label: str = "here") -> dict[str, Any]:
    return {"kind": "path", "label": label, "path": path}


def git_source(url: str, commit: str, label: str = "upstream") -> dict[str, Any]:
    return {"kind": "git", "label": label, "url": url, "commit": commit}


def sdist_source(content: bytes, label: str = "index", version: str = "1.0") -> dict[str, Any]:
    return {
        "kind": "sdist",
        "label": label,
        "project": "tiny-ext",
        "version": version,
        "sha256": sha256(content),
    }


def url_source(url: str, content: bytes, label: str = "archive") -> dict[str, Any]:
    return {"kind": "url", "label": label, "url": url, "sha256": sha256(content)}


MACHINE = platform.machine()
