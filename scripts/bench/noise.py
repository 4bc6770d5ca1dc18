"""Marks a measurement during which other processes used the machine."""

from dataclasses import replace

from scripts.bench.measurement import Measurement

# Others that use less than this hardly matter.
QUIET_CORES = 0.1


def with_noise(found: Measurement, others: float) -> Measurement:
    """The measurement with how many cores others used meanwhile; with a note when that matters."""
    found = replace(found, details={**found.details, "cores_used_by_others": round(others, 2)})
    if others < QUIET_CORES:
        return found
    return replace(found, notes=(*found.notes, f"NOISY: other processes used {others:.1f} cores meanwhile"))
