"""Continue a text word by word; each word is sent as soon as there is one.

The model is a table of the words that may follow a word. Its format is the client's choice: the
same generator answers with JSON Lines, server-sent events or one JSON array, and clients of
OpenAI's API chat with it.
"""

import json
import time
from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError


@model_loader
def load(model_dir):
    return json.loads(Path(model_dir, "next.json").read_text())


@predictor
def generate(data: dict, table):
    words = data["prompt"].lower().split()
    word = words[-1] if words else ""
    for index in range(data.get("max_words", 8)):
        followers = table.get(word)
        if not followers:
            return
        # A language model draws at random; this one takes turns.
        word = followers[index % len(followers)]
        yield {"index": index, "text": word}


@predictor("/v1/chat/completions")
def chat(data: dict, table, context):
    if not data.get("messages"):
        message = "messages: expected at least one"
        raise UnprocessableInputError(message)
    prompt = {"prompt": data["messages"][-1]["content"], "max_words": data.get("max_tokens", 8)}
    words = generate(prompt, table)
    head = {
        "id": f"chatcmpl-{context.request_id}",
        "created": int(time.time()),
        "model": data.get("model", ""),
    }
    if data.get("stream"):
        return chunks(words, head)
    text = " ".join(word["text"] for word in words)
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice]}


def chunks(words, head):
    head = {**head, "object": "chat.completion.chunk"}
    for word in words:
        delta = {"role": "assistant", "content": f"{word['text']} "}
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


serve(__name__)
