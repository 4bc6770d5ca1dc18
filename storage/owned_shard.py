"""A shard in its owner's hands: what is on disk, what is visible, and the one way to change both together."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage import files, shard
from storage.log import WriteLog
from storage.manifest import GenerationCounter, Manifest, manifest_path, publish_manifest
from storage.reader import write_dead_rows
from storage.recovery import recover
from storage.segment import Segment
from vectoray.core.errors import ShardLocked, Unavailable


class OwnedShard:
    """Held by one process at a time. What maintains it changes it in steps, see `step` and `publish`.

    Locks are taken in this order: `step`, the pause of commits, publish, `apply_lock`.

    Attributes:
        manifest: The current one.
        view: What reads see.
        log: Every write that is not yet in both segments and table.
        counter: Tells reader processes.
        apply_lock: Held while the view changes.
        announced_seq: Up to which write others have been told of what was written, from the log: what follows
            stays in it. None where nobody is told.
        broken: Whether an error left this owner unable to go on; what was acknowledged is safe.
    """

    def __init__(self, directory: Path) -> None:
        """Take the shard and bring it to the state of its last acknowledged write.

        Raises:
            ShardLocked: Another process owns it.
            CorruptData: What is left cannot give back every acknowledged write; nothing was changed.
            FileNotFoundError: There is no shard.
        """
        self.directory = directory
        self.spec = shard.read_spec(directory)
        self.broken = False
        self.announced_seq: int | None = None
        self._lock = files.FileLock(directory / shard.LOCK)
        self._released = False
        self._step_lock = threading.Lock()
        self._publish_lock = threading.Lock()
        self.apply_lock = threading.Lock()
        try:
            self.log = WriteLog(directory / shard.LOG)
            self.manifest, self.view = recover(directory, self.spec, self.log)
            self.mark_adopted()
            self.counter = GenerationCounter(directory / shard.COUNTER, writable=True)
            self.counter.publish_seq(self.view.head.seq)
            self.counter.publish_generation(self.manifest.generation)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Give the shard to whoever comes next, once no step is under way."""
        with self._step_lock, self._publish_lock:
            if not self._released:
                self._released = True
                self.counter.close()
                self._lock.release()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step of maintenance at a time, and none once the view cannot be trusted or the lock is gone.

        Raises:
            Unavailable: The shard is closed, or broken.
        """
        with self._step_lock:
            self._refuse_if_lost()
            try:
                yield
            except ShardLocked:
                # A later owner has the table: this one must not acknowledge anything more.
                self.broken = True
                raise

    def publish(self, manifest: Manifest, follow: Callable[[], None] | None = None) -> None:
        """Make a manifest the current one; the view follows; then remove what is no longer named.

        Args:
            manifest: Of any generation: it becomes the next.
            follow: Makes the view as the manifest says.

        Raises:
            OSError: Nothing changed, unless the shard is ``broken`` now.
        """
        with self._publish_lock:
            before, manifest = self.manifest, replace(manifest, generation=self.manifest.generation + 1)
            with files.disk_errors("publishing a manifest"):
                try:
                    publish_manifest(self.directory, manifest)
                except files.UnknownOutcomeError:
                    self.broken = True
                    raise
                except OSError:
                    # Or else each attempt on a full disk leaves a segment more.
                    with suppress(OSError):
                        self._remove_dropped(manifest, before)
                    raise
            self.manifest = manifest
            if follow is not None:
                try:
                    with self.apply_lock:
                        follow()
                except BaseException:
                    # The view is behind the manifest; only opening the shard anew mends that.
                    self.broken = True
                    raise
                self.counter.publish_generation(manifest.generation)
                self._remove_dropped(before, manifest)
            self.log.drop_through(min(manifest.sealed_seq, manifest.flushed_seq, self._droppable_seq))

    @property
    def _droppable_seq(self) -> int:
        return self.view.head.seq if self.announced_seq is None else self.announced_seq

    def new_segment(self) -> Path:
        """A folder for a segment, which is yet to be made. Its name is used up even if it never is."""
        name = f"{self.manifest.next_segment:08d}"
        self.manifest = replace(self.manifest, next_segment=self.manifest.next_segment + 1)
        return self.directory / shard.SEGMENTS / name

    def open_segment(self, directory: Path) -> Segment:
        """A new segment, which is removed if it cannot be opened."""
        try:
            return Segment(directory, self.spec.metric, self.spec.index, verify=False)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @contextmanager
    def removed_if_unnamed(self, segment: Segment | None) -> Iterator[None]:
        """Remove a new segment if an error comes before a manifest names it."""
        try:
            yield
        except BaseException:
            # Or else each attempt on a full disk leaves a segment more.
            if segment is not None and not self.broken and segment.name not in self.manifest.segments:
                shutil.rmtree(segment.directory, ignore_errors=True)
            raise

    def dead_file(self, name: str, killed_at: npt.NDArray[np.uint64], through: int) -> dict[str, str]:
        """The manifest's entry that lists a segment's rows that ended up to a write, if there are any."""
        rows = np.flatnonzero(killed_at <= through).astype(np.uint32)
        return {name: write_dead_rows(self.directory, name, rows)} if len(rows) else {}

    def mark_adopted(self) -> None:
        """Note in the log the gaps that adopted segments leave.

        Raises:
            OSError: The disk refused.
        """
        with files.disk_errors("committing a bulk load"):
            for first, _ in self.manifest.adopted:
                self.log.mark_adopted(first)

    @contextmanager
    def frozen_files(self) -> Iterator[list[Path]]:
        """Let nothing be published. The caller lets nothing be committed.

        Yields:
            The files, relative to the shard's folder, that together are the shard, without the table.

        Raises:
            Unavailable: The shard is closed, or broken.
        """
        with self._publish_lock:
            self._refuse_if_lost()
            manifest = self.manifest
            paths = [self.directory / shard.SPEC, *self.log.files(manifest.sealed_seq)]
            if manifest.generation:
                paths.append(manifest_path(self.directory, manifest.generation))
            for name in manifest.segments:
                paths += sorted((self.directory / shard.SEGMENTS / name).iterdir())
            paths += [self.directory / shard.DEAD / file for file in manifest.dead.values()]
            yield [path.relative_to(self.directory) for path in paths]

    def _refuse_if_lost(self) -> None:
        if self.broken or self._released:
            raise Unavailable("The shard is closed, or must be opened again after an error.")

    def _remove_dropped(self, before: Manifest, after: Manifest) -> None:
        """Remove the files that only the first manifest names. Mapped files outlive their names."""
        for name in set(before.segments) - set(after.segments):
            shutil.rmtree(self.directory / shard.SEGMENTS / name)
        for file in set(before.dead.values()) - set(after.dead.values()):
            (self.directory / shard.DEAD / file).unlink(missing_ok=True)
