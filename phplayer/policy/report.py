"""The document that ``phplayer verify --json`` prints. Its schema ships as ``verify.schema.json`` beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from phplayer.policy import RULES

SCHEMA_FILE = Path(__file__).resolve().parent / "verify.schema.json"


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the document."""


class FindingDocument(_Struct, frozen=True, kw_only=True):
    """Something that live Lambda, or who publishes the layer, would trip over."""

    name: str
    severity: Literal["error", "warning", "note"]
    file: str
    message: str
    remedy: str
    symbols: tuple[str, ...]
    allowed: bool


class LayerDocument(_Struct, frozen=True, kw_only=True):
    """A layer and what it takes, in bytes; ``zipped`` is null for a folder."""

    name: str
    zipped: int | None
    unpacked: int
    files: int


class CountDocument(_Struct, frozen=True, kw_only=True):
    """How many findings there are that were not allowed."""

    error: int
    warning: int
    note: int


class ErrorDocument(_Struct, frozen=True, kw_only=True):
    """Why the command ended with another exit code than 0."""

    message: str
    remedy: str
    exit_code: int
    log: str | None
    details: tuple[str, ...]


class VerifyDocument(_Struct, frozen=True, kw_only=True):
    """What ``phplayer verify --json`` prints of a layer that could be read."""

    schema_version: Literal[1]
    subject: str
    kind: Literal["zip", "folder", "layer-version"]
    target: str
    architecture: Literal["x86_64", "arm64"]
    layer: LayerDocument
    before: tuple[LayerDocument, ...]
    others: tuple[LayerDocument, ...]
    fit: bool
    counts: CountDocument
    findings: tuple[FindingDocument, ...]
    error: ErrorDocument | None = None


def schema() -> str:
    """Return the JSON schema of the document: the types above, and the names of all rules."""
    (reference,), components = msgspec.json.schema_components((VerifyDocument,), ref_template="#/$defs/{name}")
    components["FindingDocument"]["properties"]["name"]["enum"] = [rule.name for rule in RULES]
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "phplayer verify --json",
        **reference,
        "$defs": components,
    }
    return json.dumps(document, indent=2) + "\n"
