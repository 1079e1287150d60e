"""Pages of resources, as the operations List... of the control plane give them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListEndpoints.html
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    Fields = dict[str, Any]

# What the API's documentation says of ListEndpoints and ListTransformJobs.
_PAGE: Final = 10
_TIMES: Final = ("CreationTime", "LastModifiedTime")


def page(
    records: Iterable[Fields], asked: Fields, noun: str, member: str, more: Iterable[str] = ()
) -> Fields:
    """A page of summaries, and the token of the next one where there is one.

    Args:
        records: all resources, as they are described.
        asked: the members of the request: filters, order, the size of the page, a token.
        noun: the kind of the resources, as in ``{noun}Name``.
        member: what the list of summaries is called.
        more: members of a summary besides name, ARN and the time of creation.

    Returns:
        The members of the response: the list, and perhaps ``NextToken``.

    Raises:
        PlatformError: the token is not one of an earlier page.
    """
    name = f"{noun}Name"
    by = asked.get("SortBy", _TIMES[0])
    ordering = by if by in _TIMES else f"{noun}{by}"

    def position(record: Fields) -> list[Any]:
        # Names are unique, and times are not.
        return [record[ordering], record[name]]

    is_descending = asked.get("SortOrder", "Descending") == "Descending"
    found = sorted(
        (record for record in records if _is_asked_for(record, asked, noun)),
        key=position,
        reverse=is_descending,
    )
    if "NextToken" in asked:
        last = _position(asked["NextToken"], float if by in _TIMES else str)
        # Not a number of resources to leave out: some may have been deleted since.
        found = [
            record
            for record in found
            if (position(record) < last if is_descending else position(record) > last)
        ]
    size = asked.get("MaxResults", _PAGE)
    kept = (name, f"{noun}Arn", _TIMES[0], *more)
    answer: Fields = {
        member: [{each: record[each] for each in kept if each in record} for record in found[:size]]
    }
    if len(found) > size:
        token = json.dumps(position(found[size - 1])).encode()
        answer["NextToken"] = base64.urlsafe_b64encode(token).decode()
    return answer


def _is_asked_for(record: Fields, asked: Fields, noun: str) -> bool:
    for time in _TIMES:
        after, before = asked.get(f"{time}After"), asked.get(f"{time}Before")
        if after is not None and record[time] < after:
            return False
        if before is not None and record[time] >= before:
            return False
    status = record.get(f"{noun}Status")
    return (
        asked.get("NameContains", "") in record[f"{noun}Name"]
        and asked.get("StatusEquals", status) == status
    )


def _position(token: str, kind: type) -> list[Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
        value, name = found
        if isinstance(value, kind) and isinstance(name, str):
            return [value, name]
    except (ValueError, TypeError, RecursionError):
        pass
    message = "The value of NextToken is not one that an earlier page has returned."
    raise errors.invalid(message)
