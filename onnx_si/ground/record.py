"""Frozen records that are read by key as well, as the documents that they are a part of."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar


class Record(Mapping[str, Any]):
    """Base of frozen dataclasses whose fields are also keys, in their order."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __getitem__(self, key: str) -> Any:
        if key not in self.__dataclass_fields__:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in fields(self))

    def __len__(self) -> int:
        return len(fields(self))
