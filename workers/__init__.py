"""The half that makes and delivers: sweep, wrap, summarise, send, confirm."""
