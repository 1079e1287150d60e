"""Models, endpoint configurations and endpoints, by name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from sagemaker_inference._emulator.identity import Identity
    from sagemaker_inference._emulator.tags import Tags

    Fields = dict[str, Any]


class Resources:
    """The resources of one kind.

    Args:
        identity: the account.
        tags: those of all resources.
        noun: what operations call one.
        arn: what its ARN does.
        words: what errors do.
        is_case_sensitive: whether two names may differ in case alone.

    Attributes:
        records: by name, what each is.
    """

    def __init__(  # noqa: PLR0913 - the last one by name
        self,
        identity: Identity,
        tags: Tags,
        noun: str,
        arn: str,
        words: str,
        *,
        is_case_sensitive: bool = True,
    ) -> None:
        self.noun = noun
        self.records: dict[str, Fields] = {}
        self._identity = identity
        self._tags = tags
        self._key = str if is_case_sensitive else str.lower
        self._arn_kind = arn
        self._words = words
        self._name_field = f"{noun}Name"
        self._arn_field = f"{noun}Arn"

    def create(self, fields: Fields) -> Fields:
        """Create one, and answer with its ARN.

        Args:
            fields: what it is, with its name.

        Raises:
            PlatformError: there is one of this name.
        """
        name = fields[self._name_field]
        arn = self._arn(name)
        if self._key(name) in map(self._key, self.records):
            message = f'Cannot create already existing {self._words} "{arn}".'
            raise errors.invalid(message)
        kept = {member: value for member, value in fields.items() if member != "Tags"}
        self.records[name] = {**kept, self._arn_field: arn, "CreationTime": time.time()}
        self._tags.created(arn, fields)
        return {self._arn_field: arn}

    def describe(self, fields: Fields) -> Fields:
        """What one is.

        Args:
            fields: with its name.

        Raises:
            PlatformError: there is none of this name.
        """
        name = fields[self._name_field]
        if name not in self.records:
            message = f'Could not find {self._words} "{self._arn(name)}".'
            raise errors.invalid(message)
        return self.records[name]

    def delete(self, fields: Fields) -> Fields:
        """Delete one.

        Args:
            fields: with its name.

        Raises:
            PlatformError: there is none of this name.
        """
        self._tags.deleted(self.describe(fields)[self._arn_field])
        del self.records[fields[self._name_field]]
        return {}

    def _arn(self, name: str) -> str:
        return self._identity.arn(self._arn_kind, name)
