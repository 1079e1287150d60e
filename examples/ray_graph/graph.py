"""Two programs as one application of Ray Serve: texts to vectors, vectors to topics."""

from pathlib import Path

from ray import serve
from starlette.requests import Request

from sagemaker_inference.ray import deployment

HERE = Path(__file__).parent
# These programs need little, so that all of it runs on two CPUs.
SMALL = {"num_cpus": 0.5}


@serve.deployment(max_ongoing_requests=64, ray_actor_options=SMALL)
class Topics:
    def __init__(self, embed, classify):
        self.embed = embed
        self.classify = classify

    async def __call__(self, request: Request):
        texts = await request.json()
        # Not awaited: what the one predicts goes to the other without coming here.
        vectors = self.embed.predict.remote(texts, accept="application/x-npy")
        return await self.classify.predict.remote(vectors)


app = Topics.bind(
    deployment(HERE / "embed.py", num_replicas=2, http=False, ray_actor_options=SMALL),
    deployment(HERE / "classify.py", http=False, ray_actor_options=SMALL),
)
