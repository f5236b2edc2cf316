"""Small sources of each way of building, as drafting meets them."""

from __future__ import annotations

TORCH_SETUP = """
import os
import torch
from setuptools import setup, find_packages
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

setup(
    name="tiny_ext",
    version="1.0",
    packages=["tiny_ext"],
    ext_modules=[CUDAExtension("tiny_ext._C", ["csrc/a.cu", "csrc/b.cpp"])],
    cmdclass={"build_ext": BuildExtension},
)
"""
KERNEL = "#include <torch/extension.h>\n__global__ void f() {}\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {}\n"
TORCH = {
    "setup.py": TORCH_SETUP,
    "tiny_ext/__init__.py": "import torch\n",
    "csrc/a.cu": KERNEL,
    "csrc/b.cpp": "int x;\n",
}
SKBUILD_CORE = {
    "pyproject.toml": """
[build-system]
requires = ["scikit-build-core", "numpy"]
build-backend = "scikit_build_core.build"
[project]
name = "tiny-ext"
version = "1.0"
requires-python = ">=3.11"
[tool.scikit-build]
wheel.packages = ["python/tiny_ext"]
""",
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.26)
project(tiny LANGUAGES CXX CUDA)
find_package(pybind11 CONFIG REQUIRED)
pybind11_add_module(_core a.cu)
install(TARGETS _core DESTINATION tiny_ext)
""",
    "a.cu": "PYBIND11_MODULE(_core, m) {}\n",
    "python/tiny_ext/__init__.py": "",
}
CMAKE_SETUP = {
    "setup.py": """
import os, subprocess
from setuptools import setup, Extension
from setuptools.command.build_ext import build_ext
class CMakeExtension(Extension):
    pass
class CMakeBuild(build_ext):
    def build_extension(self, ext):
        subprocess.check_call(["cmake", "."] + os.environ.get("CMAKE_ARGS", "").split())
setup(name="tiny-ext", version="1.0", packages=["tiny_ext"], ext_modules=[CMakeExtension("tiny_ext._C", [])],
      cmdclass={"build_ext": CMakeBuild})
""",
    "CMakeLists.txt": 'project(tiny LANGUAGES CXX CUDA)\noption(WITH_CUDA "Build for CUDA" OFF)\n',
    "tiny_ext/__init__.py": "",
    "a.cu": 'extern "C" void* PyInit__C() { return 0; }\n',
}
MESON = {
    "pyproject.toml": """
[build-system]
requires = ["meson-python"]
build-backend = "mesonpy"
[project]
name = "tiny-ext"
version = "1.0"
""",
    "meson.build": "project('tiny', 'cpp', 'cuda')\n",
    "meson.options": "option('with_cuda', type : 'feature', value : 'disabled')\n",
    "a.cu": "__global__ void f() {}\n",
    "tiny_ext/__init__.py": "",
}
