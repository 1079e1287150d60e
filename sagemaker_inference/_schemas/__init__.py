"""What a program takes and returns, by its type hints: JSON Schema, OpenAPI, samples."""
