"""Runs ingestion jobs and fetches the URLs of projects, from what the catalog says is due. Knows no Ray."""
