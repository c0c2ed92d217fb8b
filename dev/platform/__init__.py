"""What Keelway needs around it on the local cluster: KServe, a gateway, an S3 server and Prometheus."""

from dev.platform.endpoints import Endpoints
from dev.platform.inspection import status
from dev.platform.installation import install, programs

__all__ = ["Endpoints", "install", "programs", "status"]
