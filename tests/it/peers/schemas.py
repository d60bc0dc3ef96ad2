"""Messages of the fleet's channel against their schemas: SCHEMAS (a JSON object, a schema each) on a first line of the standard
input, then a line for each message: the schema's name, a tab, the message."""

import json
import sys

import jsonschema

schemas = json.loads(sys.stdin.readline())
validators = {}
for name, schema in schemas.items():
    jsonschema.Draft202012Validator.check_schema(schema)
    validators[name] = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
count, wrong = 0, 0
for line in sys.stdin:
    name, text = line.rstrip("\n").split("\t", 1)
    count += 1
    for error in validators[name].iter_errors(json.loads(text)):
        wrong += 1
        print(f"{name}: {error.json_path}: {error.message}\n  {text}")
print(f"{count} messages, {wrong} errors")
sys.exit(1 if wrong else 0)
