"""What a toolkit that compiles nothing answers to `--dryrun`: `python -IS fake_nvcc_program.py FOLDER ARGUMENT...`.

It has the shape of what nvcc 13.0 prints. The steps themselves are in fake_nvcc_step.sh.
"""

# Each compilation runs this: importing pathlib takes twice as long as the interpreter takes to start.
# ruff: noqa: PTH100, PTH119, PTH122

from __future__ import annotations

import os
import sys


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


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


def print_steps(folder: str, words: list[str]) -> None:
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
    for line in lines:
        sys.stderr.buffer.write(os.fsencode(f"#$ {line}\n"))


if __name__ == "__main__":
    print_steps(sys.argv[1], sys.argv[2:])
