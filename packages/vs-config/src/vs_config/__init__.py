"""How frozen configuration works: its fields, its files, what is said of what is wrong; and how programs say it."""

from vs_config.annotate import annotated
from vs_config.checks import Check, check_fields
from vs_config.documents import parse_json, parse_toml, read_json, read_text, read_toml
from vs_config.errors import ConfigError, DocumentError, Problem, refuse
from vs_config.fields import (
    REQUIRED,
    Range,
    choice,
    choices,
    numbers,
    pairs,
    path,
    real,
    table,
    tables,
    texts,
    truth,
    whole,
)
from vs_config.names import did_you_mean, nearest
from vs_config.options import option_number, option_path
from vs_config.overrides import COMMAND_LINE, apply_overrides, override_path, repeated
from vs_config.render import render_config
from vs_config.reporting import report_error
from vs_config.resolve import resolve_config
from vs_config.structure import load_config, to_document, with_current_names
from vs_config.text import show, shown

__version__ = "0.1.0"

__all__ = [
    "COMMAND_LINE",
    "REQUIRED",
    "Check",
    "ConfigError",
    "DocumentError",
    "Problem",
    "Range",
    "annotated",
    "apply_overrides",
    "check_fields",
    "choice",
    "choices",
    "did_you_mean",
    "load_config",
    "nearest",
    "numbers",
    "option_number",
    "option_path",
    "override_path",
    "pairs",
    "parse_json",
    "parse_toml",
    "path",
    "read_json",
    "read_text",
    "read_toml",
    "real",
    "refuse",
    "render_config",
    "repeated",
    "report_error",
    "resolve_config",
    "show",
    "shown",
    "table",
    "tables",
    "texts",
    "to_document",
    "truth",
    "whole",
    "with_current_names",
]
