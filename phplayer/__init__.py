"""Build PHP runtime layers for AWS Lambda, publish them, and run functions on them."""

__version__ = "0.1.0"
