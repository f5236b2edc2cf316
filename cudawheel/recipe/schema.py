"""The JSON Schema of recipes, for editors; generated from the model and checked in as recipes/recipe.schema.json."""

from __future__ import annotations

import json

from cudawheel.recipe.recipe import Recipe


def json_schema() -> str:
    """Give the schema as text, stable from run to run."""
    schema = Recipe.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cudawheel recipe"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
