"""What can be wrong with a request for objects. `kind` is the code that S3 answers; Swift answers the status."""

from andromede.core.errors import CloudError


class NoContainer(CloudError):
    """There is no such container."""

    status, kind = 404, "NoSuchBucket"


class NoObject(CloudError):
    """There is no such object."""

    status, kind = 404, "NoSuchKey"


class NoVersion(CloudError):
    """There is no such version of the object."""

    status, kind = 404, "NoSuchVersion"


class NoUpload(CloudError):
    """There is no such multipart upload."""

    status, kind = 404, "NoSuchUpload"


class NotEmpty(CloudError):
    """The container still holds something."""

    status, kind = 409, "BucketNotEmpty"


class Taken(CloudError):
    """The bucket's name belongs to another account."""

    status, kind = 409, "BucketAlreadyExists"


class BadPart(CloudError):
    """A part that is to be put together is not there, or another one."""

    status, kind = 400, "InvalidPart"


class TooSmall(CloudError):
    """A part that is not the last has less than five mebibytes."""

    status, kind = 400, "EntityTooSmall"
