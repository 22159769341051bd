"""Models where they are used: hop by hop over audio that is still coming."""

from phonaut.deploy.streaming import StreamingModel, StreamState

__all__ = ["StreamState", "StreamingModel"]
