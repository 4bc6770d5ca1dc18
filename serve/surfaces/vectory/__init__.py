"""The Vectory API, under /api."""
