"""A user's program for this container; the framework loads the model."""

from sagemaker_inference import predictor


@predictor
def predict(texts, model):
    scores = [sum(model.get(word, 0) for word in text.split()) for text in texts]
    return ["positive" if score > 0 else "negative" for score in scores]
