"""A Python environment: its torch and its extensions, told from their files without importing any of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cudawheel.audit.fatbin import capabilities_of
from cudawheel.doctor.machine import CodedFile, Environment, Extension, Torch
from cudawheel.doctor.probes.device_code import common_capabilities, read_device_code
from cudawheel.doctor.world import World, is_folder, matching, read_text, real, runnable
from cudawheel.errors import CudawheelError, UsageError
from cudawheel.model.version import CudaVersion

QUESTION = (
    "import json,sys,sysconfig as s;p=s.get_paths();"
    "print(json.dumps({'version':'%d.%d.%d'%sys.version_info[:3],'sites':[x for x in sys.path if "
    "x.endswith('-packages')] or [p['purelib'],p['platlib']]}))"
)
_ASSIGNMENT = re.compile(r"^(\w+)\s*(?::[^=\n]*)?=\s*['\"]([^'\"\n]*)['\"]\s*$", re.MULTILINE)
_DIST_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")
_LIBRARY = "torch/lib/libtorch_cuda.so"
# CUDA's own libraries carry code for everything, in tens of thousands of pieces: asked for, they are read too.
_CUDA_OWN = re.compile(r"nvidia[-_.]|torch$|triton$", re.IGNORECASE)


def environment_python(world: World, chosen: str | None) -> str:
    """Give the Python whose environment is meant: the chosen one, the active one, or the one that runs this.

    Args:
        world: where to look.
        chosen: a Python program, or the folder of an environment.
    """
    if chosen is not None:
        program = f"{chosen.rstrip('/')}/bin/python"
        return program if is_folder(world.at(chosen)) and runnable(world.at(program)) else chosen
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = world.environ.get(variable, "")
        if folder and runnable(world.at(f"{folder}/bin/python")):
            return f"{folder}/bin/python"
    return world.running


def probe_environment(world: World, python: str, *, all_packages: bool = False) -> Environment:
    """Look into an environment.

    Args:
        world: where to look.
        python: its interpreter, which is asked where its packages are.
        all_packages: read CUDA's own libraries too, which takes seconds.
    """
    version, folders, fault = ask_where_packages_are(world, python)
    if fault:
        return Environment(python=python, fault=fault)
    torches = (torch for folder in folders if (torch := read_torch(world, folder, look=True)))
    return Environment(
        python=python,
        pip=pip_of(world, python),
        version=version,
        torch=next(torches, None),
        extensions=tuple(
            found
            for folder in folders
            for record in matching(folder, "*.dist-info/RECORD")
            if (found := _extension(record, all_packages=all_packages))
        ),
    )


def ask_where_packages_are(world: World, python: str) -> tuple[str, tuple[Path, ...], str]:
    """Ask an interpreter for its version and the folders of its packages; if it does not answer, give what it said."""
    answer = world.run([python, "-I", "-c", QUESTION])
    try:
        facts = json.loads((answer.output.strip().splitlines() or [""])[-1])
        version, sites = str(facts["version"]), [str(site) for site in facts["sites"]]
    except (ValueError, TypeError, KeyError):
        said = answer.output.strip().splitlines()[:1] or [f"it ends with exit status {answer.code}"]
        return "", (), said[0]
    return version, tuple(world.at(site) for site in dict.fromkeys(sites)), ""


def pip_of(world: World, python: str) -> str:
    """Give how pip is called for an environment: by its path unless it is the one that runs this."""
    if PurePosixPath(python).parent == PurePosixPath(world.running).parent:
        return "pip"
    return f"{shlex.quote(python)} -m pip"


def read_torch(world: World, site: Path, *, look: bool) -> Torch | None:
    """Tell a torch from its files; None where there is none.

    Args:
        world: where it lies.
        site: the folder that holds the package.
        look: read the capabilities that it carries, which takes a third of a second.
    """
    if not is_folder(site / "torch"):
        return None
    known: dict[str, str] = dict(_ASSIGNMENT.findall(read_text(site / "torch" / "version.py")))
    torch = Torch(
        site=world.shown(site),
        version=known.get("__version__", "of unknown version"),
        cuda=_cuda(known.get("cuda", "")),
        rocm=known.get("hip", ""),
    )
    if "__version__" not in known:
        return replace(torch, fault="torch/version.py is missing or names no version")
    if not is_folder(site / "torch" / "lib"):
        return replace(torch, fault="torch/lib is missing")
    return _look_into(torch, site / _LIBRARY) if torch.cuda and look else torch


def _look_into(torch: Torch, library: Path) -> Torch:
    """Add what a torch carries."""
    try:
        return replace(torch, capabilities=common_capabilities(read_device_code(library)))
    except FileNotFoundError:
        return replace(torch, fault=f"{_LIBRARY} is missing")
    except (CudawheelError, OSError) as error:
        return replace(torch, fault=f"{_LIBRARY} cannot be read: {_first_line(error)}")


def _cuda(text: str) -> CudaVersion | None:
    try:
        return CudaVersion.parse(text)
    except UsageError:
        return None


def _extension(record: Path, *, all_packages: bool) -> Extension | None:
    """Give a distribution with device code in it, or None."""
    match = _DIST_INFO.fullmatch(record.parent.name)
    if match is None or (_CUDA_OWN.match(match["name"]) and not all_packages) or match["name"] == "torch":
        return None
    site = record.parent.parent
    names = list(_shared_objects(read_text(record)))
    files, faults = [], []
    for name in names:
        try:
            containers = read_device_code(site / name)
        except FileNotFoundError:
            continue
        except (CudawheelError, OSError) as error:
            faults.append(f"{name} cannot be read: {_first_line(error)}")
            continue
        if containers:
            found = capabilities_of(entry for container in containers for entry in container.entries)
            files.append(CodedFile(name=name, capabilities=found))
    if not files and not faults:
        return None
    return Extension(
        name=match["name"],
        version=match["version"],
        files=tuple(files),
        modules=tuple(dict.fromkeys(_modules(names, files))),
        fault="; ".join(faults),
    )


def _shared_objects(record: str) -> Iterator[str]:
    for line in record.splitlines():
        # Names with a comma in them are quoted (PEP 376); no shared object has one.
        name = line.split(",", 1)[0]
        if re.search(r"\.so(?:\.\d+)*$", name) and not name.startswith(("/", "..")):
            yield name


def _modules(names: Iterable[str], files: Iterable[CodedFile]) -> Iterator[str]:
    """Give what to import to have the device code loaded: the packages or modules of the files that hold it."""
    for name in [file.name for file in files] or names:
        top = name.split("/")[0].split(".")[0]
        if top.isidentifier():
            yield top


def probe_other_torches(world: World, pythons: Iterable[str], environment: Environment) -> tuple[Torch, ...]:
    """Look for torch beside the other Pythons of this machine, without looking into it."""
    known = {environment.torch.site} if environment.torch else set()
    found = []
    for python in pythons:
        for site in matching(real(world.at(python)).parent.parent, "lib/python3.*/*-packages"):
            torch = read_torch(world, site, look=False)
            if torch is not None and torch.site not in known:
                known.add(torch.site)
                found.append(torch)
    return tuple(found)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
