"""Between the Vectory API's wire models and why documents are found, or not. Pure functions."""

from collections.abc import Sequence

from serve.service.explanation import Explanation
from serve.surfaces.vectory import explain_wire as wire


def explanation(collection_id: str, source: str, found: Sequence[Explanation]) -> wire.Explanation:
    """All that is called so."""
    return wire.Explanation(
        collection_id=collection_id, source=source, documents=[_document(one) for one in found]
    )


def _document(explained: Explanation) -> wire.ExplainedDocument:
    record = explained.record
    job = None if record is None else record.job
    ledger = None if record is None else record.document
    return wire.ExplainedDocument(
        source=explained.source,
        job_id=None if job is None else job.id,
        status=None if job is None else job.status.value,
        tries=0 if ledger is None else ledger.tries,
        worker=None if record is None else record.worker,
        chunks=explained.expected,
        steps=[
            wire.ExplainedStep(step=step.name.value, answer=step.answer.value, reason=step.reason, at=step.at)
            for step in explained.steps
        ],
        shards=[
            wire.ExplainedShard(
                shard=part.shard,
                chunks=part.chunks,
                newest_sequence=part.newest_seq,
                updated_at=part.updated_at,
            )
            for part in explained.shards
        ],
    )
