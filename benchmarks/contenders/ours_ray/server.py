"""This project on Ray Serve: the program of ours, in one replica behind Ray's proxy."""

import pathlib

import on_ray
from sagemaker_inference.ray import deployment, run

PROGRAM = pathlib.Path(__file__).parent.parent / "ours" / "inference.py"


if __name__ == "__main__":
    options = {"num_cpus": 1}
    on_ray.serve_with(lambda: run(deployment(PROGRAM, model_dir=".", ray_actor_options=options)))
