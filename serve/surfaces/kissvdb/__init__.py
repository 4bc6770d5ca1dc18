"""The kiss-vdb REST API, under /v1."""
