"""The Model Context Protocol: collections as tools for language models."""
