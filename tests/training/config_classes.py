"""Every configuration class below another."""

import typing
from collections.abc import Iterator
from typing import Any

from vs_config.schema import config_members, fields_of, members


def classes_below(kind: Any) -> Iterator[type]:
    for member in members(kind):
        for item in typing.get_args(member) if typing.get_origin(member) is tuple else ():
            yield from classes_below(item)
    for cls in config_members(kind).values():
        yield cls
        for field in fields_of(cls).values():
            yield from classes_below(field.type)
