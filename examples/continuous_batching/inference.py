"""Continuous batching: one engine steps all open streams together.

Requests join and leave at any step. The engine stands for vLLM, SGLang or TensorRT-LLM: it has a
queue for each text, and predicts the next word of all of them in one call. The model is a table of
the words that may follow a word.
"""

import asyncio
import json
from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve


class Engine:
    """Continues many texts at once."""

    def __init__(self, table):
        self._table = table
        self._texts = {}
        self._stepping = None

    async def generate(self, prompt, max_words):
        """The words that follow, one by one; who stops reading leaves the batch."""
        words = asyncio.Queue()
        self._texts[words] = [prompt.lower().split()[-1], max_words]
        if self._stepping is None:
            self._stepping = asyncio.create_task(self._step_until_done())
        try:
            while (word := await words.get()) is not None:
                yield word
        finally:
            self._texts.pop(words, None)

    async def _step_until_done(self):
        while self._texts:
            batch = dict(self._texts)
            last_words = [word for word, _ in batch.values()]
            # In a thread, as a call of a GPU: meanwhile requests come, and words are sent.
            next_words = await asyncio.to_thread(self._predict, last_words)
            for (queue, text), word in zip(batch.items(), next_words, strict=True):
                text[:] = [word, text[1] - 1]
                if word is not None:
                    queue.put_nowait({"text": word, "batch": len(batch)})
                if word is None or text[1] <= 0:
                    queue.put_nowait(None)
                    self._texts.pop(queue, None)
        self._stepping = None

    def _predict(self, words):
        return [next(iter(self._table.get(word, ())), None) for word in words]


@model_loader
def load(model_dir):
    return Engine(json.loads(Path(model_dir, "next.json").read_text()))


@predictor(max_concurrency=64)
async def generate(data: dict, engine):
    async for word in engine.generate(data["prompt"], data.get("max_words", 8)):
        yield word


serve(__name__)
