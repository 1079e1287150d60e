"""The rules of `sagemaker-inference check`, by what they look at."""
