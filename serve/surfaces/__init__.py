"""The API families. They share services and core values, and never import each other."""
