"""What supervisor, workers and front end exchange: bytes, shared memory, messages, descriptors."""
