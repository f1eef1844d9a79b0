"""Images go to a real registry, Debian's, which has them under our digests; one that refuses says so in one line."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from catalog.error import BadInput, Unreachable
from node.execute.image import File, Image, Layer, digest_of
from node.execute.kubernetes.images import MANIFEST, Registry
from node.execute.machine import architecture
from tests.infra import registry
from tests.infra.kubernetes.authority import Authority
from tests.infra.place import Place

LOGIN = "anna:s3cret:with a colon"
USERS = {"anna": LOGIN.partition(":")[2]}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A network of its own, beside whatever else is up; in a short path, for the sake of sockets."""
    with tempfile.TemporaryDirectory(prefix="comity-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", home)
        made = Place("registry")
        made.make()
        yield made
        made.remove()


@pytest.fixture
def there(place: Place) -> Iterator[registry.Registry]:
    with registry.running(place) as there:
        yield there


@pytest.fixture
def image() -> Image:
    """One that no registry has yet, of two layers, one of them larger than a socket's buffer."""
    big = Layer({"big": File(os.urandom(3 << 20))})
    return Image((big, Layer({"small": File(b"small")})), architecture(), variables={"A": "b"})


def again(there: registry.Registry, settings: dict[str, object], users: dict[str, str] | None = None) -> None:
    there.stop()
    there.start(settings, users)


def refusal(there: registry.Registry, image: Image, login: Path | None = None) -> str:
    """What is told of the refusal of ``image``, in one line."""
    with pytest.raises(Unreachable) as raised:
        Registry(f"{there.host}/site/steps", login).place(image, "one")
    told = str(raised.value)
    assert told.isprintable()
    assert there.host in told
    return told


def test_what_was_pushed_is_there_by_tag_and_digest_byte_for_byte(there: registry.Registry, image: Image) -> None:
    """Lost: a cluster pulls something else than what the node made, or nothing."""
    for _ in range(2):
        assert Registry(f"{there.host}/site/steps").place(image, "one") == f"{there.host}/site/steps@{image.digest}"
    for name in ("one", image.digest):
        got = httpx.get(f"http://{there.host}/v2/site/steps/manifests/{name}", headers={"Accept": MANIFEST})
        assert (got.content, got.headers["Content-Type"]) == (image.manifest, MANIFEST)
    for digest, content in ((each.digest, b"".join(each.chunks())) for each in image.layers):
        assert there.blob(digest).read_bytes() == content
    assert there.blob(digest_of(image.config)).read_bytes() == image.config


def test_a_layer_that_is_there_is_not_sent_again(there: registry.Registry, image: Image) -> None:
    """Lost: each environment costs the tools of all again."""
    Registry(f"{there.host}/site/steps").place(image, "one")
    other = Image((image.layers[0], Layer({"other": File(b"other")})), architecture())
    Registry(f"{there.host}/site/steps").place(other, "two")
    log = (there.place.daemons.folder / f"{registry.NAME}.log").read_text()
    sent = re.findall(r'"PUT /v2/site/steps/blobs/uploads/\S*digest=sha256%3A(\w+)', log)
    digests = [each.digest.partition(":")[2] for each in (image.layers[0], other.layers[1])]
    assert [sent.count(digest) for digest in digests] == [1, 1]


def test_a_registry_that_is_away_is_told(there: registry.Registry, image: Image) -> None:
    """Lost: a step that waits, and nobody knows for what."""
    there.stop()
    assert "does not answer" in refusal(there, image)
    there.start()
    assert Registry(f"{there.host}/site/steps").place(image, "one"), "it is tried again"


def test_a_registry_that_takes_nothing_is_told_in_its_own_words(there: registry.Registry, image: Image) -> None:
    """Lost: a registry under repair is taken for one that is away."""
    again(there, {"storage": {"maintenance": {"readonly": {"enabled": True}}}})
    assert "refuses POST with 405 Method not allowed" in refusal(there, image)


def test_bytes_that_are_not_those_of_their_digest_are_not_taken(
    there: registry.Registry, image: Image, tmp_path: Path
) -> None:
    """Lost: an environment that changed on the disk runs under the digest of the one that was vouched for."""
    (tmp_path / "file").write_bytes(b"before")
    changing = Image((Layer({"file": File(tmp_path / "file")}),), architecture())
    assert changing.digest
    (tmp_path / "file").write_bytes(b"after!")
    assert "refuses PUT with 400 DIGEST_INVALID provided digest did not match" in refusal(there, changing)


def test_user_and_password_come_from_a_file_of_the_node_s_own(
    there: registry.Registry, image: Image, tmp_path: Path
) -> None:
    """Lost: a registry of a hospital, none of which is open to all; or its password, to whoever may read the disk."""
    again(there, {}, USERS)
    assert "wants a user and password: name a file" in refusal(there, image)
    login = tmp_path / "login"
    login.write_text(f"{LOGIN}x\n")
    login.chmod(0o600)
    told = refusal(there, image, login)
    assert f"does not take the user and password in {login}" in told
    assert "s3cret" not in told
    pushed = Registry(f"{there.host}/site/steps", login)
    login.write_text(f"{LOGIN}\n")
    assert pushed.place(image, "one").endswith(image.digest)
    login.chmod(0o640)
    with pytest.raises(BadInput, match=f"{login} can be read by others"):
        pushed.place(image, "one")


@pytest.mark.parametrize("content", ["", "anna", "anna:", ":s3cret", "anna:s3cret\nben:other"])
def test_a_file_that_holds_no_user_and_password_is_refused(tmp_path: Path, image: Image, content: str) -> None:
    """Lost: half of a password is tried, until the account is closed."""
    login = tmp_path / "login"
    login.write_text(content)
    login.chmod(0o600)
    with pytest.raises(BadInput, match="not one line with «user:password»") as raised:
        Registry("127.0.0.1:1/site", login).place(image, "one")
    assert "s3cret" not in str(raised.value)


def test_a_registry_that_wants_tokens_is_told_so(there: registry.Registry, image: Image, tmp_path: Path) -> None:
    """Lost: an operator changes a password that is right."""
    login = tmp_path / "login"
    login.write_text(LOGIN)
    login.chmod(0o600)
    (there.folder / "issuers").write_bytes(_certificate())
    service = {"realm": "https://tokens.example/", "service": "it", "issuer": "it"}
    again(there, {"auth": {"token": service | {"rootcertbundle": str(there.folder / "issuers")}}})
    for given in (None, login):
        assert "takes no user and password, but «bearer»" in refusal(there, image, given)


def test_uploads_and_passwords_go_to_no_other_address(there: registry.Registry, image: Image, tmp_path: Path) -> None:
    """Lost: the password, in plain text, to whom a registry behind a proxy takes for itself."""
    login = tmp_path / "login"
    login.write_text(LOGIN)
    login.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        again(there, {"http": {"host": address}}, USERS)
        assert f"wants uploads at {address} and not where it was asked" in refusal(there, image, login)
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def _certificate() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Authority(Path(folder)).certificate.read_bytes()
