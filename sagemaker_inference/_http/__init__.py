"""Requests, responses, contexts, content codings and forms."""
