"""AWS's toolkit and Multi Model Server's Python side, spelled as existing containers spell them."""
