"""A trained model as programs that run without this package."""

from vs_synthesis.export.drift import TOLERANCE, Deviation, Drift, summary
from vs_synthesis.export.errors import ExportError
from vs_synthesis.export.formats import Format
from vs_synthesis.export.package import Export, ExportRequest, check_export, export_model

__all__ = [
    "TOLERANCE",
    "Deviation",
    "Drift",
    "Export",
    "ExportError",
    "ExportRequest",
    "Format",
    "check_export",
    "export_model",
    "summary",
]
