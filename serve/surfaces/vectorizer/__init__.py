"""The Vectorizer REST API, under /api/v1."""
