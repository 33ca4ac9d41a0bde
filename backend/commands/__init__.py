"""One file per command of `tanhui`; each gives `register(app)` and keeps its imports inside."""
