"""The supervisor: starts workers and the front end, watches and replaces them, ends them."""
