"""Plain tools without business. Each module here is a root of its own: import from it directly."""
