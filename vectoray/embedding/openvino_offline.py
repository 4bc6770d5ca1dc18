"""Imports OpenVINO with its usage reporting switched off.

``import openvino`` reports itself to a web analytics service, and writes a client id into the home folder,
whenever the optional package ``openvino_telemetry`` can be imported. A database must not call home, so that
import is made to fail; OpenVINO then uses the silent stub it ships for that case. Every module here imports
OpenVINO from this one.
"""

import sys
from typing import Any, cast

# None in sys.modules is Python's documented way to make an import fail.
cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)

import openvino  # noqa: E402

__all__ = ["openvino"]
