"""The environment variables of a build: named ones let in, the toolkit's set, everything else left outside.

Variables such as LD_LIBRARY_PATH, CPATH, LIBRARY_PATH, CMAKE_PREFIX_PATH, CFLAGS or NVCC_APPEND_FLAGS change what a
build makes without a trace in its record. Nothing passes that is not named here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cudawheel.toolchain.host_compiler import HostCompiler
from cudawheel.toolchain.shadow import without_cuda
from cudawheel.toolchain.toolchain import Toolchain

INHERITED = frozenset(
    {
        # who and where
        "HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME", "XDG_DATA_HOME",
        # how to reach the network
        "ALL_PROXY", "CURL_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NETRC", "NO_PROXY", "REQUESTS_CA_BUNDLE",
        "SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE", "all_proxy", "http_proxy", "https_proxy", "no_proxy",
        # which package index (pip's and uv's documentation, "environment variables")
        "PIP_CACHE_DIR", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT",
        "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL",
        "PIP_KEYRING_PROVIDER", "PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES", "PIP_TRUSTED_HOST",
        "UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
        "UV_HTTP_TIMEOUT", "UV_INDEX", "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_NO_CONFIG", "UV_OFFLINE",
        "UV_SYSTEM_CERTS",
        # where git may go instead
        "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_TERMINAL_PROMPT",
    },
)  # fmt: skip
INHERITED_PREFIXES = ("LC_", "GIT_CONFIG", "UV_INDEX_")

# 2020-02-02, which hatchling and flit fall back to as well; any date does that ZIP files can hold, if it never moves.
SOURCE_DATE_EPOCH = "1580601600"


def machine_environment() -> Mapping[str, str]:
    """Read this process's environment: the one place of this room that does."""
    return dict(os.environ)


def search_path(inherited: str, *, first: Sequence[Path], shadows: Path) -> str:
    """Write the PATH of a build: its own folders, and after them the user's with every CUDA compiler hidden.

    Args:
        inherited: the user's PATH.
        first: the build environment's `bin`, then the toolkit's.
        shadows: where stand-ins for folders with a CUDA compiler may be made.

    Raises:
        StoreError: a stand-in cannot be written.
    """
    return ":".join(str(folder) for folder in (*first, *without_cuda(inherited, shadows)))


def build_environment(
    base: Mapping[str, str],
    *,
    toolchain: Toolchain,
    compiler: HostCompiler,
    path: str,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write the environment of a build, without touching anything.

    Args:
        base: the user's environment, of which only what is named in `INHERITED` passes.
        toolchain: the one CUDA there is to be.
        compiler: the one C++ compiler.
        path: what `search_path` wrote.
        extra: the capability variables, the recipe's own, `MAX_JOBS` and so on; it has the last word.
    """
    home = str(toolchain.home)
    cc = {"CC": str(compiler.cc)} if compiler.cc else {}
    return {
        **{name: value for name, value in base.items() if _passes(name)},
        "PATH": path,
        "CUDA_HOME": home,  # torch
        "CUDA_PATH": home,  # torch, CMake's FindCUDAToolkit, CuPy
        "CUDAToolkit_ROOT": home,  # CMake's FindCUDAToolkit
        "CUDACXX": str(toolchain.nvcc),  # CMake's CUDA language
        "CUDAHOSTCXX": str(compiler.cxx),  # CMake's CUDA language
        "NVCC_CCBIN": str(compiler.cxx),  # nvcc itself, where a build calls it without -ccbin
        "CXX": str(compiler.cxx),
        **cc,
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
        **(extra or {}),
    }


def _passes(name: str) -> bool:
    return name in INHERITED or name.startswith(INHERITED_PREFIXES)
