"""Whether clients will take the certificate of the settings: it is shown to a client of this machine before the cloud starts."""

import ssl
from urllib.parse import urlsplit

from andromede.core.errors import CloudError
from andromede.run.home import Home

_WRONG_NAME = {62, 64}
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def check(home: Home) -> None:
    """Raise CloudError with what to do for a certificate that is not usable, not trusted here, or made for another name.

    Nothing is looked at where clients reach the API through something else (another port, or plain HTTP): that has a certificate of its own.
    """
    given = home.settings.api
    if not given.tls_certificate:
        return
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        serving.load_cert_chain(given.tls_certificate, given.tls_key)
    except OSError as error:
        where = f"api.tls_certificate ({given.tls_certificate}) and api.tls_key ({given.tls_key})"
        raise CloudError(f"{where} cannot be used: {error.strerror or 'they are not a certificate and its key'}.") from error
    url = urlsplit(home.url)
    if url.scheme != "https" or (url.port or 443) != given.port:
        return
    name = url.hostname or ""
    try:
        _shake_hands(serving, ssl.create_default_context(), name)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _WRONG_NAME:
            raise CloudError(
                f"The certificate {given.tls_certificate} is not made for {name}, by which clients reach the cloud ({home.url}): set "
                "api.public_url to a name that the certificate has, or have one made for this name."
            ) from error
        raise CloudError(
            f"The certificate {given.tls_certificate} is not trusted on this machine: {error.verify_message}. Put its chain into that "
            "file, and the certificate of its authority into /usr/local/share/ca-certificates/NAME.crt, then run: update-ca-certificates"
        ) from error


def _shake_hands(serving: ssl.SSLContext, asking: ssl.SSLContext, name: str) -> None:
    """A TLS handshake in memory. Raises SSLCertVerificationError where the client refuses."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [asking.wrap_bio(down, up, server_hostname=name), serving.wrap_bio(up, down, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
