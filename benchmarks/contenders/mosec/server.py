"""Mosec: formats by hand, its own batching.

A worker is not told the Content-Type, so it looks at the first bytes.
"""

import sys

import by_hand
import numpy as np
import task
from mosec import Runtime, Server, SSEWorker, Worker

if task.MODE == "encoder":
    import encoder


class Double(Worker):
    def deserialize(self, data):
        if data[:6] == b"\x93NUMPY":
            self.format = task.NPY
        elif data[:1] == b"[":
            self.format = task.JSON
        else:
            self.format = task.BYTES if data[:1] == b"\0" else task.CSV
        return by_hand.decode(data, self.format)

    def forward(self, data):
        if task.IS_QUICK:
            return task.predict(data)
        if task.MODE in task.BATCHES:
            return task.predict_together(data)
        return task.predict_slowly(data)

    def serialize(self, data):
        return bytes(by_hand.encode(data, self.format))


class Encode(Worker):
    def __init__(self):
        self.model = encoder.load()

    def deserialize(self, data):
        return by_hand.decode_tokens(data)

    def forward(self, data):
        task.count(len(data))
        return np.split(encoder.predict(self.model, np.concatenate(data)), len(data))

    def serialize(self, data):
        return by_hand.encode(data, task.JSON)


class Stream(SSEWorker):
    """Its own way to stream to several clients: a batch of them."""

    def deserialize(self, data):
        return by_hand.decode(data, task.JSON)

    def forward(self, data):
        for item in task.ITEMS:
            for index in range(len(data)):
                self.send_stream_event(item, index=index)
        return data


if __name__ == "__main__":
    sys.argv[1:] = ["--address", task.HOST, "--port", str(task.PORT)]
    server = Server()
    size = task.MAX_BATCH if task.MODE in {*task.BATCHES, "stream"} else 1
    worker = {"stream": Stream, "encoder": Encode}.get(task.MODE, Double)
    # In milliseconds. The shortest that it takes: its default of 10 would double each answer. On a
    # GPU, about as long as a batch takes there.
    wait = 5 if task.MODE == "encoder" else 1
    names = task.MODELS if task.MODE == "many" else []
    routes = [f"/models/{name}/invoke" for name in names] or ["/invocations"]
    server.register_runtime(
        {
            route: [Runtime(worker, num=1, max_batch_size=size, max_wait_time=wait)]
            for route in routes
        }
    )
    server.run()
