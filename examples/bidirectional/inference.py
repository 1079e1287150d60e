"""Transcribe touch tones while the audio arrives: a WebSocket in, text out.

A caller sends chunks of audio as binary messages, 16-bit samples at 8 kHz, and gets each key as
soon as its tone has ended. The "model" is the table of frequencies of a telephone's keys.
"""

import json
from pathlib import Path

import numpy as np

from sagemaker_inference import bidirectional, model_loader, predictor, serve
from sagemaker_inference.errors import BadRequestError

RATE = 8000
# A piece of audio that is looked at: 20 ms, which both tones of a key pass through.
WINDOW = 160
LOUD = 0.02


class Listener:
    """Hears keys in audio that comes piece by piece."""

    def __init__(self, keys):
        self.keys = keys
        self.rest = np.empty(0)
        self.heard = ""
        self.tones = np.array(sorted({tone for pair in keys.values() for tone in pair}))
        times = np.arange(WINDOW) / RATE
        self.waves = np.exp(-2j * np.pi * self.tones[:, None] * times)

    def hear(self, samples):
        """Return the keys whose tones have ended in these samples."""
        self.rest = np.concatenate([self.rest, samples])
        ended = []
        while len(self.rest) >= WINDOW:
            window, self.rest = self.rest[:WINDOW], self.rest[WINDOW:]
            key = self.key_of(window)
            if self.heard and key != self.heard:
                ended.append(self.heard)
            self.heard = key
        return ended

    def key_of(self, window):
        power = np.abs(self.waves @ window) / WINDOW
        if power.max() < LOUD:
            return ""
        low, high = np.sort(self.tones[np.argsort(power)[-2:]])
        pairs = {tuple(pair): key for key, pair in self.keys.items()}
        return pairs.get((low, high), "")

    def end(self):
        """Return the key whose tone goes on at the end."""
        heard, self.heard = self.heard, ""
        return [heard] if heard else []


def samples_of(message):
    if isinstance(message, str) or len(message) % 2:
        message = "Send audio as binary messages: 16-bit samples at 8 kHz"
        raise BadRequestError(message)
    return np.frombuffer(message, "<i2") / 32768


@model_loader
def load(model_dir):
    return json.loads((Path(model_dir) / "keys.json").read_text())


@predictor
async def predict(data, keys):
    """All of the audio in one request, for those who need no answers before its end."""
    listener = Listener(keys)
    return "".join(listener.hear(np.asarray(data, float)) + listener.end())


@bidirectional
async def transcribe(messages, keys):
    listener, text = Listener(keys), ""
    async for message in messages:
        # An empty message says that the audio is over.
        ended = listener.hear(samples_of(message)) if message else listener.end()
        for key in ended:
            text += key
            yield json.dumps({"key": key, "text": text})
        if not message:
            yield json.dumps({"final": text})
            return


serve(__name__)
