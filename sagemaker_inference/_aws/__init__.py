"""Compatibility with AWS's toolkit and the Python side of Multi Model Server."""
