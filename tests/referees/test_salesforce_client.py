"""simple-salesforce reads the simulator over TLS on loopback: what it understands, Salesforce would have said."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connectors.simulators.salesforce import ConnectedApp, Org, create_salesforce

package = pytest.importorskip(
    "simple_salesforce", reason="simple-salesforce lives in an environment of its own (make test-referees)"
)
HOSTS = ("acme.my.salesforce.com", "login.salesforce.com")
NOW = datetime.now(UTC)
START = NOW - timedelta(hours=3)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of the vendor's hosts, signed by nobody but itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated Salesforce")])
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "salesforce.pem"
    path.write_bytes(private_pem(key) + signed.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def served(org: Org, certificate: Path) -> Iterator[int]:
    app = create_salesforce(org, lambda: datetime.now(UTC))
    config = uvicorn.Config(
        app,
        port=0,
        log_level="critical",
        lifespan="off",
        date_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=certificate,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def org(key: rsa.RSAPrivateKey) -> Org:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Org(app=ConnectedApp(certificate=pem.decode()), tracked={"Lead": {"Status"}})


@pytest.fixture
def session(org: Org, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session that trusts the certificate and finds every host of the vendor on loopback."""
    requests = pytest.importorskip("requests")
    sockets = pytest.importorskip("urllib3.util.connection")
    connect = sockets.create_connection
    with served(org, certificate) as port:
        monkeypatch.setattr(sockets, "create_connection", lambda _, *more, **named: connect(("127.0.0.1", port), *more, **named))
        made = requests.Session()
        made.trust_env, made.verify = False, str(certificate)
        yield made
        made.close()


@pytest.fixture
def client(org: Org, session: Any) -> Any:
    """Logged in with client credentials on the org's own domain."""
    keys = {"consumer_key": org.app.client_id, "consumer_secret": org.app.client_secret}
    return package.Salesforce(domain="acme.my", session=session, version="67.0", **keys)


def test_both_server_flows_lead_to_the_org(org: Org, session: Any, client: Any, key: rsa.RSAPrivateKey) -> None:
    """The client's own JWT must pass our check, and the instance must be the one of the reply, whatever the login host."""
    signed = {"username": org.app.run_as, "consumer_key": org.app.client_id, "privatekey": private_pem(key).decode()}

    by_jwt = package.Salesforce(session=session, version="67.0", **signed)

    assert client.sf_instance == by_jwt.sf_instance == HOSTS[0]
    assert by_jwt.limits()["DailyApiRequests"]["Max"] == 100_000
    assert by_jwt.api_usage["api-usage"].total == 100_000
    assert client.query("SELECT Id FROM Organization")["records"][0]["Id"] == org.org_id


def test_every_row_is_read_over_all_pages_deleted_ones_where_asked_for(org: Org, client: Any) -> None:
    """The client follows nextRecordsUrl until done, so our pages must end as the vendor's do."""
    made = [org.create("Lead", {"LastName": str(number)}, START) for number in range(5001)]
    org.page_rows = 700
    org.merge("Lead", made[0], made[1], START + timedelta(minutes=1))
    text = package.format_soql("SELECT Id, IsDeleted, MasterRecordId FROM Lead WHERE SystemModstamp >= {} ORDER BY Id", START)

    live = client.query_all(text)
    everything = client.query_all(text, include_deleted=True)

    assert [one["Id"] for one in live["records"]] == [made[0], *made[2:]]
    assert [one["Id"] for one in everything["records"]] == made
    assert (everything["records"][1]["IsDeleted"], everything["records"][1]["MasterRecordId"]) == (True, made[0])
    assert live["totalSize"] == 5000


def test_texts_escaped_by_the_client_are_found(org: Org, client: Any) -> None:
    """Quotes, backslashes and wildcards in a name must not break a query nor widen it."""
    names = ["O'Neil", "back\\slash", 'double"quote', "100%", "1000", "line\nbreak"]
    made = {name: org.create("Lead", {"LastName": name}, START) for name in names}

    found = {
        name: [
            one["Id"] for one in client.query_all(package.format_soql("SELECT Id FROM Lead WHERE LastName = {}", name))["records"]
        ]
        for name in names
    }
    among = client.query_all(package.format_soql("SELECT Id FROM Lead WHERE LastName IN {}", names))
    like = client.query_all(package.format_soql("SELECT Id FROM Lead WHERE LastName LIKE '{:like}'", "100%"))

    assert found == {name: [one] for name, one in made.items()}
    assert among["totalSize"] == len(names)
    assert [one["Id"] for one in like["records"]] == [made["100%"]]


def test_history_and_parents_are_read_as_the_vendor_tells_them(org: Org, client: Any) -> None:
    """Stage, amount and person of a deal come in two queries."""
    lead = org.create("Lead", {"LastName": "Byron", "Email": "ada@example.com", "Company": "Engines"}, START)
    made = org.convert_lead(lead, START + timedelta(hours=1), opportunity={"Amount": 10.5})
    org.update("Opportunity", str(made.opportunity_id), {"StageName": "Closed Won"}, START + timedelta(hours=2))

    moves = client.query_all("SELECT StageName, Amount, CreatedDate FROM OpportunityHistory ORDER BY CreatedDate, Id")["records"]
    role = client.query_all("SELECT IsPrimary, Contact.Email FROM OpportunityContactRole")["records"][0]
    status = client.query_all("SELECT NewValue FROM LeadHistory WHERE Field = 'Status'")["records"]

    assert [(one["StageName"], one["Amount"]) for one in moves] == [("Prospecting", 10.5), ("Closed Won", 10.5)]
    at = datetime.strptime(moves[1]["CreatedDate"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert at == (START + timedelta(hours=2)).replace(microsecond=0)
    assert (role["IsPrimary"], role["Contact"]["Email"]) == (True, "ada@example.com")
    assert [one["NewValue"] for one in status] == ["Closed - Converted"]


def test_descriptions_and_lists_of_changes_have_the_clients_form(org: Org, client: Any) -> None:
    """The client writes its own times into the address; ours must be readable to it and its to us."""
    org.define_field("Lead", "GCLID__c", length=100)
    kept, gone = (org.create("Lead", {}, START) for _ in range(2))
    org.delete("Lead", gone, START + timedelta(hours=1))
    span = NOW - timedelta(hours=4), NOW

    fields = {one["name"]: one for one in client.Lead.describe()["fields"]}
    listed = {one["name"] for one in client.describe()["sobjects"]}

    assert (fields["GCLID__c"]["custom"], fields["GCLID__c"]["length"]) == (True, 100)
    assert "Closed - Converted" in [one["value"] for one in fields["Status"]["picklistValues"]]
    assert {"Lead", "Opportunity", "OpportunityHistory"} <= listed
    assert [one["id"] for one in client.Lead.deleted(*span)["deletedRecords"]] == [gone]
    assert client.Lead.updated(*span)["ids"] == [kept]
    assert client.Lead.get(kept)["Id"] == kept


def test_writes_and_errors_are_read_as_such(org: Org, client: Any) -> None:
    """A refusal's body must be of the form that the client knows."""
    lead = org.create("Lead", {"LastName": "Byron"}, START)
    made = client.Lead.create({"LastName": "Lovelace", "Company": "Engines"})

    status = client.Lead.update(lead, {"Title": "Countess"})
    composed = client.restful(
        "composite",
        method="POST",
        json={"compositeRequest": [{"method": "GET", "url": f"/services/data/v67.0/sobjects/Lead/{lead}", "referenceId": "one"}]},
    )
    with pytest.raises(package.SalesforceMalformedRequest) as malformed:
        client.query("SELECT Nope__c FROM Lead")
    with pytest.raises(package.SalesforceResourceNotFound):
        client.Lead.get("00Q5f000000zzzzAAA")
    org.sessions.expire()
    with pytest.raises(package.SalesforceExpiredSession) as expired:
        package.Salesforce(
            instance_url=f"https://{HOSTS[0]}", session_id=client.session_id, session=client.session, version="67.0"
        ).limits()

    assert (made["success"], status, composed["compositeResponse"][0]["body"]["Title"]) == (True, 204, "Countess")
    assert malformed.value.content[0]["errorCode"] == "INVALID_FIELD"
    assert expired.value.content[0]["errorCode"] == "INVALID_SESSION_ID"
