"""Models, endpoint configurations and endpoints, by name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from sagemaker_inference._emulator.identity import Identity

    Fields = dict[str, Any]


class Resources:
    """The resources of one kind.

    Args:
        identity: the account.
        noun: what operations call one.
        arn: what its ARN does.
        words: what errors do.

    Attributes:
        records: by name, what each is.
    """

    def __init__(self, identity: Identity, noun: str, arn: str, words: str) -> None:
        self.noun = noun
        self.records: dict[str, Fields] = {}
        self._identity = identity
        self._arn_kind = arn
        self._words = words
        self._name_field = f"{noun}Name"
        self._arn_field = f"{noun}Arn"

    def create(self, fields: Fields) -> Fields:
        """Create one, and answer with its ARN.

        Args:
            fields: what it is, with its name.

        Raises:
            PlatformError: there is one of this name; case does not matter.
        """
        name = fields[self._name_field]
        arn = self._arn(name)
        if name.lower() in map(str.lower, self.records):
            message = f'Cannot create already existing {self._words} "{arn}".'
            raise errors.invalid(message)
        now = time.time()
        kept = {member: value for member, value in fields.items() if member != "Tags"}
        times = {"CreationTime": now, "LastModifiedTime": now}
        self.records[name] = {**kept, self._arn_field: arn, **times}
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
        self.describe(fields)
        del self.records[fields[self._name_field]]
        return {}

    def _arn(self, name: str) -> str:
        return self._identity.arn(self._arn_kind, name)
