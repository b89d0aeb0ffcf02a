"""The pages. Each module is one chapter of the console, as a Flask blueprint."""
