"""A procedural world of talking heads: people that one seed decides, in motions that another one does."""

from vs_data.faces.config import FacesConfig
from vs_data.faces.source import FacesSource, open_faces

__all__ = ["FacesConfig", "FacesSource", "open_faces"]
