"""Mosec: formats by hand, its own batching.

A worker is not told the Content-Type, so it looks at the first bytes.
"""

import sys

import by_hand
import numpy as np
import task
from mosec import Server, Worker


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
        if task.MODE == "plain":
            return task.predict(data)
        if task.MODE == "slow":
            return task.predict_slowly(data)
        return list(task.predict_slowly(np.stack(data)))

    def serialize(self, data):
        return bytes(by_hand.encode(data, self.format))


if __name__ == "__main__":
    sys.argv[1:] = ["--address", task.HOST, "--port", str(task.PORT)]
    server = Server()
    size = task.MAX_BATCH if task.MODE == "batched" else 1
    # The shortest wait that it takes, in milliseconds: its default of 10 would double each answer.
    server.append_worker(Double, num=1, max_batch_size=size, max_wait_time=1, route="/invocations")
    server.run()
