"""Vectoray: ingest documents and vectors on a Ray cluster, search them over REST."""

__version__ = "0.1.0"
