"""Tags of the resources of the control plane.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Fields = dict[str, Any]

_MOST: Final = 50


class Tags:
    """Answers the operations of tags.

    Attributes:
        operations: by name.
    """

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}
        self.operations: Mapping[str, Callable[[Fields], Fields]] = {
            "AddTags": self._add,
            "ListTags": self._list,
            "DeleteTags": self._delete,
        }

    def created(self, arn: str, fields: Fields) -> None:
        """Keep the tags that a resource has been created with."""
        self._tags[arn] = _read(fields)

    def deleted(self, arn: str) -> None:
        """Forget those of a resource that has been deleted."""
        del self._tags[arn]

    def _of(self, fields: Fields) -> dict[str, str]:
        arn = fields["ResourceArn"]
        if arn not in self._tags:
            message = f'Could not find resource "{arn}".'
            raise errors.invalid(message)
        return self._tags[arn]

    def _add(self, fields: Fields) -> Fields:
        tags = self._of(fields)
        new = tags | _read(fields)
        if len(new) > _MOST:
            message = f"A resource has at most {_MOST} tags; it would have {len(new)}."
            raise errors.invalid(message)
        tags.update(new)
        return self._list(fields)

    def _list(self, fields: Fields) -> Fields:
        # All of them are the smallest page, too.
        tags = self._of(fields)
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete(self, fields: Fields) -> Fields:
        tags = self._of(fields)
        for key in fields["TagKeys"]:
            tags.pop(key, None)
        return {}


def _read(fields: Fields) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in fields.get("Tags", ())}
