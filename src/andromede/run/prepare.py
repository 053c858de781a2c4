"""The rows a cloud starts with: schema, roles, first users, catalog, flavors, this host. Runs without rights, at each start."""

from andromede.db.engine import Database
from andromede.drivers.seal import from_file
from andromede.run.catalog import catalog
from andromede.run.home import Home
from andromede.run.migrate import upgrade
from andromede.services.audit.service import witness
from andromede.services.compute import flavors, hosts
from andromede.services.identity import bootstrap
from andromede.services.identity import service as identity
from andromede.services.identity.passwords import Hasher
from andromede.services.network import service as network
from andromede.services.volume import service as volume


def prepare(home: Home, words: dict[str, str]) -> None:
    """Bring the schema to this version and add what is missing. `words`: passwords of the users admin and demo."""
    settings = home.settings
    database = Database(home.database_url)
    try:
        upgrade(database)
        identity.make_keys(home.keys)
        from_file(home.secrets_key)
        witness(home.log_name, home.audit_key)
        hasher = Hasher(settings.identity.password_hash, settings.identity.bcrypt_rounds)
        compute = settings.compute
        ratios = {"cpu_ratio": compute.cpu_ratio, "ram_ratio": compute.ram_ratio, "disk_ratio": compute.disk_ratio}

        def fill(db):  # type: ignore[no-untyped-def]
            entries = catalog(home.url, home.swift_url, home.s3_url, home.drive_url)
            bootstrap.foundation(db, catalog=entries, region_id=settings.identity.region)
            bootstrap.person(db, hasher, name="admin", secret=words["admin"], project_name="admin", roles=("admin",), system=True)
            bootstrap.person(db, hasher, name="demo", secret=words["demo"], project_name="demo", roles=("member",))
            flavors.seed(db)
            network.seed(db)
            volume.seed(db)
            hosts.register(db, home.host, compute.zone, **ratios)

        database.run(fill)
    finally:
        database.close()
