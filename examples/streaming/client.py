"""Chat with the program by OpenAI's client: ``pip install openai``."""

import sys

from openai import OpenAI

port = sys.argv[1] if len(sys.argv) > 1 else "8080"
client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
messages = [{"role": "user", "content": "The"}]

with client.chat.completions.create(
    model="words", messages=messages, max_tokens=4, stream=True
) as stream:
    for chunk in stream:
        print(chunk.choices[0].delta.content or "\n", end="", flush=True)  # noqa: T201

whole = client.chat.completions.create(model="words", messages=messages, max_tokens=4)
print(whole.choices[0].message.content)  # noqa: T201
