"""Flow files as they are named on a command line."""

from typing import Any

import attrs
from vs_config import load_config, parse_toml
from vs_config.schema import TAG

from vs_data.flow import FlowFilesConfig
from vs_data.words import differing, in_one_line


@attrs.frozen(kw_only=True)
class _Teacher:
    flow: FlowFilesConfig


def flow_word(config: FlowFilesConfig) -> str:
    """Write flow files in a word: their kind, or where kind and folder do not say all, a table."""
    usual = FlowFilesConfig(folder=config.folder)
    return FlowFilesConfig.kind if config == usual else in_one_line(said_of_flow(config))


def said_of_flow(config: FlowFilesConfig) -> dict[str, Any]:
    """Return what a document has to say of flow files: their kind, and what is not as usual."""
    return differing(config, FlowFilesConfig(), (TAG,))


def flow_in_word(word: str) -> FlowFilesConfig | None:
    """Read flow files from a table of TOML: `{kind = "files", direction = "forward"}`. None: the word is no table.

    Raises:
        ConfigError: It is no table of flow files.
    """
    return load_config(_Teacher, parse_toml(f"flow = {word}", word)).flow if word.startswith("{") else None
