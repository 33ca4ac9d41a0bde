"""What can go wrong with the embedded server, as one sentence with the next step."""


class ServerError(RuntimeError):
    """The embedded server cannot be used; the text says why and what to do."""
