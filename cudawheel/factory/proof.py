"""From the wheel that a backend made to one that is named, tagged, pinned and proven."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.platform_tag import find_platform_tag
from cudawheel.audit.report import audit
from cudawheel.builder.build import BuiltWheel, Workplace
from cudawheel.builder.sources import FetchedSource
from cudawheel.factory.import_check import import_in_clean_environment
from cudawheel.model.progress import Progress
from cudawheel.model.variant import Variant
from cudawheel.model.wheel_name import local_version
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.wheel.rewrite import Changes, rewrite


def prove(
    loaded: LoadedRecipe,
    settings: BuildSettings,
    variant: Variant,
    fetched: FetchedSource,
    built: BuiltWheel,
    place: Workplace,
    progress: Progress,
) -> tuple[Path, dict[str, Any]]:
    """Name the wheel, audit it and import it; give its path and what was found, as a build record says it.

    Raises:
        WheelError: the backend's wheel cannot be read.
        AuditError: the wheel is not what was planned, or does not import.
        InstallError: the wheel and its requirements do not install together.
    """
    progress.phase("naming")
    allowed = loaded.recipe.wheel.external_libraries
    platform = find_platform_tag(built.wheel, allowed_libraries=allowed)
    folder = place.work / "proven"
    folder.mkdir()
    wheel = rewrite(built.wheel, folder, _changes(loaded, variant, fetched, platform.tag))
    progress.phase("audit")
    expectation = Expectation(
        torch=variant.torch,
        abi=settings.abi,
        capabilities=variant.capabilities,
        cuda_required=settings.cuda == "required",
        allowed_libraries=allowed,
        torch_libraries=_library_folders(built.environment.site_packages),
    )
    report = audit(wheel, expectation)
    report.require_ok()
    progress.phase("import", ", ".join(loaded.recipe.wheel.imports))
    imported = import_in_clean_environment(
        wheel,
        loaded.recipe.wheel.imports,
        interpreter=built.environment.python,
        torch=built.environment.version_of("torch"),
        log=place.log,
    )
    return wheel, {**report.to_dict(), "imported": imported}


def _changes(loaded: LoadedRecipe, variant: Variant, fetched: FetchedSource, platform: str) -> Changes:
    fallback = fetched.source.label if loaded.recipe.is_fallback(fetched.source) else ""
    origin = {
        "recipe": loaded.path.name,
        "source": fetched.source.label,
        "source_identity": fetched.identity,
        "fallback": bool(fallback),
        "variant": variant.identifier,
        "capabilities": [str(gencode) for gencode in variant.capabilities.gencodes()],
    }
    return Changes(
        local_version=local_version(cuda=variant.cuda, torch=variant.torch, abi=variant.abi, fallback=fallback),
        requirements=(variant.abi.requirement(variant.torch),),
        headers=(("Keywords", f"cudawheel,source-{fetched.source.label}"),) if fallback else (),
        files={"cudawheel.json": (json.dumps(origin, indent=2, sort_keys=True) + "\n").encode()},
        platform=platform,
    )


def _library_folders(site_packages: Path) -> tuple[Path, ...]:
    return tuple(
        folder
        for folder in (site_packages / "torch" / "lib", *sorted(site_packages.glob("nvidia/*/lib")))
        if folder.is_dir()
    )
