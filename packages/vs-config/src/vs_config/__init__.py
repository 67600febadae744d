"""How what people configure is read, and how what they are told is written."""

from vs_config.checks import Check, ChecksError, check_fields, failures
from vs_config.documents import DocumentError, parse_json, parse_toml, read_json, read_text, read_toml
from vs_config.fields import (
    FieldError,
    Range,
    Validator,
    allowed,
    choice,
    one_of,
    path_problem,
    path_text,
    real,
    truth,
    whole,
)
from vs_config.options import option_number, option_path
from vs_config.reporting import report_error
from vs_config.text import show, shown

__version__ = "0.1.0"

__all__ = [
    "Check",
    "ChecksError",
    "DocumentError",
    "FieldError",
    "Range",
    "Validator",
    "allowed",
    "check_fields",
    "choice",
    "failures",
    "one_of",
    "option_number",
    "option_path",
    "parse_json",
    "parse_toml",
    "path_problem",
    "path_text",
    "read_json",
    "read_text",
    "read_toml",
    "real",
    "report_error",
    "show",
    "shown",
    "truth",
    "whole",
]
