"""Validates an OpenAPI document, and each example by its schema."""

import json
import sys

import jsonschema
from openapi_spec_validator import validate

with open(sys.argv[1]) as file:
    document = json.load(file)
validate(document)

examples = 0
for operations in document["paths"].values():
    for operation in operations.values():
        bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            schema = {**content["schema"], "components": document["components"]}
            jsonschema.validate(content["example"], schema)
            examples += 1
print(examples, "examples fit")
