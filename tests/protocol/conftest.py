from tests.listening import listener, make_listener

__all__ = ["listener", "make_listener"]
