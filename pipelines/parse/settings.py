"""The settings of parsing."""

from pydantic import BaseModel, ConfigDict, Field

from pipelines.parse.document import ParseLimits


class ParseSettings(BaseModel):
    """What reading one document may cost, and how many are read at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(
        default=2,
        ge=1,
        le=256,
        description="Documents that one worker reads at once, each in a process of its own.",
    )
    timeout_s: float = Field(
        default=120.0,
        ge=0.1,
        le=3600.0,
        description="Seconds. A document that takes longer to read fails.",
    )
    max_cpu_s: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="Seconds of CPU time. A document that takes more to read fails.",
    )
    max_memory_bytes: int = Field(
        default=2**30,
        ge=256 * 2**20,
        le=64 * 2**30,
        description="Bytes of address space of a process that reads documents, its own start included. A "
        "document that needs more fails.",
    )
    max_chars: int = Field(
        default=20_000_000,
        ge=1000,
        le=1_000_000_000,
        description="Characters of text. A document with more fails.",
    )
    max_pdf_pages: int = Field(
        default=2000,
        ge=1,
        le=100_000,
        description="Pages. A PDF with more fails.",
    )
    max_json_depth: int = Field(
        default=100,
        ge=1,
        le=500,
        description="Levels. A JSON document nested deeper fails.",
    )
    max_unpacked_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        le=16 * 2**30,
        description="Bytes. A Word document that unpacks to more fails.",
    )

    @property
    def limits(self) -> ParseLimits:
        """What the parsers themselves look after."""
        return ParseLimits(
            max_chars=self.max_chars,
            max_depth=self.max_json_depth,
            max_pdf_pages=self.max_pdf_pages,
            max_unpacked_bytes=self.max_unpacked_bytes,
        )
