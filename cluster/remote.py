"""Calls to a Ray Serve deployment: a deadline, plain pickle, and errors of ours instead of Ray's."""

import asyncio
from typing import Any

import ray
import ray.exceptions
import ray.serve
import ray.serve.exceptions
import structlog

from vectoray.core.errors import InternalError, Overloaded, ShardUnavailable, VectorayError

_log = structlog.get_logger(__name__)


def this_node() -> str:
    """The node that this process is on."""
    return str(ray.get_runtime_context().get_node_id())


class RemoteDeployment:
    """A deployment that is the only one of its application."""

    def __init__(self, name: str, *, timeout_s: float) -> None:
        """Name a deployment; it is looked up when it is first called.

        Args:
            name: Name of the deployment and of its application.
            timeout_s: Seconds after which a call fails.
        """
        self._name = name
        self._timeout_s = timeout_s
        self._methods: dict[str, Any] = {}

    async def call(self, method: str, *arguments: Any, repeatable: bool = False) -> Any:
        """Call a method and return its result.

        Args:
            method: Name of the method.
            arguments: Picklable values.
            repeatable: Whether to ask once more when the process died under the call.

        Raises:
            VectorayError: What the method raised.
            Overloaded: Too many calls wait for the deployment.
            ShardUnavailable: It did not answer in time, died, or gave the call up.
            InternalError: Anything else went wrong; the reason is in the log.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                try:
                    return await self._method(method).remote(*arguments)
                except ray.exceptions.RayActorError:
                    if not repeatable:
                        raise
                    return await self._method(method).remote(*arguments)
        except ray.exceptions.RayTaskError as error:
            # First: Ray's error is also an instance of the remote class, with a traceback as its text.
            if isinstance(error.cause, VectorayError):
                raise error.cause from None
            _log.exception("deployment_failed", deployment=self._name, method=method)
            raise InternalError("A part of the cluster failed while answering.") from None
        except ray.serve.exceptions.BackPressureError:
            raise Overloaded("Too many requests are waiting; try again in a moment.") from None
        except (ray.exceptions.RayError, ray.serve.exceptions.RayServeException) as error:
            _log.warning("deployment_lost", deployment=self._name, method=method, kind=type(error).__name__)
            raise ShardUnavailable("A part of the cluster is restarting; try again in a moment.") from None
        except VectorayError:
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Ray's word for a call that the other side gave up: this task is not cancelled.
            _log.warning("deployment_gave_up", deployment=self._name, method=method)
            raise ShardUnavailable("A part of the cluster is restarting; try again in a moment.") from None
        except Exception as error:
            if deadline.expired():
                _log.warning("deployment_timed_out", deployment=self._name, method=method)
                raise ShardUnavailable(
                    f"A part of the cluster did not answer within {self._timeout_s:g} s; try again."
                ) from None
            _log.exception("deployment_failed", deployment=self._name, method=method)
            raise InternalError("A part of the cluster failed while answering.") from error

    def _method(self, method: str) -> Any:
        found = self._methods.get(method)
        if found is None:
            handle = ray.serve.get_deployment_handle(self._name, app_name=self._name)
            found = self._methods[method] = handle.options(
                method_name=method,
                _by_reference=False,
                request_serialization="pickle",
                response_serialization="pickle",
            )
        return found
