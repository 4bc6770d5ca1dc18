"""Ready vectors: tables of ids, vectors and whatever belongs to them, on their way into a collection."""
