"""Requests, responses, the context, content codings and forms."""
