"""The HTTP side: services, API families, authentication. Ray's module is spelled ray.serve in full."""
