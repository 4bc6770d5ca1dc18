"""OpenAPI 3.1 rewritten as 3.0."""

from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from serve.openapi import openapi_document


class Inner(BaseModel):
    kind: Literal["only"]


class Outer(BaseModel):
    plain: int | None = None
    several: int | str | None = None
    model: Inner | None = None
    above: Annotated[float, Field(gt=1, lt=2)]


def test_what_only_3_1_knows_is_rewritten() -> None:
    app = FastAPI()

    @app.get("/")
    async def _get() -> Outer:
        raise NotImplementedError

    schemas = openapi_document(app)["components"]["schemas"]
    assert schemas["Inner"]["properties"]["kind"]["enum"] == ["only"]
    properties = schemas["Outer"]["properties"]
    assert properties["plain"] == {"type": "integer", "nullable": True, "title": "Plain"}
    assert properties["several"] == {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "nullable": True,
        "title": "Several",
    }
    assert properties["model"] == {"allOf": [{"$ref": "#/components/schemas/Inner"}], "nullable": True}
    assert properties["above"] == {
        "type": "number",
        "minimum": 1.0,
        "exclusiveMinimum": True,
        "maximum": 2.0,
        "exclusiveMaximum": True,
        "title": "Above",
    }
