"""Dial a number into the example: python examples/bidirectional/client.py 2368 [PORT]."""

import json
import sys
from pathlib import Path

import numpy as np
from websockets.sync.client import connect

RATE, CHUNK = 8000, 400
PATH = "/invocations-bidirectional-stream"


def audio_of(number):
    """The tones of a number: 100 ms each, with 60 ms of silence between them."""
    keys = json.loads((Path(__file__).parent / "model" / "keys.json").read_text())
    times = np.arange(RATE // 10) / RATE
    silence = np.zeros(RATE * 6 // 100)
    tones = [0.4 * np.sin(2 * np.pi * np.outer(keys[key], times)).sum(axis=0) for key in number]
    pieces = [piece for tone in tones for piece in (tone, silence)]
    return (np.concatenate(pieces) * 32767).astype("<i2").tobytes()


def transcribe(number, port=8080):
    """Send the audio chunk by chunk; the messages that come back."""
    audio = audio_of(number)
    with connect(f"ws://127.0.0.1:{port}{PATH}", compression=None) as connection:
        for start in range(0, len(audio), CHUNK):
            connection.send(audio[start : start + CHUNK])
        connection.send(b"")
        return list(connection)


if __name__ == "__main__":
    sys.stdout.write("\n".join([*transcribe(sys.argv[1], *map(int, sys.argv[2:])), ""]))
