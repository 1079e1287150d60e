"""SageMaker's platform in front of a container: its APIs, limits and errors, on this machine.

`application` is an ASGI application that boto3 takes for SageMaker; `server.serve` runs it. Nothing
here knows what the container is: it is a URL, and a process if it is to be stopped.

The rules of the platform are in docs/emulate.md, each with its source and its test. Signatures are
not checked.
"""
