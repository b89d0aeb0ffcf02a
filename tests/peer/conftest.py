from tests.archives import archive
from tests.listening import listener, make_listener

__all__ = ["archive", "listener", "make_listener"]
