"""The half that receives, remembers and shows. It never imports workers or celery."""

__version__ = "0.1.0"
