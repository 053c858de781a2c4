"""A certificate that clients would refuse is named before the cloud starts, with what to do."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from andromede.core.errors import CloudError
from andromede.run import tls
from andromede.run.home import Home


@pytest.fixture
def home(tmp_path):
    """A cloud whose self-signed certificate holds for cloud.example and 192.0.2.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("cloud.example"), x509.IPAddress(ip_address("192.0.2.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return configure(Home.at(tmp_path))


def configure(home, url="https://cloud.example:5000", key="key.pem"):
    home.config.write_text(
        f'[api]\nlisten = "192.0.2.1"\npublic_url = "{url}"\ntls_certificate = "{home.path}/cert.pem"\ntls_key = "{home.path}/{key}"\n'
    )
    return home


@pytest.fixture
def trusted(home, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(home.path / "cert.pem"))


def test_a_certificate_of_an_unknown_authority(home):
    with pytest.raises(CloudError, match=r"is not trusted on this machine: .*self.signed.*update-ca-certificates"):
        tls.check(home)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("url", ["https://cloud.example:5000", "", "https://192.0.2.1:5000"])
def test_a_good_one(home, url):
    tls.check(configure(home, url))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("url", ["https://other.example:5000", "https://192.0.2.2:5000"])
def test_another_name(home, url):
    with pytest.raises(CloudError, match=r"is not made for (other.example|192.0.2.2), by which clients reach"):
        tls.check(configure(home, url))


@pytest.mark.parametrize("url", ["https://cloud.example", "http://cloud.example:5000"])
def test_something_else_in_front_has_its_own(home, url):
    tls.check(configure(home, url))


def test_files_that_are_none(home):
    with pytest.raises(CloudError, match="No such file"):
        tls.check(configure(home, key="absent.pem"))
    with pytest.raises(CloudError, match="cannot be used"):
        tls.check(configure(home, key="cert.pem"))


def test_without_one_there_is_nothing_to_look_at(tmp_path):
    tls.check(Home.at(tmp_path))
