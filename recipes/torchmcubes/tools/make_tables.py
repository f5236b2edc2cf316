#!/usr/bin/env python3
"""Derive the marching-cubes case table and write it to src/case_tables.h.

    python tools/make_tables.py            write the header
    python tools/make_tables.py --check    exit 1 if the header is not what this script would write

Nothing here is copied from a published table; the 256 cases follow from three decisions.

Numbering. Corner i of a cell lies at (x, y, z) = (i & 1, i >> 1 & 1, i >> 2 & 1). Edge 4 * axis + k runs along `axis`
from its lower corner, which is k with a zero bit inserted at position `axis`. A case is the mask of the inside corners.

Connection. Walk each face of the cell counter-clockwise, seen from outside the cell. Every run of inside corners is cut
off by one segment, from the edge where the walk leaves the inside back to the one where it entered. A face with two
opposite inside corners thus keeps them apart, whichever of its two cells looks at it: that makes the surface closed.
Each crossing starts one segment and ends another, so the segments chain into loops.

Filling. A loop is fanned into triangles from one of its crossings, chosen so that no diagonal lies in a face of the
cell. The neighbour across that face could draw the same diagonal, and the edge would then have four triangles.
"""

import argparse
import itertools
import sys
from pathlib import Path

HEADER = Path(__file__).resolve().parent.parent / "src" / "case_tables.h"
MAX_TRIANGLES = 5

# The corners of each face, counter-clockwise seen from outside.
FACES = (
    (0, 4, 6, 2),  # x = 0
    (1, 3, 7, 5),  # x = 1
    (0, 1, 5, 4),  # y = 0
    (2, 6, 7, 3),  # y = 1
    (0, 2, 3, 1),  # z = 0
    (4, 5, 7, 6),  # z = 1
)


def edge_between(a: int, b: int) -> int:
    """The number of the edge between two neighbouring corners."""
    axis = (a ^ b).bit_length() - 1
    low = min(a, b)
    return 4 * axis + ((low >> (axis + 1)) << axis | low & ((1 << axis) - 1))


def segments(case: int) -> dict[int, int]:
    """The cut segments on all six faces, each as {edge it starts at: edge it ends at}."""
    following = {}
    for face in FACES:
        inside = [case >> corner & 1 for corner in face]
        for start in range(4):
            if inside[start] or not inside[(start + 1) % 4]:
                continue
            entered = edge_between(face[start], face[(start + 1) % 4])
            last = (start + 1) % 4
            while inside[(last + 1) % 4]:
                last = (last + 1) % 4
            left = edge_between(face[last], face[(last + 1) % 4])
            following[left] = entered
    return following


def loops(case: int) -> list[list[int]]:
    """The closed loops of crossings, each starting at its lowest edge."""
    following = segments(case)
    found = []
    while following:
        edge = min(following)
        loop = []
        while edge in following:
            loop.append(edge)
            edge = following.pop(edge)
        found.append(loop)
    return found


def faces_of(edge: int) -> set[int]:
    """The faces of the cell that an edge lies in."""
    return {
        number
        for number, face in enumerate(FACES)
        if edge in {edge_between(face[i], face[(i + 1) % 4]) for i in range(4)}
    }


def fan(loop: list[int]) -> list[tuple[int, int, int]]:
    """Triangles that fill a loop, none of their diagonals lying in a face of the cell."""
    for start in range(len(loop)):
        apex, *rest = loop[start:] + loop[:start]
        if all(not faces_of(apex) & faces_of(edge) for edge in rest[1:-1]):
            return [(apex, a, b) for a, b in itertools.pairwise(rest)]
    raise AssertionError(f"no fan of {loop} keeps its diagonals inside the cell")


def triangles(case: int) -> list[tuple[int, int, int]]:
    """The triangles of a case as edge numbers, counter-clockwise seen from the inside."""
    return [triangle for loop in loops(case) for triangle in fan(loop)]


def word(case: int) -> int:
    """A case in 64 bits: edge numbers from the lowest nibble up, the number of triangles in the top one."""
    result = 0
    listed = triangles(case)
    if len(listed) > MAX_TRIANGLES:
        raise AssertionError(f"case {case} needs {len(listed)} triangles")
    for position, edge in enumerate(edge for triangle in listed for edge in triangle):
        result |= edge << (4 * position)
    return result | len(listed) << 60


def render() -> str:
    """The text of the header."""
    lines = [
        "// Written by tools/make_tables.py, which explains it. Do not edit; run the script.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        '#include "portable.h"',
        "",
        "namespace torchmcubes {",
        "",
        "// One word a case: nibbles 0 to 14 are the edges of up to five triangles, nibble 15 is their number.",
        "PORT_TABLE std::uint64_t kCases[256] = {",
    ]
    words = [f"0x{word(case):016x}," for case in range(256)]
    lines += ["    " + " ".join(words[i : i + 4]) for i in range(0, 256, 4)]
    lines += ["};", "", "}  // namespace torchmcubes", ""]
    return "\n".join(lines)


def main() -> int:
    """Do what the command line asks; gives the exit status."""
    parser = argparse.ArgumentParser(description="Write src/case_tables.h, or check that it is current.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the header is stale")
    text = render()
    if not parser.parse_args().check:
        HEADER.write_text(text, encoding="utf-8")
        return 0
    if HEADER.is_file() and HEADER.read_text(encoding="utf-8") == text:
        return 0
    print(f"{HEADER} is stale: run {Path(__file__).name}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
