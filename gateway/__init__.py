"""The half that receives, remembers and shows. It never imports workers and knows no broker client."""

__version__ = "0.1.0"
