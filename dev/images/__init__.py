"""Container images: of the operator, of its workers, of the examples, and of the local cluster's own services."""

from dev.images.build import BuiltImage, build_images
from dev.images.catalogue import IMAGES, Image

__all__ = ["IMAGES", "BuiltImage", "Image", "build_images"]
