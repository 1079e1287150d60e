"""Guess a number, in several requests: the worker remembers what a client has guessed."""

import logging
from pathlib import Path

from sagemaker_inference import errors, model_loader, predictor, serve, session_end, session_start

logger = logging.getLogger(__name__)


@model_loader
def load(model_dir):
    return int(Path(model_dir, "secret.txt").read_text())


@session_start
def start():
    return {"guesses": []}


@predictor
def guess(data: dict, secret, context):
    if context.session is None:
        message = "Begin with X-Amzn-SageMaker-Session-Id: NEW_SESSION."
        raise errors.BadRequestError(message)
    guesses = context.session.state["guesses"]
    guesses.append(data["guess"])
    if data["guess"] == secret:
        context.session.close()
        return {"found": secret, "guesses": guesses}
    return {"hint": "higher" if data["guess"] < secret else "lower", "guesses": guesses}


@session_end
def end(state):
    logger.info("a session ends after %d guesses", len(state["guesses"]))


serve(__name__)
