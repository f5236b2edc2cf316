"""Which image a variant is built in."""

from __future__ import annotations

from cudawheel.data import read_json
from cudawheel.errors import ContainerImageError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.toolchain import ToolchainKind


def image_for(cuda: CudaVersion, machine: str, toolchain: ToolchainKind) -> str:
    """Give the manylinux image with CUDA for a variant.

    With the toolkit out of the package index the image gives only glibc, the host compiler and the libraries of the
    same CUDA major version; nvcc is then exactly the one that torch was built with. With the image's own toolkit that
    has to be the release of the plan, since a driver that is as old as torch's CUDA compiles no PTX of a later one.

    Args:
        cuda: the release that torch was built with.
        machine: the processor, as `platform.machine()` writes it.
        toolchain: where nvcc comes from: `package`, or `system` for the image's own.

    Raises:
        ContainerImageError: no such image is known.
    """
    known = read_json("container_images")
    images = {CudaVersion.parse(name): image for name, image in known["images"].items()}
    if machine not in known["machines"] or toolchain == "redist":
        what = f"machines with {machine}" if machine not in known["machines"] else "--toolchain redist"
        raise ContainerImageError(
            f"no container image is known for {what}",
            why=f"known are CUDA {', '.join(map(str, images))} for {', '.join(known['machines'])}",
            remedy="Name one with --image, and take the toolkit from the package index or from the image.",
        )
    fitting = [own for own in images if own == cuda or (toolchain == "package" and own.major == cuda.major)]
    if not fitting:
        raise ContainerImageError(
            f"no container image is known that holds CUDA {cuda}",
            why=f"known are CUDA {', '.join(map(str, images))}",
            remedy="Take the toolkit from the package index with --toolchain package, or name an image with --image.",
        )
    return str(images[max(fitting)]).format(machine=machine)
