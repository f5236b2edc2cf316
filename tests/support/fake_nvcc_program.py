"""Every program of a toolkit that compiles nothing: run as `python -IS fake_nvcc_program.py FOLDER NAME ARGUMENT...`.

What nvcc prints with `--dryrun` has the shape of what nvcc 13.0 prints. Its steps read what they are given, fail where
something is missing, and write what they are told to: each file holds, one in the other, the files that it is made of.
`orders` says what else a step has to do, and `marks` tells what ran.
"""

# A compilation runs a dozen of these, and there are hundreds of them: importing json, pathlib, re and typing takes
# twice as long as the interpreter takes to start.
# ruff: noqa: PTH100, PTH118, PTH119, PTH120, PTH122, PTH123

from __future__ import annotations

import marshal
import os
import sys
import time
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PATIENCE = 60.0
MISSING = 97
WAITED_IN_VAIN = 98
_READ = (".ii", ".ptx", ".cubin", ".cudafe1.cpp", ".cu")
_INCLUDE = '#include "'
_END = b"\0\n"
_WRITTEN = ("-o", "--gen_c_file_name", "--gen_device_file_name", "--stub_file_name")


class Marks:
    """What ran, in the order in which it started and ended."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "marks")

    def leave(self, what: str, label: str, words: list[str]) -> None:
        with open(self._path, "ab", buffering=0) as file:
            file.write(os.fsencode("\0".join([what, label, *words])) + _END)

    def started(self) -> list[str]:
        return [label for what, label, *_words in marks_of(self._path) if what == "start"]

    def ended(self) -> list[str]:
        return [label for what, label, *_words in marks_of(self._path) if what == "end"]


def marks_of(path: str) -> list[list[str]]:
    """Each mark in a file: `start` or `end`, the label, and the arguments."""
    with open(path, "rb") as file:
        return [os.fsdecode(mark).split("\0") for mark in file.read().split(_END)[:-1]]


def label_of(name: str, words: list[str]) -> str:
    """Name a step: `g++ -E compute_90`, `cicc compute_90`, `ptxas sm_90`, `cudafe++`, `fatbinary`, `g++ -c`."""
    if name == "g++":
        number = next((word.partition("=")[2][:-1] for word in words if word.startswith("-D__CUDA_ARCH__=")), "")
        return "g++ -c" if "-c" in words else f"g++ -E compute_{number}" if number else "g++ -E"
    named = next((word.partition("=")[2] for word in words if word.startswith("-arch=")), "")
    capability = named or dict(pairwise(words)).get("-arch", "")
    return f"{name} {capability}" if capability else name


def wait(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            sys.stderr.write(f"waited in vain until {what}\n")
            sys.exit(WAITED_IN_VAIN)
        time.sleep(0.005)


def obey(orders: dict[str, Any], marks: Marks) -> None:
    """Do what a test wants of this step besides."""
    if "say" in orders:
        sys.stdout.write(f"{orders['say']}\n")
        sys.stdout.flush()
    for other in orders.get("after start of", ()):
        wait(lambda other=other: other in marks.started(), f"{other} starts")
    for other in orders.get("after end of", ()):
        wait(lambda other=other: other in marks.ended(), f"{other} ends")
    if "crowd" in orders:
        wait(lambda: len(marks.started()) >= orders["crowd"], "enough others start")
        time.sleep(0.05)  # in which one too many could start
    if "forever" in orders:
        time.sleep(600)
    if "once killed" in orders and marks.started().count(orders["label"]) == 1:
        os.kill(os.getpid(), 9)
    if "signal" in orders:
        os.kill(os.getpid(), orders["signal"])
    if "exit" in orders:
        marks.leave("end", orders["label"], [])
        sys.exit(orders["exit"])


def read(path: str) -> str:
    """Give what a file holds; a file of host code with all that it includes."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(MISSING)
    folder = os.path.dirname(path)
    return "".join(
        read(os.path.join(folder, line[len(_INCLUDE) : -2])) if line.startswith(_INCLUDE) else line
        for line in text.splitlines(keepends=True)
    )


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def run_step(name: str, words: list[str]) -> None:
    """Write every file that is to be written, made of every one that is to be read."""
    options = dict(pairwise(words))
    module_id = options.get("--module_id_file_name", "")
    if "--gen_module_id_file" in options:
        write(module_id, f"_made_up_by_cudafe_{os.getpid()}")
    no_input = {"--orig_src_file_name", "--orig_src_path_name", *_WRITTEN}
    inputs = [word for before, word in zip(["", *words], words, strict=False) if before not in no_input]
    paths = [word.rpartition("file=")[2] if word.startswith("--image3=") else word for word in inputs]
    inside = "".join(read(path) for path in paths if path.endswith(_READ))
    inside += f"id={read(module_id)};" if module_id else ""
    text = f"{label_of(name, words)}({inside})\n"
    stub = options.get("--stub_file_name", "")
    if name == "cudafe++":
        write(options["--gen_c_file_name"], f'{text}#include "{stub}"\n')
        return
    for path in (options[option] for option in _WRITTEN if option in options):
        write(path, f'{text}#include "{options["--include_file_name"]}"\n' if path == stub else text)
    for path in (word.partition("=")[2] for word in words if word.startswith("--embedded-fatbin=")):
        write(path, text)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def quoted(word: str) -> str:
    return '"' + word.replace('"', '\\"') + '"'


def steps_of(folder: str, source: str, output: str, words: list[str]) -> list[str]:
    """The commands of a compilation, as nvcc 13.0 prints them."""
    stem = os.path.splitext(os.path.basename(source))[0]
    scratch = f"{os.environ.get('TMPDIR', '/tmp')}/tmpxft_{os.getpid():08x}_00000000"  # noqa: S108

    def temporary(number: int, ending: str) -> str:
        return f"{scratch}-{number}_{stem}{ending}"

    passes = [word.partition("compute_")[2].partition(",code") for word in words]
    numbers = [number for number, comma, _code in passes if comma and number.isdecimal()] or ["75"]
    defines = " ".join(f"-D {quoted(word[2:])}" for word in words if word.startswith("-D"))
    host = f"{quoted(f'{folder}/host')}/g++"
    module_id, fatbin = temporary(4, ".module_id"), temporary(3, ".fatbin.c")
    names = {number: temporary(6 + at, f".compute_{number}") for at, number in enumerate(reversed(numbers))}
    last = names[numbers[-1]]
    front = f"--c++17 --orig_src_file_name {quoted(source)} --orig_src_path_name {quoted(os.path.abspath(source))}"
    cudafe = (
        f"cudafe++ {front}  --m64 --gen_c_file_name {quoted(last + '.cudafe1.cpp')} "
        f"--stub_file_name {quoted(os.path.basename(last) + '.cudafe1.stub.c')} --gen_module_id_file "
        f"--module_id_file_name {quoted(module_id)} {quoted(temporary(5, '.cpp4.ii'))} "
    )
    steps = [f"{host} -E -x c++ {defines} -m64 {quoted(source)} -o {quoted(temporary(5, '.cpp4.ii'))} ", cudafe]
    images = []
    for at, number in enumerate(numbers):
        name, preprocessed = names[number], temporary(20 + 2 * at, f".compute_{number}.cpp1.ii")
        cubin = temporary(21 + 2 * at, f".compute_{number}.cubin")
        cicc = (
            f'"$CICC_PATH/cicc" {front}   -arch compute_{number} -m64 '
            f"--include_file_name {quoted(os.path.basename(fatbin))} --module_id_file_name {quoted(module_id)} "
            f"--gen_c_file_name {quoted(name + '.cudafe1.c')} --stub_file_name {quoted(name + '.cudafe1.stub.c')} "
            f"--gen_device_file_name {quoted(name + '.cudafe1.gpu')}  {quoted(preprocessed)} "
            f"-o {quoted(name + '.ptx')}"
        )
        preprocess = f"{host} -D__CUDA_ARCH__={number}0 -E -x c++  {defines} -m64 {quoted(source)} "
        steps += [
            f"{preprocess}-o {quoted(preprocessed)} ",
            cicc,
            f'ptxas -arch=sm_{number} -m64  "{name}.ptx"  -o {quoted(cubin)} ',
        ]
        images.append(f'"--image3=kind=elf,sm={number},file={cubin}"')
    return [
        *steps,
        f'fatbinary -64 --cicc-cmdline="-ftz=0 " {" ".join(images)} --embedded-fatbin={quoted(fatbin)} ',
        f"rm {temporary(3, '.fatbin')}",
        f"{host} -D__CUDA_ARCH__={numbers[-1]}0 -c -x c++  -m64 {quoted(last + '.cudafe1.cpp')} -o {quoted(output)} ",
    ]


def print_steps(folder: str, words: list[str], orders: dict[str, Any]) -> None:
    if "instead" in orders:
        sys.stderr.write(orders["instead"])
        sys.exit(orders.get("exit", 0))
    lines = [
        "_SPACE_= ",
        f"TOP={folder}/bin/..",
        f"CICC_PATH={folder}/nvvm/bin",
        f"PATH={folder}/nvvm/bin:{folder}/bin:{os.environ.get('PATH', '')}",
        f'INCLUDES="-I{folder}/bin/..//include"  ',
        "PTXAS_FLAGS=",
    ]
    source = next(word for word in words if word.endswith(".cu"))
    lines += steps_of(folder, source, value(words, "-o"), words)
    for line in [*orders.get("first", ()), *(f"#$ {line}" for line in lines)]:
        sys.stderr.buffer.write(os.fsencode(line) + b"\n")


def write_dependencies(words: list[str]) -> None:
    """What nvcc does with -M and -MM: headers of the system are only in the former."""
    source = next(word for word in words if word.endswith(".cu"))
    system = " /usr/include/stdc-predef.h" if "-M" in words else ""
    targets = " +targets" if {"-MP", "--generate-dependency-targets"} & set(words) else ""
    write(value(words, "-MF"), f"{value(words, '-MT')} : {source}{system}{targets}\n")


def main(folder: str, name: str, words: list[str]) -> None:
    with open(os.path.join(folder, "orders"), "rb") as file:
        all_orders = marshal.load(file)  # noqa: S302 - a test has written them
    if name == "nvcc" and "--dryrun" in words:
        print_steps(folder, words, all_orders.get("--dryrun", {}))
        return
    marks = Marks(folder)
    label = label_of(name, words) if name != "nvcc" else "nvcc -M" if {"-M", "-MM"} & set(words) else "nvcc"
    marks.leave("start", label, words)
    obey({**all_orders.get("all", {}), **all_orders.get(label, {}), "label": label}, marks)
    if label == "nvcc -M":
        write_dependencies(words)
    elif label != "nvcc":
        run_step(name, words)
    marks.leave("end", label, [])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
