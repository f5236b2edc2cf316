"""Bills of materials by the schema of their standard."""

from __future__ import annotations


def faults_of_bill(text: str) -> object:
    """Say what is wrong with a bill of materials in JSON; None where nothing is."""
    # Every process that runs tests imports all of them, and these take two seconds to import.
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
