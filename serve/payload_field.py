"""One payload on the wire, read into the bytes to store and the text that full-text search sees."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from serve.point_columns import encode_object, read_payload, text_of


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload to store.

    Attributes:
        document: A JSON object as UTF-8 bytes.
        text: What full-text search sees, or None.
    """

    document: bytes
    text: str | None


@dataclass(frozen=True, slots=True)
class PayloadField:
    """Annotates a `Payload` field. In OpenAPI it is an object.

    Attributes:
        name: Of the field.
        text: Keys of the payload that hold the text, in order of preference.
    """

    name: str
    text: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What was read already passes as it is; anything else is a JSON object."""
        return core_schema.no_info_wrap_validator_function(
            self._validate, handler.generate_schema(dict[str, Any])
        )

    def __call__(self, value: Any) -> tuple[Payload | None, int]:
        """Read a JSON object or null; a `serve.json_body.Reader`."""
        if value is None:
            return None, 0
        payload = Payload(*read_payload(value, self.text))
        return payload, payload.document.count(b"[")

    def _validate(self, value: Any, validate_object: ValidatorFunctionWrapHandler) -> Payload:
        if isinstance(value, Payload):
            return value
        document = validate_object(value)
        return Payload(encode_object(document, where=self.name), text_of(document, self.text))
