"""The embedded installation of `tanhui demo`: processes, a sample city, and a tour through it."""
